"""Proportions: the exact binomial test, and Korn-Graubard where pairs share clusters."""

from __future__ import annotations

import numpy as np
from scipy import special

from causaltest.judging.bounds import Bound, Thresholds, agreed, widest
from causaltest.judging.sample import Sample

EXACT = "exact binomial"
KORN_GRAUBARD = "Korn-Graubard"


def exact_binomial(successes: float, n: float, thresholds: Thresholds, *, procedure: str = EXACT) -> Bound:
    """Clopper and Pearson (1934, Biometrika 26:404) by the beta distribution; `n` need not be whole."""
    alpha, failures = thresholds.alpha, n - successes
    lower = float(special.betaincinv(successes, failures + 1, alpha)) if successes > 0 else 0.0
    upper = float(special.betaincinv(successes + 1, failures, 1 - alpha)) if failures > 0 else 1.0
    return agreed(
        procedure,
        thresholds,
        lower=lower,
        upper=upper,
        above=at_least_as_many(successes, n, thresholds.floor),
        below=at_least_as_many(failures, n, 1 - thresholds.ceiling),
    )


def at_least_as_many(successes: float, n: float, proportion: float) -> float:
    """P(K >= successes) of a binomial, as the regularised beta function I_p(k, n - k + 1).

    No proportion is below 0, so the hypothesis that it is has no probability whatever was seen.
    """
    if proportion < 0:
        return 0.0
    if successes <= 0:
        return 1.0
    return float(special.betainc(successes, n - successes + 1, min(1.0, max(0.0, proportion))))


def korn_graubard(sample: Sample, thresholds: Thresholds) -> Bound:
    """The exact bound at the effective n (Korn and Graubard 1998, Survey Methodology 24:193).

    Where every pair came out alike, the correlation within clusters cannot be estimated and the
    effective n is the number of clusters. One exception among the pairs tells hardly more about
    that correlation, so the bound is never tighter than the one that no exception would give.
    """
    proportion = sample.estimate
    n = effective_n(sample, thresholds.alpha)
    units = float(sample.units)
    estimated = exact_binomial(proportion * n, n, thresholds, procedure=KORN_GRAUBARD)
    all_right = exact_binomial(units, units, thresholds, procedure=KORN_GRAUBARD)
    all_wrong = exact_binomial(0.0, units, thresholds, procedure=KORN_GRAUBARD)
    ceiling_above = Bound(KORN_GRAUBARD, all_right.lower, all_wrong.upper, all_right.p_above, all_wrong.p_below)
    hull = widest((estimated, ceiling_above))
    return Bound(KORN_GRAUBARD, hull.lower, hull.upper, hull.p_above, hull.p_below)


def effective_n(sample: Sample, alpha: float) -> float:
    """Independent pairs that would carry as much, with the t adjustment; never above n."""
    pairs, units, proportion = sample.n, sample.units, sample.estimate
    if units < 2:
        return 1.0
    if proportion in (0.0, 1.0):
        return float(units)
    variance = linearised_variance(sample)
    # clusters that spread less than chance would have them are luck, not information
    raw = min(pairs, proportion * (1 - proportion) / variance) if variance > 0 else pairs
    # Korn and Graubard's equation for few degrees of freedom, at a one-sided alpha
    return float(raw * (special.stdtrit(pairs - 1, 1 - alpha) / special.stdtrit(units - 1, 1 - alpha)) ** 2)


def linearised_variance(sample: Sample) -> float:
    """Variance of a ratio of cluster totals by its linear term (Cochran 1977, section 6.3)."""
    residuals = sample.residuals(sample.estimate)
    units = sample.units
    return float(units / (units - 1) * np.square(residuals).sum() / sample.weights.sum() ** 2)
