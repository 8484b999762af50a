"""Scores: a metric read off runs, the same for every arm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from causaltest.asking.metrics import Metric
from causaltest.errors import ClaimError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.planner import Ints
from causaltest.measuring.prompts import TokenPair
from causaltest.measuring.trajectory import Run

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
Floats = NDArray[np.float64]


def tokens_needed(metric: Metric, pairs: Sequence[TokenPair], *, both: bool = False) -> int:
    """How many answer tokens a metric reads; `both`: of the corrupt answer too."""
    if metric.name == "exact_match":
        return metric.max_new_tokens or 1
    if metric.name == "accuracy":
        return max(len(ids) for p in pairs for ids in (p.answer, *((p.corrupt_answer or (),) if both else ())))
    return 1


def chooses_tokens(metric: Metric) -> bool:
    """Whether a metric reads generated tokens, and not logits of its own."""
    return metric.name in ("accuracy", "exact_match")


def reads_total(metric: Metric) -> bool:
    """Whether a metric needs the logits of all tokens, because they share what it reads."""
    return metric.name == "probability"


def score(metric: Metric, model: LoadedModel, run: Run, columns: Tensor, pairs: Sequence[TokenPair]) -> Floats:
    """The metric of each row, which are those of `pairs`, without the metric's range. [row]

    `columns` are the token ids of the run's logits, ascending. Raises ClaimError when a pair lacks
    what the metric reads.
    """
    if metric.name == "accuracy":
        return accuracy(run, pairs)
    if metric.name == "exact_match":
        return exact_match(metric, model, run, pairs)
    logits = run.logits[:, 0].double().cpu().numpy()
    if metric.name == "probability":
        assert run.total is not None  # kept for every batch that reads it
        ((_, tokens),) = answer_tokens(metric, pairs)
        given = np.exp(logits_of(logits, columns, tokens) - run.total.double().cpu().numpy())
        # Above 1 by rounding alone.
        likely: Floats = np.minimum(given, 1.0)
        return likely
    parts = [sign * logits_of(logits, columns, tokens) for sign, tokens in answer_tokens(metric, pairs)]
    total: Floats = np.sum(parts, axis=0)
    return total


def accuracy(run: Run, pairs: Sequence[TokenPair]) -> Floats:
    tokens = run.tokens.cpu().tolist()
    return np.array(
        [float(tuple(row[: len(p.answer)]) == p.answer) for row, p in zip(tokens, pairs, strict=True)], dtype=np.float64
    )


def exact_match(metric: Metric, model: LoadedModel, run: Run, pairs: Sequence[TokenPair]) -> Floats:
    out = []
    for row, pair in zip(run.tokens.cpu().tolist(), pairs, strict=True):
        wanted = extracted(metric, pair.pair.answer)
        if wanted is None:
            # No number would equal no number: every text without one would count as right.
            raise ClaimError(
                f"{pair.pair.id}: the answer {pair.pair.answer!r} holds no number, which "
                'exact_match(extract="last_number") compares; use extract="text", or give the number.'
            )
        given = text_of(model.tokenizer, row[: metric.max_new_tokens or 1])
        out.append(float(extracted(metric, given) == wanted))
    return np.array(out, dtype=np.float64)


def answer_tokens(metric: Metric, pairs: Sequence[TokenPair]) -> list[tuple[float, list[int]]]:
    """The tokens whose logits, each with its sign, make up a continuous metric: one per pair.

    Raises ClaimError when a pair lacks what the metric reads.
    """
    right = [one_token(metric, pair, pair.answer) for pair in pairs]
    if metric.name in ("logit", "probability"):
        return [(1.0, right)]
    wrong = []
    for pair in pairs:
        if pair.corrupt_answer is None:
            raise ClaimError(
                f"{pair.pair.id} has no corrupt_answer, which logit_diff compares with; use logit, or give it."
            )
        wrong.append(one_token(metric, pair, pair.corrupt_answer))
    return [(1.0, right), (-1.0, wrong)]


def logits_of(logits: Floats, columns: Tensor, tokens: Sequence[int]) -> Floats:
    """Each row's logit of its token."""
    at: Ints = np.searchsorted(columns.cpu().numpy(), np.array(tokens, dtype=np.int64))
    picked: Floats = logits[np.arange(len(at)), at]
    return picked


def one_token(metric: Metric, pair: TokenPair, ids: tuple[int, ...]) -> int:
    if len(ids) > 1 and not metric.first_token:
        raise ClaimError(
            f"{pair.pair.id}: an answer has {len(ids)} tokens, and {metric.name} reads one. Say "
            f"{metric.name}(first_token=True) to read the first, or use accuracy, which reads all."
        )
    return ids[0]


def within_range(metric: Metric, values: Floats) -> Floats:
    """The values, clipped to the metric's range."""
    if metric.range is None:
        return values
    clipped: Floats = np.clip(values, *metric.range)
    return clipped


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
