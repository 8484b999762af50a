"""BCa bootstrap over units (Efron 1987, J. Am. Stat. Assoc. 82:171), with scipy.stats.bootstrap's bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from causaltest.judging.bounds import Bound, Thresholds, agreed, silent
from causaltest.judging.resampling import bootstrap_rows, sums_over
from causaltest.judging.sample import Floats, Sample

BCA = "BCa"


@dataclass(frozen=True, eq=False)
class Replicates:
    """The ratio of sums of the sample, and of each resample in ascending order; NaN where it has no meaning."""

    estimate: float
    ascending: Floats
    """[resample]"""

    @property
    def finite(self) -> bool:
        # in ascending order NaN comes last
        return math.isfinite(self.estimate) and bool(np.isfinite(self.ascending[[0, -1]]).all())


def replicates_of(samples: Sequence[Sample], *, resamples: int, seed: int) -> list[Replicates]:
    """Of samples with as many units each: the same resamples of whole units serve all of them."""
    if not samples:
        return []
    columns = [column for sample in samples for column in (sample.totals, sample.weights)]
    sums = sums_over(bootstrap_rows(samples[0].units, resamples=resamples, seed=seed), columns)
    return [
        Replicates(float(ratio(np.float64(above.own), np.float64(below.own))), np.sort(ratio(above.rows, below.rows)))
        for above, below in zip(sums[::2], sums[1::2], strict=True)
    ]


def ratio(totals: Floats | np.float64, weights: Floats | np.float64) -> Floats:
    """NaN where the denominators sum to zero or less, where the ratio has no meaning."""
    meaningful = weights if weights.min() > 0 else np.where(weights > 0, weights, np.nan)
    return np.asarray(totals / meaningful)


def bca(sample: Sample, thresholds: Thresholds, replicates: Replicates) -> Bound:
    """Each bound one-sided at alpha: the replicate at a level corrected for bias and acceleration."""
    # one resample whose denominators sum to zero or less makes the ratio's whole tail meaningless
    if sample.units < 2 or not replicates.finite:
        return silent(BCA)
    acceleration = acceleration_of(sample)
    # rounding may have moved the estimate and a replicate, each by so much
    slack = sample.estimate_slack
    share = share_below(replicates.ascending, replicates.estimate, within=2 * slack)
    if not (0 < share < 1 and math.isfinite(acceleration)):
        return silent(BCA)
    bias, off = float(special.ndtri(share)), float(special.ndtri(thresholds.alpha))
    levels = [level_of(z, bias, acceleration) for z in (off, -off)]
    if not all(math.isfinite(level) for level in levels):
        return silent(BCA)
    return agreed(
        BCA,
        thresholds,
        lower=quantile(replicates.ascending, levels[0]) - slack,
        upper=quantile(replicates.ascending, levels[1]) + slack,
        above=p_above(replicates.ascending, thresholds.floor, bias, acceleration, within=slack),
        below=p_above(-replicates.ascending[::-1], -thresholds.ceiling, -bias, -acceleration, within=slack),
    )


def share_below(ascending: Floats, value: float, *, within: float) -> float:
    """The share of replicates below a value, ties counted half; those `within` of it are ties."""
    below = np.searchsorted(ascending, value - within, "left")
    at_most = np.searchsorted(ascending, value + within, "right")
    return float(below + at_most) / (2 * len(ascending))


def level_of(z: float, bias: float, acceleration: float) -> float:
    """The level of the replicate that is the bound at z (Efron 1987, equation 2.3); NaN where there is none."""
    slope = 1 - acceleration * (bias + z)
    return float(special.ndtr(bias + (bias + z) / slope)) if slope else math.nan


def quantile(ascending: Floats, level: float) -> float:
    """Interpolated linearly between two replicates, as in scipy.stats.quantile."""
    at = level * (len(ascending) - 1)
    first = min(math.floor(at), len(ascending) - 2) if len(ascending) > 1 else 0
    second = min(first + 1, len(ascending) - 1)
    return float(ascending[first] + (at - first) * (ascending[second] - ascending[first]))


def acceleration_of(sample: Sample) -> float:
    """Efron's a, from leaving out one unit at a time; NaN where that cannot be done.

    Leaving unit i out moves the ratio by `-residual / (sum of the other weights)`: written so, nothing
    large cancels.
    """
    others = sample.weights.sum() - sample.weights
    if (others <= 0).any():
        return math.nan
    moved = sample.residuals(sample.estimate) / others
    away = moved - moved.mean()
    scale = float(np.square(away).sum()) ** 1.5
    return float((away**3).sum()) / (6 * scale) if scale > 0 else math.nan


def p_above(ascending: Floats, threshold: float, bias: float, acceleration: float, *, within: float) -> float:
    """The alpha at which the BCa lower bound is the threshold: Efron 1987, equation 2.3, solved for alpha."""
    smallest = 1 / (len(ascending) + 1)
    # kept off 0 and 1, where the normal quantile is infinite
    share = min(max(share_below(ascending, threshold, within=within), smallest), 1 - smallest)
    away = float(special.ndtri(share)) - bias
    slope = 1 + acceleration * away
    if slope <= 0:
        return 1.0 if away > 0 else smallest
    return max(float(special.ndtr(away / slope - bias)), smallest)
