"""Positions: which token of a run a site means, before any tokenizer is asked.

A run's positions are its prompt tokens, then (on a latent reasoner) the begin token, its thoughts
and the end token, then the generated tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from causaltest.errors import PositionError

PositionKind = Literal["index", "first", "last", "span", "every", "everywhere", "step", "thought"]
THINK = "[THINK]"


@dataclass(frozen=True)
class Position:
    """A description of one or several positions; resolved against each prompt when measured."""

    kind: PositionKind
    numbers: tuple[int, ...] = ()
    text: str | None = None
    of: Position | None = None
    occurrence: int | None = None

    def __str__(self) -> str:
        if self.kind in ("first", "last"):
            inside = str(self.of) if self.of is not None else "" if self.text is None else repr(self.text)
            nth = "" if self.occurrence is None else f", occurrence={self.occurrence}"
            return f"{self.kind}({inside}{nth})"
        if self.kind == "span":
            return f"span({self.text!r})"
        if not self.numbers:
            return "every position" if self.kind == "every" else self.kind
        return f"{self.kind} {compact(self.numbers)}"

    def single(self) -> tuple[Position, ...]:
        """One position each, for an axis of a sweep. `every` is spread when the length is known."""
        if len(self.numbers) > 1:
            return tuple(Position(self.kind, (n,)) for n in self.numbers)
        return (self,)


def index(*at: int) -> Position:
    """Prompt tokens by their index, negative from the prompt's end."""
    return Position("index", whole_numbers("index", at, negative=True))


def every() -> Position:
    """Every token of the prompt, a latent reasoner's begin token included."""
    return Position("every")


def first(text: str | Position, *, occurrence: int | None = None) -> Position:
    """The first token of a text or span; `first("[THINK]")` is a latent reasoner's `thought(0)`.

    A text that stands in the prompt more than once needs `occurrence` (0 for the first).
    """
    return edge("first", text, occurrence)


def last(text: str | Position | None = None, *, occurrence: int | None = None) -> Position:
    """The last token of a text or span; `last()` is the last token of the prompt."""
    return Position("last") if text is None else edge("last", text, occurrence)


def nth(text: str, k: int) -> Position:
    """The first token of the k-th occurrence of a text, counted from 0: `first(text, occurrence=k)`, and equal to it.

    Occurrences may overlap: "two two" stands twice in "two two two". The last token of one is
    `last(text, occurrence=k)`.
    """
    if not isinstance(text, str):
        raise PositionError(
            f"nth(...) takes a text and which of its occurrences, and got {text!r}; a span stands once."
        )
    return edge("first", text, *whole_numbers("nth", (k,)))


def span(name: str) -> Position:
    """Every token of a stretch that the pairs name in `spans`; it must be the same tokens of both prompts."""
    return Position("span", text=name)


def step(*k: int) -> Position:
    """Where generated token k is predicted: `step(0)` is the last position before the answer."""
    return Position("step", whole_numbers("step", k))


def thought(k: int | Iterable[int], *more: int) -> Position:
    """The k-th latent thought of a reasoner, counted from 0; several are given as a range."""
    numbers = tuple(k) if isinstance(k, Iterable) else (k, *more)
    return Position("thought", whole_numbers("thought", numbers))


def edge(kind: Literal["first", "last"], text: str | Position, occurrence: int | None) -> Position:
    if isinstance(text, Position):
        if text.kind != "span":
            raise PositionError(f"{kind}(...) takes a text or span(name), and got {text}.")
        return Position(kind, of=text)
    if not isinstance(text, str):
        raise PositionError(f"{kind}(...) takes a text or span(name), and got {text!r}; a number is index({text!r}).")
    if not text:
        raise PositionError(f"{kind}('') is empty; give the text whose token is meant.")
    if occurrence is not None:
        whole_numbers("occurrence=", (occurrence,))
    if text == THINK and (kind == "first" or occurrence is not None):
        return Position("thought", (occurrence or 0,))
    return Position(kind, text=text, occurrence=occurrence)


def whole_numbers(name: str, numbers: Iterable[int], *, negative: bool = False) -> tuple[int, ...]:
    given = tuple(numbers)
    if not given or any(not isinstance(n, int) or isinstance(n, bool) or (n < 0 and not negative) for n in given):
        least = "whole numbers" if negative else "whole numbers from 0"
        raise PositionError(f"{name}(...) takes {least}, and got {given}.")
    return given


def compact(numbers: tuple[int, ...]) -> str:
    """3, 4, 5 as 3-5."""
    if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ", ".join(map(str, numbers))
