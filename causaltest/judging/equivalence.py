"""What a claim asks of a bound on each side; `negligible` by two one-sided tests.

Two one-sided tests (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657): an effect is within the
margin when both "above -margin" and "below +margin" clear, each at the full alpha.
"""

from __future__ import annotations

from causaltest.asking.predictions import Prediction
from causaltest.judging.bounds import Bound, Thresholds


def thresholds_of(prediction: Prediction, alpha: float) -> Thresholds:
    """The one threshold of the claim, or the two ends of its margin."""
    threshold = prediction.threshold
    return Thresholds(-threshold if prediction.relation == "negligible" else threshold, threshold, alpha)


def p_of(prediction: Prediction, bound: Bound) -> float:
    """The p-value of the claim itself; of the two one-sided tests, the larger."""
    if prediction.relation == "negligible":
        return max(bound.p_above, bound.p_below)
    return bound.p_below if prediction.relation == "at_most" else bound.p_above


def supports(prediction: Prediction, bound: Bound, thresholds: Thresholds) -> bool:
    """Whether the bound and its p-value both place the effect where the claim says."""
    if p_of(prediction, bound) > thresholds.alpha:
        return False
    if prediction.relation == "at_most":
        return bound.upper <= thresholds.ceiling
    if prediction.relation == "negligible":
        return thresholds.floor <= bound.lower and bound.upper <= thresholds.ceiling
    if prediction.relation == "greater_than":
        return bound.lower > thresholds.floor
    return bound.lower >= thresholds.floor


def refutes(prediction: Prediction, bound: Bound, thresholds: Thresholds) -> bool:
    """Whether the bound places the effect where the claim says that it is not."""
    if prediction.relation == "at_most":
        return bound.lower > thresholds.ceiling
    if prediction.relation == "negligible":
        return bound.lower > thresholds.ceiling or bound.upper < thresholds.floor
    return bound.upper < thresholds.floor
