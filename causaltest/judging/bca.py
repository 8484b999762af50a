"""BCa bootstrap over units, by scipy.stats.bootstrap (Efron 1987, J. Am. Stat. Assoc. 82:171)."""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy import stats

from causaltest.judging.bounds import Bound, Thresholds, agreed, silent
from causaltest.judging.sample import Floats, Sample

BCA = "BCa"

# indices held at once: 2**22 of 8 bytes are 32 MB, whatever the number of units
INDICES_AT_ONCE = 2**22


def bca(sample: Sample, thresholds: Thresholds, *, resamples: int, seed: int) -> Bound:
    """Resamples whole units and takes the ratio of their sums; each bound one-sided at alpha."""
    if sample.units < 2:
        return silent(BCA)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate data give NaN, which is answered below
        result = stats.bootstrap(
            (sample.totals, sample.weights),
            ratio_of_sums,
            paired=True,
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, INDICES_AT_ONCE // sample.units),
            confidence_level=1 - 2 * thresholds.alpha,
            method="BCa",
            rng=np.random.default_rng((seed, 1)),
        )
    replicates = np.asarray(result.bootstrap_distribution, dtype=np.float64)
    lower, upper = float(result.confidence_interval.low), float(result.confidence_interval.high)
    # one resample whose denominators sum to zero or less makes the ratio's whole tail meaningless
    if not (math.isfinite(lower) and math.isfinite(upper) and np.isfinite(replicates).all()):
        return silent(BCA)
    bias, acceleration = bias_of(replicates, sample.estimate), acceleration_of(sample)
    return agreed(
        BCA,
        thresholds,
        lower=lower,
        upper=upper,
        above=p_above(replicates, thresholds.floor, bias, acceleration),
        below=p_above(-replicates, -thresholds.ceiling, -bias, -acceleration),
    )


def ratio_of_sums(totals: Floats, weights: Floats, axis: int = -1) -> Floats:
    """NaN where the denominators sum to zero or less, where the ratio has no meaning."""
    below = np.asarray(weights.sum(axis=axis))
    ratio: Floats = np.asarray(totals.sum(axis=axis) / np.where(below > 0, below, np.nan))
    return ratio


def share_below(replicates: Floats, value: float) -> float:
    """The share of replicates below a value, ties counted half, kept off 0 and 1."""
    count = len(replicates)
    share = (np.count_nonzero(replicates < value) + np.count_nonzero(replicates <= value)) / (2 * count)
    return float(min(max(share, 1 / (count + 1)), count / (count + 1)))


def bias_of(replicates: Floats, estimate: float) -> float:
    """Efron's z0: how far the estimate is from the median replicate, in standard deviations."""
    return float(stats.norm.ppf(share_below(replicates, estimate)))


def acceleration_of(sample: Sample) -> float:
    """Efron's a, from leaving out one unit at a time."""
    below = sample.weights.sum() - sample.weights
    if (below <= 0).any():
        return 0.0
    left_out = (sample.totals.sum() - sample.totals) / below
    away = left_out.mean() - left_out
    scale = float(np.square(away).sum()) ** 1.5
    return float((away**3).sum() / (6 * scale)) if scale > 0 else 0.0


def p_above(replicates: Floats, threshold: float, bias: float, acceleration: float) -> float:
    """The alpha at which the BCa lower bound is the threshold: Efron 1987, equation 2.3, solved for alpha."""
    away = float(stats.norm.ppf(share_below(replicates, threshold))) - bias
    slope = 1 + acceleration * away
    if slope <= 0:
        return 1.0 if away > 0 else 1 / (len(replicates) + 1)
    return max(float(stats.norm.cdf(away / slope - bias)), 1 / (len(replicates) + 1))
