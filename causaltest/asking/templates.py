"""Templates: prompts with marked stretches, which become a pair's spans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from causaltest.errors import PairsError

MARK = re.compile(r"\{\{|\}\}|\{(?P<span>[^\W\d]\w*)(?:=(?P<slot>[^\W\d]\w*)|:(?P<text>[^{}]+))?\}|[{}]")


class Mark(NamedTuple):
    """A stretch that is named `span` and filled with what `slot` is given, or with its own text."""

    span: str
    slot: str
    text: str | None


class Filled(NamedTuple):
    """A prompt, and its marked stretches by their first and past-the-last character."""

    text: str
    spans: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Template:
    """A prompt with marks: `{subject}` is filled, `{subject:France}` holds its text unless another is given,
    and `{again=subject}` is a second stretch with the same filler. A brace itself is written twice.

    Raises PairsError for a brace that is no mark, and for two stretches of one name.
    """

    source: str

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source.strip():
            raise PairsError(f"A template is a text that is not empty, and is {self.source!r}.")
        spans = [mark.span for mark in self.marks]
        twice = next((name for name in spans if spans.count(name) > 1), None)
        if twice is not None:
            raise PairsError(
                f"Two stretches of the template are called {twice!r}, so span({twice!r}) would be both. Give the "
                f"second a name of its own: {{{twice}2={twice}}} is filled alike. It reads: {self.source!r}"
            )

    @cached_property
    def marks(self) -> tuple[Mark, ...]:
        return tuple(part for part in self.parts if isinstance(part, Mark))

    @cached_property
    def parts(self) -> tuple[str | Mark, ...]:
        parts: list[str | Mark] = []
        end = 0
        for found in MARK.finditer(self.source):
            parts.append(self.source[end : found.start()])
            end = found.end()
            if found["span"] is not None:
                parts.append(Mark(found["span"], found["slot"] or found["span"], found["text"]))
            elif found[0] in ("{{", "}}"):
                parts.append(found[0][0])
            else:
                raise PairsError(
                    f"The template has a {found[0]!r} at character {found.start()} that is no mark: write {{name}}, "
                    f"{{name:text}} or {{name=other}}, and a brace itself twice. It reads: {self.source!r}"
                )
        return (*parts, self.source[end:])

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """What can be filled, in order."""
        return tuple(dict.fromkeys(mark.slot for mark in self.marks))

    @property
    def form(self) -> str:
        """The template without the texts of its own: what prompts that are filled otherwise share with it."""
        return "".join(part if isinstance(part, str) else f"{{{part.span}}}" for part in self.parts)

    def fill(self, fillers: Mapping[str, str]) -> Filled:
        """The prompt with these fillers. Raises PairsError for one that is missing, or is no text."""
        own = {mark.slot: mark.text for mark in self.marks if mark.text is not None}
        text, spans = "", {}
        for part in self.parts:
            if isinstance(part, str):
                text += part
                continue
            filler = fillers.get(part.slot, own.get(part.slot))
            if not isinstance(filler, str) or not filler:
                what = f"is {filler!r}" if part.slot in fillers else "is missing"
                raise PairsError(f"The filler of {part.slot!r} {what}; {self.source!r} needs a text for it.")
            spans[part.span] = (len(text), len(text) + len(filler))
            text += filler
        return Filled(text, spans)


def fill_both(
    template: Template, corrupt: Template | None, fillers: Mapping[str, str], corrupt_fillers: Mapping[str, str]
) -> tuple[Filled, Filled]:
    """Clean and corrupt prompt. Raises PairsError when their templates do not mark the same stretches."""
    other = template if corrupt is None else corrupt
    names = [sorted(mark.span for mark in t.marks) for t in (template, other)]
    if names[0] != names[1]:
        raise PairsError(
            f"The clean template marks {names[0]} and the corrupt one {names[1]}; a span is the same stretch of both "
            "prompts, so both templates mark the same names."
        )
    return template.fill(fillers), other.fill(corrupt_fillers)
