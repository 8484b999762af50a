"""t on cluster totals: Fieller's test and interval for a ratio of sums, of which a mean is one."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

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
        above=t_above_zero(sample.residuals(thresholds.floor), slack=float(sample.slack(thresholds.floor).max())),
        below=t_above_zero(-sample.residuals(thresholds.ceiling), slack=float(sample.slack(thresholds.ceiling).max())),
    )


def t_above_zero(units: Floats, *, slack: float = 0.0) -> float:
    """One-sided p for "the mean is above zero"; without spread, no t and p = 1.

    Units that rounding may each have moved by `slack` have no spread while they lie within twice that.
    """
    if len(units) < 2 or not differ(units, slack):
        return 1.0
    spread = float(units.std(ddof=1))
    return float(special.stdtr(len(units) - 1, -float(units.mean()) / spread * math.sqrt(len(units))))


def differ(units: Floats, slack: float) -> bool:
    """Whether the units differ by more than rounding, in the largest and smallest of them."""
    return float(units.max() - units.min()) > 2 * slack


def fieller_interval(sample: Sample, alpha: float) -> tuple[float, float]:
    """The X with |t(X)| <= t at 1 - alpha: the roots of a quadratic (Fieller 1954, equation 9).

    Unbounded when the denominators are not clearly away from zero at this alpha.
    """
    units = sample.units
    squared = float(special.stdtrit(units - 1, 1 - alpha)) ** 2 / units
    above, below = float(sample.totals.mean()), float(sample.weights.mean())
    covariance = np.cov(sample.totals, sample.weights)
    leading = below**2 - squared * float(covariance[1, 1])
    middle = above * below - squared * float(covariance[0, 1])
    constant = above**2 - squared * float(covariance[0, 0])
    if leading <= 0:
        return -math.inf, math.inf
    half = math.sqrt(max(0.0, middle**2 - leading * constant)) / leading
    return middle / leading - half, middle / leading + half
