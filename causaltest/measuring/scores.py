"""Scores: a metric read off a run, the same for every arm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from causaltest.asking.metrics import Metric
from causaltest.errors import ClaimError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Run
from causaltest.measuring.prompts import TokenPair

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def tokens_needed(metric: Metric, pairs: Sequence[TokenPair]) -> int:
    """How many answer tokens a metric reads."""
    if metric.name == "exact_match":
        return metric.max_new_tokens or 1
    if metric.name == "accuracy":
        return max(len(p.answer) for p in pairs)
    return 1


def score(metric: Metric, model: LoadedModel, run: Run, pairs: Sequence[TokenPair]) -> tuple[float, ...]:
    """The metric of each row. Raises ClaimError when a pair lacks what the metric reads."""
    # One transfer for all rows, where the model is not on the CPU.
    run = replace(run, tokens=run.tokens.cpu(), logits=run.logits.cpu())
    return tuple(SCORERS[metric.name](metric, model, run, row, pair) for row, pair in enumerate(pairs))


def accuracy(_: Metric, __: LoadedModel, run: Run, row: int, pair: TokenPair) -> float:
    return float(tuple(run.tokens[row, : len(pair.answer)].tolist()) == pair.answer)


def exact_match(metric: Metric, model: LoadedModel, run: Run, row: int, pair: TokenPair) -> float:
    wanted = extracted(metric, pair.pair.answer)
    if wanted is None:
        # No number would equal no number: every text without one would count as right.
        raise ClaimError(
            f"{pair.pair.id}: the answer {pair.pair.answer!r} holds no number, which "
            'exact_match(extract="last_number") compares; use extract="text", or give the number.'
        )
    return float(extracted(metric, text_of(model.tokenizer, run.tokens[row].tolist())) == wanted)


def logit(metric: Metric, _: LoadedModel, run: Run, row: int, pair: TokenPair) -> float:
    return clipped(metric, float(run.logits[row, 0, one_token(metric, pair, pair.answer)]))


def logit_diff(metric: Metric, _: LoadedModel, run: Run, row: int, pair: TokenPair) -> float:
    if pair.corrupt_answer is None:
        raise ClaimError(
            f"{pair.pair.id} has no corrupt_answer, which logit_diff compares with; use logit, or give it."
        )
    right, wrong = (one_token(metric, pair, ids) for ids in (pair.answer, pair.corrupt_answer))
    logits = run.logits[row, 0]
    return clipped(metric, float(logits[right]) - float(logits[wrong]))


SCORERS = {"accuracy": accuracy, "exact_match": exact_match, "logit": logit, "logit_diff": logit_diff}


def one_token(metric: Metric, pair: TokenPair, ids: tuple[int, ...]) -> int:
    if len(ids) > 1 and not metric.first_token:
        raise ClaimError(
            f"{pair.pair.id}: an answer has {len(ids)} tokens, and {metric.name} reads one. Say "
            f"{metric.name}(first_token=True) to read the first, or use accuracy, which reads all."
        )
    return ids[0]


def clipped(metric: Metric, value: float) -> float:
    return value if metric.range is None else min(max(value, metric.range[0]), metric.range[1])


def text_of(tokenizer: Any, tokens: list[int]) -> str:
    """Generated text up to the end-of-sequence token."""
    if tokenizer.eos_token_id in tokens:
        tokens = tokens[: tokens.index(tokenizer.eos_token_id)]
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()


def extracted(metric: Metric, text: str) -> str | float | None:
    if metric.extract == "text":
        return text.strip()
    numbers = NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None
