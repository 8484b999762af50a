"""What a claim asks of a bound on each side; `negligible` and `between` by two one-sided tests.

Two one-sided tests (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657): an effect is within a
range when both "above its floor" and "below its ceiling" clear, each at the full alpha.
"""

from __future__ import annotations

import math

from causaltest.asking.predictions import Prediction
from causaltest.judging.bounds import Bound, Thresholds


def thresholds_of(prediction: Prediction, alpha: float) -> Thresholds:
    """The one threshold of the claim, on both sides, or the two ends of its range."""
    ends = [end for end in (prediction.floor, prediction.ceiling) if math.isfinite(end)]
    return Thresholds(ends[0], ends[-1], alpha)


def p_of(prediction: Prediction, bound: Bound) -> float:
    """The p-value of the claim itself; of the two one-sided tests, the larger."""
    if prediction.is_two_sided:
        return max(bound.p_above, bound.p_below)
    return bound.p_below if prediction.relation == "at_most" else bound.p_above


def supports(prediction: Prediction, bound: Bound, thresholds: Thresholds) -> bool:
    """Whether the bound and its p-value both place the effect where the claim says."""
    if p_of(prediction, bound) > thresholds.alpha:
        return False
    if prediction.relation == "greater_than":
        return bound.lower > thresholds.floor
    return prediction.floor <= bound.lower and bound.upper <= prediction.ceiling


def refutes(prediction: Prediction, bound: Bound) -> bool:
    """Whether the bound places the effect where the claim says that it is not."""
    return bound.lower > prediction.ceiling or bound.upper < prediction.floor
