"""Positions resolved: from a description to the absolute positions of one run."""

from __future__ import annotations

from dataclasses import dataclass

from causaltest.asking.correspondence import Stretch, counterpart
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
    """The tokens of a named span or of a text, the same in both prompts."""
    return of_span(str(position.text), pair) if position.kind == "span" else of_text(position, pair)


def of_span(name: str, pair: TokenPair) -> tuple[int, ...]:
    own = pair.pair
    if name not in own.spans:
        raise PositionError(
            f"{own.id} has no span {name!r}; it has {sorted(own.spans) or 'none'}. "
            "Name it in Pair(spans={name: (first character, past the last)})."
        )
    clean = trimmed(own.clean, own.spans[name])
    corrupt = own.corrupt_spans.get(name) or counterpart(own.clean, own.corrupt, clean)
    if corrupt is None:
        raise PositionError(
            f"{own.id}: the span {name!r}, {own.clean[slice(*clean)]!r}, is in the clean prompt, and it is not clear "
            f"where it stands in the corrupt one. Say it with Pair(corrupt_spans={{{name!r}: (first character, past "
            f"the last)}}). They read:\n  clean   {own.clean!r}\n  corrupt {own.corrupt!r}"
        )
    return in_both(f"span {name!r}", pair, clean, trimmed(own.corrupt, corrupt))


def of_text(position: Position, pair: TokenPair) -> tuple[int, ...]:
    own, text = pair.pair, str(position.text)
    clean, corrupt = (occurrence(prompt, position, pair) for prompt in (own.clean, own.corrupt))
    if clean is None and corrupt is None:
        raise PositionError(f"{own.id}: the prompt has no {text!r}. It reads: {own.clean!r}")
    # A text of one prompt only is what the pair differs in: the other prompt has another in its place.
    if corrupt is None and clean is not None:
        corrupt = counterpart(own.clean, own.corrupt, clean)
    elif clean is None and corrupt is not None:
        clean = counterpart(own.corrupt, own.clean, corrupt)
    if clean is None or corrupt is None:
        raise PositionError(
            f"{own.id}: {text!r} is in one of the two prompts, and it is not clear what stands in its place in the "
            "other. Name the stretch in both, with Pair(spans=..., corrupt_spans=...), and use span(name). They "
            f"read:\n  clean   {own.clean!r}\n  corrupt {own.corrupt!r}"
        )
    return in_both(repr(text), pair, clean, corrupt)


def in_both(what: str, pair: TokenPair, clean: Stretch, corrupt: Stretch) -> tuple[int, ...]:
    """The tokens of a stretch, given in characters of either prompt. Raises PositionError when they differ."""
    tokens, others = covering(pair.clean, *clean), covering(pair.corrupt, *corrupt)
    if tokens != others:
        pieces = [[p.piece(i) for i in at] for p, at in ((pair.clean, tokens), (pair.corrupt, others))]
        raise PositionError(
            f"{pair.pair.id}: {what} stands at tokens {tokens} of the clean prompt and at {others} of the corrupt "
            f"one, so it names no one position. They read {pieces[0]} and {pieces[1]}. Reword one of them until the "
            "tokens are the same, or use index(...)."
        )
    return tokens


def occurrence(prompt: str, position: Position, pair: TokenPair) -> Stretch | None:
    """The characters of a text in a prompt, or None where it has none."""
    text = str(position.text)
    starts = [i for i in range(len(prompt)) if prompt.startswith(text, i)]
    if not starts:
        return None
    if position.occurrence is None and len(starts) > 1:
        raise PositionError(
            f"{pair.pair.id}: {text!r} stands {len(starts)} times in the prompt; say which with "
            f"{position.kind}({text!r}, occurrence=0). It reads: {prompt!r}"
        )
    which = position.occurrence or 0
    if which >= len(starts):
        raise PositionError(f"{pair.pair.id}: {text!r} stands {len(starts)} times; there is no occurrence {which}.")
    return trimmed(prompt, (starts[which], starts[which] + len(text)))


def trimmed(text: str, stretch: Stretch) -> Stretch:
    """A stretch without the spaces around it: some tokenizers count a space to the token after it, some to none."""
    start, stop = stretch
    inside = text[start:stop]
    if not inside.strip(" "):
        return stretch
    return (stop - len(inside.lstrip(" ")), start + len(inside.rstrip(" ")))


def covering(prompt: Prompt, start: int, stop: int) -> tuple[int, ...]:
    """The tokens that share a character with a stretch of the pair's own text."""
    begin, end = start + prompt.begin, stop + prompt.begin
    tokens = tuple(i for i, (a, b) in enumerate(prompt.offsets) if a < end and b > begin and b > a)
    if not tokens:
        raise PositionError(f"No token covers characters {start} to {stop} of {prompt.text[prompt.begin :]!r}.")
    return tokens
