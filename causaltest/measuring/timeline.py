"""A run's timeline: the segments that are computed one after the other, in absolute positions.

A decoder has its prompt, then one segment per generated token. A latent reasoner's prompt ends
with its begin tokens, then come a segment per thought, the end tokens if any, and the generated tokens.
Where the answer is teacher-forced, its tokens are given and stand in the segment before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel

Kind = Literal["prompt", "thought", "end", "token"]


@dataclass(frozen=True)
class Segment:
    """Positions `start` to `stop` (excluded), which need what the segment before them gave."""

    kind: Kind
    start: int
    stop: int
    answers: int
    """How many answer tokens are predicted, from as many last positions."""


def timeline(model: LoadedModel, prompt_tokens: int, new_tokens: int, *, forced: bool = False) -> tuple[Segment, ...]:
    """The segments of a run to `new_tokens` answer tokens; the last of these is predicted and never read."""
    reasoning = model.reasoning
    lengths: list[tuple[Kind, int]] = [("prompt", prompt_tokens)]
    if reasoning is not None:
        lengths = [("prompt", prompt_tokens + len(reasoning.begin))]
        lengths += [("thought", 1) for _ in range(reasoning.thoughts)]
        # Pause tokens may stand without an end token; then the last of them answers.
        lengths += [("end", len(reasoning.end))] if reasoning.end else []
    before = len(lengths) - 1
    if forced:
        kind, length = lengths[before]
        lengths[before] = (kind, length + new_tokens - 1)
    else:
        lengths += [("token", 1) for _ in range(new_tokens - 1)]
    answers = new_tokens if forced else 1
    segments, start = [], 0
    for number, (kind, length) in enumerate(lengths):
        segments.append(Segment(kind, start, start + length, answers if number >= before else 0))
        start += length
    return tuple(segments)


def run_length(model: LoadedModel, prompt_tokens: int, new_tokens: int) -> int:
    """Positions that a run computes: all but the last generated token."""
    return timeline(model, prompt_tokens, new_tokens)[-1].stop


def check_length(model: LoadedModel, prompt_tokens: int, new_tokens: int) -> None:
    """Raises MeasurementError when the model has fewer positions than a run needs."""
    has = getattr(model.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    needs = run_length(model, prompt_tokens, new_tokens)
    if has is not None and needs > has:
        raise MeasurementError(
            f"{model.name} has {has} positions, and a prompt of {prompt_tokens} tokens with {new_tokens} answer tokens "
            f"needs {needs}. Shorten the prompts, or ask for fewer tokens with max_new_tokens=."
        )
