"""Paired comparisons of two arms: exact McNemar, and the sign-flip test on cluster totals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causaltest.judging.bounds import Bound, Thresholds, agreed, probability
from causaltest.judging.proportion import exact_binomial
from causaltest.judging.resampling import flip_rows, sums_over
from causaltest.judging.sample import Floats, Sample

MCNEMAR = "exact McNemar"
SIGN_FLIP = "sign-flip on cluster totals"


def mcnemar(sample: Sample, thresholds: Thresholds) -> Bound:
    """Exact McNemar against zero: among the pairs where the arms differ, a fair coin (1947).

    The bounds are (2 share - 1) * (discordant pairs / n), the share and the discordant pairs each
    at its exact bound: conservative, and on the same side of zero as the test.
    """
    first_only = int(np.count_nonzero(sample.values > 0))
    second_only = int(np.count_nonzero(sample.values < 0))
    differ = first_only + second_only
    if differ == 0:
        often = exact_binomial(0, sample.n, Thresholds(1.0, 0.0, thresholds.alpha)).upper
        return Bound(MCNEMAR, -often, often, 1.0, 1.0)
    share = exact_binomial(first_only, differ, Thresholds(0.5, 0.5, thresholds.alpha))
    often_bound = exact_binomial(differ, sample.n, Thresholds(1.0, 0.0, thresholds.alpha))
    return Bound(
        MCNEMAR,
        lower_product(2 * share.lower - 1, often_bound),
        -lower_product(1 - 2 * share.upper, often_bound),
        share.p_above,
        share.p_below,
    )


def lower_product(excess: float, often: Bound) -> float:
    """The smaller of excess * often over the bounds of `often`."""
    return excess * (often.lower if excess > 0 else often.upper)


@dataclass(frozen=True, eq=False)
class Flips:
    """What the units flipped in each sign-flip sum to; the flip of no unit is left out."""

    totals: Floats
    """[flip]; sums that rounding alone keeps from zero are zero, so that they count as ties"""
    weights: Floats
    """[flip]"""


def flips_of(samples: Sequence[Sample], *, resamples: int, seed: int) -> list[Flips]:
    """Of samples with as many units each: the same flips serve all of them."""
    if not samples:
        return []
    columns = [column for sample in samples for column in (sample.totals, sample.weights)]
    sums = sums_over(flip_rows(samples[0].units, resamples=resamples, seed=seed), columns)
    return [
        Flips(without_rounding(above.rows, sample.totals, slack=sample.measured_rounding * sample.n), below.rows)
        for sample, above, below in zip(samples, sums[::2], sums[1::2], strict=True)
    ]


def sign_flip(thresholds: Thresholds, flips: Flips) -> Bound:
    """Whether the units' totals are symmetric about the threshold, as when the arms are exchangeable.

    The units flipped in one sign-flip have a ratio of sums of their own, and the flipped total
    reaches the observed one exactly when that ratio is at or below the threshold. So the bounds
    are order statistics of subset estimates (Hartigan 1969, J. Am. Stat. Assoc. 64:1303).
    """
    meaningful = flips.weights > 0
    ratios = np.divide(flips.totals, flips.weights, out=np.zeros_like(flips.totals), where=meaningful)
    low_first = np.sort(np.where(meaningful, ratios, -np.inf))
    high_first = np.sort(np.where(meaningful, -ratios, -np.inf))
    return agreed(
        SIGN_FLIP,
        thresholds,
        lower=order_statistic(low_first, thresholds.alpha),
        upper=-order_statistic(high_first, thresholds.alpha),
        above=(1 + np.count_nonzero(low_first <= thresholds.floor)) / (1 + len(ratios)),
        below=(1 + np.count_nonzero(high_first <= -thresholds.ceiling)) / (1 + len(ratios)),
    )


def order_statistic(ascending: Floats, alpha: float) -> float:
    """The largest X whose sign-flip p, (1 + how many are <= X) / (1 + flips), stays within alpha below it."""
    allowed = math.floor(alpha * (1 + len(ascending)) * (1 + 1e-12)) - 1
    return float(ascending[allowed]) if 0 <= allowed < len(ascending) else -math.inf


@dataclass(frozen=True, eq=False)
class Contest:
    """What the units exceed their own placebo by."""

    differences: Floats
    """[unit], the sum over the unit of value - placebo; zero where rounding alone keeps them apart"""
    slack: float = 0.0
    """How far rounding may move the sum of all of them."""

    def turned(self) -> Contest:
        """The same for "the units lie below their placebo"."""
        return Contest(-self.differences, self.slack)


def contest_of(sample: Sample, *, against: Floats | None = None) -> Contest:
    """The sample against its placebo, or another control; either was measured with as much rounding as the effect."""
    rival = sample.placebo if against is None else against
    assert rival is not None  # asked only where a placebo was measured
    differences = sample.totals_of(sample.values - rival)
    slack = 2 * sample.measured_rounding * sample.sizes
    return Contest(np.where(np.abs(differences) <= slack, 0.0, differences), float(slack.sum()))


def beat(contests: Sequence[Contest], *, resamples: int, seed: int) -> list[float]:
    """One-sided sign-flip p for "the units' differences lie above zero", of contests with as many units each.

    The p-value is at least 2**-units, and counts the observed signs among the flips (Phipson and Smyth 2010).
    """
    if not contests:
        return []
    rows = flip_rows(len(contests[0].differences), resamples=resamples, seed=seed)
    return [
        # flipping a subset takes twice its sum from the total: it stays as large exactly when that sum is <= 0
        reached_by(without_rounding(sums.rows, contest.differences, slack=contest.slack))
        for contest, sums in zip(contests, sums_over(rows, [c.differences for c in contests]), strict=True)
    ]


def reached_by(sums: Floats) -> float:
    return probability((1 + np.count_nonzero(sums <= 0)) / (1 + len(sums)))


def without_rounding(sums: Floats, summands: Floats, *, slack: float) -> Floats:
    """Sums that cancel but for rounding, set to zero: they must count as ties."""
    exact: Floats = np.where(np.abs(sums) <= 1e-12 * np.abs(summands).sum() + slack, 0.0, sums)
    return exact


def units_needed_for(alpha: float) -> int:
    """The fewest units whose sign-flip can reach alpha: with G units p is at least 2**-G."""
    return math.ceil(-math.log2(alpha))


def discordance(sample: Sample) -> float:
    """The share of pairs on which the two arms differ."""
    return float(np.count_nonzero(sample.values) / sample.n)
