"""Eligibility: which pairs count, decided from the clean and corrupt runs and never from a patched one."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.asking.metrics import Metric
from causaltest.measuring.prompts import TokenPair


def exclusion(metric: Metric, pair: TokenPair, clean: float, corrupt: float) -> str | None:
    """Why a pair does not count, or None when it does.

    For right-or-wrong metrics the clean run must give `answer`, the corrupt run must not, and
    the two answers must differ. For continuous metrics all pairs count.
    """
    if metric.kind == "continuous":
        return None
    if pair.pair.corrupt_answer is not None and pair.pair.corrupt_answer.strip() == pair.pair.answer.strip():
        return "the two answers are the same"
    if not clean:
        return "the clean run does not give the answer"
    if corrupt:
        return "the corrupt run already gives the clean answer"
    return None


def reasons(
    metric: Metric, pairs: Sequence[TokenPair], clean: Sequence[float], corrupt: Sequence[float]
) -> list[str | None]:
    """`exclusion` of each pair."""
    return [exclusion(metric, p, a, b) for p, a, b in zip(pairs, clean, corrupt, strict=True)]
