"""Eligibility: which pairs count, decided from the clean and corrupt runs and never from a patched one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from causaltest.asking.metrics import Metric
from causaltest.measuring.prompts import TokenPair


def exclusion(metric: Metric, pair: TokenPair, clean: float, corrupt: float, own: float | None = None) -> str | None:
    """Why a pair does not count, or None when it does.

    For right-or-wrong metrics the clean run must give `answer`, the corrupt run must not, and
    the two answers must differ. For continuous metrics all pairs count. `own`, where it is asked for, is whether the
    corrupt run gives `corrupt_answer`, as it then must.
    """
    if metric.kind == "continuous":
        return None
    if pair.pair.corrupt_answer is not None and pair.pair.corrupt_answer.strip() == pair.pair.answer.strip():
        return "the two answers are the same"
    if not clean:
        return "the clean run does not give the answer"
    if corrupt:
        return "the corrupt run already gives the clean answer"
    if own is not None and not own:
        return "the corrupt run does not give its own answer"
    return None


def reasons(
    metric: Metric,
    pairs: Sequence[TokenPair],
    clean: Sequence[float],
    corrupt: Sequence[float],
    own: Sequence[float] | None = None,
) -> list[str | None]:
    """`exclusion` of each pair."""
    asked = [None] * len(pairs) if own is None else own
    return [exclusion(metric, p, a, b, c) for p, a, b, c in zip(pairs, clean, corrupt, asked, strict=True)]


def turned(pairs: Sequence[TokenPair]) -> list[TokenPair]:
    """The pairs with the corrupt run's own answer as the one that is asked for."""
    out = []
    for pair in pairs:
        assert pair.corrupt_answer is not None and pair.pair.corrupt_answer is not None  # refused by the experiment
        out.append(replace(pair, answer=pair.corrupt_answer, pair=replace(pair.pair, answer=pair.pair.corrupt_answer)))
    return out
