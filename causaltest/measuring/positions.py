"""Positions resolved: from a description to the absolute positions of one run."""

from __future__ import annotations

from dataclasses import dataclass

from causaltest.asking.positions import THINK, Position
from causaltest.errors import PositionError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.prompts import Prompt, TokenPair
from causaltest.measuring.timeline import run_length


@dataclass(frozen=True)
class Layout:
    """Where a run's parts begin, in absolute positions."""

    prompt: int
    begin: int
    thoughts: int
    end: int
    total: int

    @property
    def first_thought(self) -> int:
        return self.prompt + self.begin

    @property
    def answer(self) -> int:
        """The position from which the first answer token is predicted."""
        return self.first_thought + self.thoughts + self.end - 1


def layout(model: LoadedModel, prompt_tokens: int, new_tokens: int) -> Layout:
    reasoning = model.reasoning
    parts = (len(reasoning.begin), reasoning.thoughts, len(reasoning.end)) if reasoning else (0, 0, 0)
    return Layout(prompt_tokens, *parts, total=run_length(model, prompt_tokens, new_tokens))


def resolve(position: Position, pair: TokenPair, where: Layout) -> tuple[int, ...]:
    """Absolute positions of one pair's runs, the same for clean and corrupt.

    Raises PositionError when the prompt has no such position, has it twice, or has it at
    different places in the clean and the corrupt prompt.
    """
    if position.kind in ("everywhere", "every"):
        return tuple(range(where.total if position.kind == "everywhere" else where.first_thought))
    if position.kind == "thought":
        return tuple(where.first_thought + k for k in within(position, where.thoughts, "thought", pair))
    if position.kind == "step":
        return tuple(where.answer + k for k in within(position, where.total - where.answer, "step", pair))
    if position.kind == "index":
        return tuple(from_end(n, where.prompt, pair) for n in position.numbers)
    if position.kind == "last" and position.text is None and position.of is None:
        return (where.prompt - 1,)
    if position.text == THINK and where.thoughts:
        return (where.first_thought + where.thoughts - 1,)
    tokens = stretch(position.of or position, pair)
    if position.kind == "span":
        return tokens
    return (tokens[0],) if position.kind == "first" else (tokens[-1],)


def within(position: Position, count: int, name: str, pair: TokenPair) -> tuple[int, ...]:
    beyond = [n for n in position.numbers if n >= count]
    if beyond and not count:
        raise PositionError(f"{name}({beyond[0]}): this model has no latent {name}s.")
    if beyond:
        raise PositionError(f"{pair.pair.id}: there is no {name} {beyond[0]}; this run has {name}s 0 to {count - 1}.")
    return position.numbers


def from_end(n: int, count: int, pair: TokenPair) -> int:
    if not -count <= n < count:
        raise PositionError(f"{pair.pair.id}: there is no token {n}; the prompt has tokens 0 to {count - 1}.")
    return n % count


def stretch(position: Position, pair: TokenPair) -> tuple[int, ...]:
    """The tokens of a named span, or of a text that both prompts agree on."""
    if position.kind == "span":
        spans, name = pair.pair.spans, str(position.text)
        if name not in spans:
            raise PositionError(
                f"{pair.pair.id} has no span {name!r}; it has {sorted(spans) or 'none'}. "
                "Name it in Pair(spans={name: (first character, past the last)})."
            )
        return covering(pair.clean, *spans[name])
    text = str(position.text)
    found = [occurrence(p, text, position, pair) for p in (pair.clean, pair.corrupt) if text in p.text]
    if not found:
        raise PositionError(f"{pair.pair.id}: the prompt has no {text!r}. It reads: {pair.clean.text!r}")
    if len(found) == 2 and found[0] != found[1]:
        raise PositionError(
            f"{pair.pair.id}: {text!r} stands at tokens {found[0]} of the clean prompt and at {found[1]} of the "
            "corrupt one, so it names no one position. Use index(...) or span(...)."
        )
    return found[0]


def occurrence(prompt: Prompt, text: str, position: Position, pair: TokenPair) -> tuple[int, ...]:
    starts = [i for i in range(len(prompt.text)) if prompt.text.startswith(text, i)]
    if position.occurrence is None and len(starts) > 1:
        raise PositionError(
            f"{pair.pair.id}: {text!r} stands {len(starts)} times in the prompt; say which with "
            f"{position.kind}({text!r}, occurrence=0). It reads: {prompt.text!r}"
        )
    which = position.occurrence or 0
    if which >= len(starts):
        raise PositionError(f"{pair.pair.id}: {text!r} stands {len(starts)} times; there is no occurrence {which}.")
    return covering(prompt, starts[which], starts[which] + len(text))


def covering(prompt: Prompt, start: int, stop: int) -> tuple[int, ...]:
    """The tokens that share a character with a stretch of the text."""
    tokens = tuple(i for i, (a, b) in enumerate(prompt.offsets) if a < stop and b > start and b > a)
    if not tokens:
        raise PositionError(f"No token covers characters {start} to {stop} of {prompt.text!r}.")
    return tokens
