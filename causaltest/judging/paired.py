"""Paired comparisons of two arms: exact McNemar, and the sign-flip test on cluster totals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from causaltest.judging.bounds import Bound, Thresholds, agreed, probability
from causaltest.judging.proportion import exact_binomial
from causaltest.judging.sample import Floats, Sample

MCNEMAR = "exact McNemar"
SIGN_FLIP = "sign-flip on cluster totals"

ENUMERATED_UNITS = 13
FLIPS_AT_ONCE = 2**22


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


def sign_flip(sample: Sample, thresholds: Thresholds, *, resamples: int, seed: int) -> Bound:
    """Whether the units' totals are symmetric about the threshold, as when the arms are exchangeable.

    The units flipped in one sign-flip have a ratio of sums of their own, and the flipped total
    reaches the observed one exactly when that ratio is at or below the threshold. So the bounds
    are order statistics of subset estimates (Hartigan 1969, J. Am. Stat. Assoc. 64:1303).
    """
    flips = subset_sums(np.stack([sample.totals, sample.weights], axis=1), resamples=resamples, seed=seed)
    weights = flips.sums[:, 1]
    totals = without_rounding(flips.sums[:, 0], sample.totals)
    meaningful = weights > 0
    ratios = np.divide(totals, weights, out=np.zeros_like(totals), where=meaningful)
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


def beats(differences: Floats, *, resamples: int, seed: int) -> float:
    """One-sided sign-flip p for "the units' differences lie above zero".

    `differences` [unit], for instance the sum over the unit of value - placebo. The p-value is at
    least 2**-units, and counts the observed signs among the flips (Phipson and Smyth 2010).
    """
    flips = subset_sums(differences[:, None], resamples=resamples, seed=seed)
    # flipping a subset takes twice its sum from the total: it stays as large exactly when that sum is <= 0
    sums = without_rounding(flips.sums[:, 0], differences)
    return probability((1 + np.count_nonzero(sums <= 0)) / (1 + len(sums)))


def without_rounding(sums: Floats, summands: Floats) -> Floats:
    """Sums that cancel but for rounding, set to zero: they must count as ties."""
    exact: Floats = np.where(np.abs(sums) <= 1e-12 * np.abs(summands).sum(), 0.0, sums)
    return exact


@dataclass(frozen=True, eq=False)
class Flips:
    """[flip, column] sums over the units whose sign is flipped; the flip of no unit is left out."""

    sums: Floats


def subset_sums(per_unit: Floats, *, resamples: int, seed: int) -> Flips:
    """Every subset of the units when they are few, else random subsets; `per_unit` is [unit, column]."""
    units = len(per_unit)
    if units <= ENUMERATED_UNITS:
        codes = np.arange(1, 2**units)
        chosen = (codes[:, None] >> np.arange(units)) & 1
        return Flips(chosen.astype(np.float64) @ per_unit)
    rng = np.random.default_rng((seed, 3))
    rows = max(1, FLIPS_AT_ONCE // units)
    parts = [
        rng.integers(0, 2, size=(min(rows, resamples - start), units), dtype=np.int8).astype(np.float64) @ per_unit
        for start in range(0, resamples, rows)
    ]
    return Flips(np.concatenate(parts))


def units_needed_for(alpha: float) -> int:
    """The fewest units whose sign-flip can reach alpha: with G units p is at least 2**-G."""
    return math.ceil(-math.log2(alpha))


def discordance(sample: Sample) -> float:
    """The share of pairs on which the two arms differ."""
    return float(np.count_nonzero(sample.values) / sample.n)
