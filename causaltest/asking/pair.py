"""Pair: two prompts that differ in one fact, and their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from causaltest.asking.chats import Chat, as_chat
from causaltest.asking.templates import Template, fill_both
from causaltest.errors import PairsError

LONGEST_TEXT = 1_000_000
TEXTS = ("clean", "corrupt", "answer", "corrupt_answer", "cluster", "id")
PAIR_DIGITS = 16
"""Of a pair's digest: 64 bits, by which a million pairs are told apart."""


@dataclass(frozen=True)
class Pair:
    """Two prompts that differ in one fact.

    `answer` is what the clean run should give, `corrupt_answer` what the corrupt run should.
    `cluster` names what the pair shares with others (a template, a source); `spans` names
    stretches of the clean prompt by their first and past-the-last character. Where the same
    stretch stands in the corrupt prompt is found by comparing the two; `corrupt_spans` says it
    where that is not clear. A span is the same tokens of both prompts, or is refused. `chat` puts
    both prompts to a chat model.
    """

    clean: str
    corrupt: str
    answer: str
    corrupt_answer: str | None = None
    cluster: str | None = None
    id: str | None = None
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    corrupt_spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    chat: Chat | None = None

    def __post_init__(self) -> None:
        for name in ("clean", "corrupt", "answer"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise PairsError(f"A pair's {name} must be a text that is not empty, and is {text!r}.")
            if len(text) > LONGEST_TEXT:
                raise PairsError(f"A pair's {name} has {len(text)} characters; {LONGEST_TEXT} are accepted.")
        for name in ("corrupt_answer", "cluster", "id"):
            text = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise PairsError(f"A pair's {name} must be a text or absent, and is {text!r}.")
        for name in TEXTS:
            check_whole(name, getattr(self, name))
        for name, side in (("spans", "clean"), ("corrupt_spans", "corrupt")):
            checked = {k: checked_span(k, v, getattr(self, side), side) for k, v in getattr(self, name).items()}
            object.__setattr__(self, name, checked)
        if self.chat is not None:
            object.__setattr__(self, "chat", as_chat(self.chat))
        alone = sorted(set(self.corrupt_spans) - set(self.spans))
        if alone:
            raise PairsError(f"corrupt_spans names {alone}, and spans does not; a span is named in both.")

    @classmethod
    def from_template(
        cls,
        template: str,
        *,
        clean: Mapping[str, str] | None = None,
        corrupt: Mapping[str, str] | None = None,
        corrupt_template: str | None = None,
        answer: str,
        corrupt_answer: str | None = None,
        cluster: str | None = None,
        id: str | None = None,
    ) -> Pair:
        """A pair from a template whose marked stretches become its spans, in both prompts.

        `{subject}` is filled, `{subject:France}` holds France unless a filler is given, and
        `{again=subject}` is a second stretch with the same filler:

            Pair.from_template(
                "The capital of {subject:France} is",
                corrupt={"subject": "Italy"},
                answer=" Paris",
                corrupt_answer=" Rome",
            )

        `corrupt_template` is for prompts that differ in more than fillers. The cluster is the
        template, unless another is given. Raises PairsError when fillers and marks do not fit.
        """
        given = dict(clean or {})
        form = Template(template)
        other_form = None if corrupt_template is None else Template(corrupt_template)
        filled = {mark.slot for mark in (*form.marks, *(other_form.marks if other_form else ()))}
        unknown = sorted((set(given) | set(corrupt or {})) - filled)
        if unknown:
            raise PairsError(f"There are fillers for {unknown}, and the template has the slots {sorted(filled)}.")
        one, other = fill_both(form, other_form, given, given | dict(corrupt or {}))
        shared = form.form if cluster is None else cluster
        return cls(one.text, other.text, answer, corrupt_answer, shared, id, one.spans, other.spans)

    def with_itself(self) -> Pair:
        """The clean prompt beside itself: a patch between the two must change nothing."""
        return replace(self, corrupt=self.clean, corrupt_answer=self.answer, corrupt_spans={})

    @property
    def digest(self) -> str:
        """A short hash of the two prompts, in either order, and their chat: the pair by what a model sees of it.

        Another id, cluster, span or answer does not make it another pair.
        """
        chat = None if self.chat is None else self.chat.as_dict()
        plain = json.dumps([sorted((self.clean, self.corrupt)), chat], sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:PAIR_DIGITS]

    def as_dict(self) -> dict[str, Any]:
        """The fields that are set, as plain data."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("spans", "corrupt_spans"):
            given[name] = {name: list(span) for name, span in given[name].items()}
        given["chat"] = None if self.chat is None else self.chat.as_dict()
        return {name: value for name, value in given.items() if value not in (None, {})}


def check_whole(name: str, text: str | None) -> None:
    """Raises PairsError for half a character, which JSON can say and no tokenizer, file or terminal can take."""
    if text is None or text.isascii():
        return
    half = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if half is not None:
        raise PairsError(f"A pair's {name} holds half a character ({half!a}); a text is whole Unicode.")


def checked_span(name: str, span: Any, text: str, side: str) -> tuple[int, int]:
    """A span as two characters inside its text."""
    whole = isinstance(span, Sequence) and len(span) == 2 and all(type(edge) is int for edge in span)
    if not whole or not 0 <= span[0] < span[1] <= len(text):
        raise PairsError(
            f"Span {name!r} is {span!r}; a span is [first character, past the last] inside the {side} "
            f"prompt, which has {len(text)} characters."
        )
    return (span[0], span[1])
