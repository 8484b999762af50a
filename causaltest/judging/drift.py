"""Two effects that are the same in every pair, within the rounding that was measured: nothing to infer.

A continuous score that two runs give alike to the last digits comes from the same computation, however
few the pairs are. Right-or-wrong outcomes are too coarse for that: equal answers are no equal runs.
"""

from __future__ import annotations

import numpy as np

from causaltest.asking.predictions import Prediction
from causaltest.judging.bounds import SMALLEST_P, Bound, Thresholds, agreed
from causaltest.judging.sample import RELATIVE_ROUNDING, Sample

IDENTICAL = "identical within rounding"
FINE = 0.1
"""Rounding that is a larger share of the margin is too coarse to tell the same computation from a similar one."""


def is_identical(sample: Sample, prediction: Prediction) -> bool:
    """Whether a claim of no change is settled by the pairs themselves, without any test."""
    if prediction.relation != "unchanged" or sample.coarse_arms:
        return False
    alike = bool((np.abs(sample.values) <= rounding_of_arms(sample)).all())
    return alike and sample.estimate - reach(sample) >= prediction.floor


def identical(sample: Sample, thresholds: Thresholds) -> Bound:
    """The estimate, and as far about it as rounding can have moved every pair the same way."""
    slack = reach(sample)
    return agreed(
        IDENTICAL,
        thresholds,
        lower=sample.estimate - slack,
        upper=sample.estimate + slack,
        above=SMALLEST_P,
        below=SMALLEST_P if sample.estimate + slack <= thresholds.ceiling else 1.0,
    )


def is_fine(sample: Sample, prediction: Prediction) -> bool:
    """Whether rounding is so small beside the margin that a single pair can show what is claimed."""
    return reach(sample) <= FINE * prediction.threshold


def rounding_of_arms(sample: Sample) -> float:
    """What was measured; at least a billionth of the largest value of an arm, however small their difference is."""
    largest = max((float(np.abs(arm).max()) for arm in sample.arms or ()), default=0.0)
    return max(sample.rounding, RELATIVE_ROUNDING * largest)


def reach(sample: Sample) -> float:
    """How far rounding moves the effect, if it moves every pair the same way."""
    through_denominators = 1 + abs(sample.estimate) if sample.kind == "ratio" else 1.0
    return rounding_of_arms(sample) * through_denominators * sample.n / float(sample.weights.sum())
