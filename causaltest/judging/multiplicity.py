"""Families of claims: Bonferroni for each verdict, Holm for the summary."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.errors import JudgementError


def bonferroni(alpha: float, family_size: int) -> float:
    """The alpha of one claim, so that a verdict never depends on which other claims were selected."""
    check_family(family_size)
    return alpha / family_size


def adjusted(p: float, family_size: int) -> float:
    """The Bonferroni-adjusted p-value."""
    check_family(family_size)
    return min(1.0, p * family_size)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm-adjusted p-values, in the order given (Holm 1979, Scand. J. Stat. 6:65)."""
    count = len(p_values)
    ascending = sorted(range(count), key=lambda i: p_values[i])
    result, largest = [1.0] * count, 0.0
    for rank, i in enumerate(ascending):
        largest = max(largest, min(1.0, (count - rank) * p_values[i]))
        result[i] = largest
    return tuple(result)


def check_family(family_size: int) -> None:
    if family_size < 1:
        raise JudgementError(f"family_size={family_size}: a family has at least the one claim being judged.")
