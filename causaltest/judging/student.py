"""t on cluster totals: Fieller's test and interval for a ratio of sums, of which a mean is one."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from causaltest.judging.bounds import Bound, Thresholds, agreed, silent
from causaltest.judging.sample import Floats, Sample

STUDENT = "t on cluster totals"


def student(sample: Sample, thresholds: Thresholds) -> Bound:
    """Tests `sum(value - X * denominator)` per unit against zero, and inverts that test.

    Totals, not means of clusters: where a cluster's size carries information, the mean of cluster
    means estimates something else.
    """
    if sample.units < 2:
        return silent(STUDENT)
    lower, upper = fieller_interval(sample, thresholds.alpha)
    return agreed(
        STUDENT,
        thresholds,
        lower=lower,
        upper=upper,
        above=t_above_zero(sample.residuals(thresholds.floor)),
        below=t_above_zero(-sample.residuals(thresholds.ceiling)),
    )


def t_above_zero(units: Floats) -> float:
    """One-sided p for "the mean is above zero"; without spread, no t and p = 1."""
    if len(units) < 2:
        return 1.0
    spread = float(units.std(ddof=1))
    if spread == 0.0:
        return 1.0
    return float(stats.t.sf(units.mean() / spread * math.sqrt(len(units)), len(units) - 1))


def fieller_interval(sample: Sample, alpha: float) -> tuple[float, float]:
    """The X with |t(X)| <= t at 1 - alpha: the roots of a quadratic (Fieller 1954, equation 9).

    Unbounded when the denominators are not clearly away from zero at this alpha.
    """
    units = sample.units
    squared = float(stats.t.ppf(1 - alpha, units - 1)) ** 2 / units
    above, below = float(sample.totals.mean()), float(sample.weights.mean())
    covariance = np.cov(sample.totals, sample.weights)
    leading = below**2 - squared * float(covariance[1, 1])
    middle = above * below - squared * float(covariance[0, 1])
    constant = above**2 - squared * float(covariance[0, 0])
    if leading <= 0:
        return -math.inf, math.inf
    half = math.sqrt(max(0.0, middle**2 - leading * constant)) / leading
    return middle / leading - half, middle / leading + half
