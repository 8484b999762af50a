"""Page's trend test over units and conditions, with values that rounding alone keeps apart counted as ties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from causaltest.judging.bounds import probability
from causaltest.judging.sample import Floats, Sample

PAGE = "Page's trend test"

SIMULATED_UNITS = 4000
MOST_UNITS = 10**7


@dataclass(frozen=True, eq=False)
class Conditions:
    """What every unit gave under every condition, in the order predicted.

    A unit's total, and not its mean or its ratio: within a unit all conditions have the same pairs and the same
    denominators, so that totals rank as the means do, and as the ratios do where the denominators are positive.
    """

    totals: Floats
    """[unit, condition]"""
    slack: Floats
    """[unit], how far rounding may move one total from another"""

    @property
    def tied(self) -> Floats:
        """[unit, condition] ranks of which ties share the lowest: neighbours within the slack are alike."""
        order = np.argsort(self.totals, axis=1, kind="stable")
        ascending = np.take_along_axis(self.totals, order, axis=1)
        steps = np.diff(ascending, axis=1) > self.slack[:, None]
        ranks = np.concatenate([np.zeros((len(order), 1)), np.cumsum(steps, axis=1)], axis=1)
        found: Floats = np.empty_like(ranks)
        np.put_along_axis(found, order, ranks, axis=1)
        return found

    @property
    def ranks(self) -> Floats:
        """[unit, condition] ranks from 1, of which ties share the mean."""
        tied = self.tied
        columns = [tied[:, [place]] for place in range(tied.shape[1])]
        below = np.stack([(tied < column).sum(axis=1) for column in columns], axis=1)
        alike = np.stack([(tied == column).sum(axis=1) for column in columns], axis=1)
        found: Floats = below + (alike + 1) / 2
        return found


def conditions_of(samples: list[Sample]) -> Conditions:
    """Of samples on the same pairs, from the smallest effect predicted to the largest."""
    rounding = max(sample.rounding for sample in samples)
    return Conditions(np.stack([sample.totals for sample in samples], axis=1), 2 * rounding * samples[0].sizes)


def page(conditions: Conditions) -> float:
    """One-sided p that no condition is larger, against a trend in the order predicted (Page 1963, JASA 58:216).

    Ties make it conservative: the variance is the one without ties. A trend is not every step.
    """
    units, count = conditions.totals.shape
    if units < 2:
        return 1.0
    if count <= 8 and units <= (20 if count <= 3 else 12):
        from scipy import stats  # late: a table so small is rare, and the import takes longer than to judge a suite

        return probability(float(stats.page_trend_test(conditions.tied, method="exact").pvalue))
    statistic = float((np.arange(1, count + 1) * conditions.ranks.sum(axis=0)).sum())
    mean = units * count * (count + 1) ** 2 / 4
    variance = units * count**2 * (count + 1) * (count**2 - 1) / 144
    return probability(float(special.ndtr(-(statistic - mean) / math.sqrt(variance))))


def trend_units(
    conditions: Conditions, sample: Sample, *, step: float, alpha: float, power: float, seed: int
) -> int | None:
    """Units for the power wanted if every step is `step`, by the normal formula; the spread is the observed one.

    Page's statistic of one unit is simulated: residuals drawn from the units, or right-or-wrong pairs drawn anew.
    """
    rng = np.random.default_rng((seed, 5))
    count = conditions.totals.shape[1]
    rise = step * (np.arange(count) - (count - 1) / 2)
    units = rng.integers(0, sample.units, SIMULATED_UNITS)
    if sample.kind == "binary":
        share = np.clip(float(conditions.totals.sum() / (sample.n * count)) + rise, 0, 1)
        drawn = rng.binomial(sample.sizes[units].astype(np.int64)[:, None], share[None, :]).astype(np.float64)
    else:
        scale = sample.weights[:, None] / sample.weights.sum()
        drawn = (conditions.totals - conditions.totals.sum(axis=0) * scale + rise * sample.weights[:, None])[units]
    # the mean of Page's statistic is subtracted, so that its expectation without a trend is zero
    lined = Conditions(drawn, conditions.slack[units]).ranks @ (np.arange(1, count + 1) - (count + 1) / 2)
    mean, spread = float(lined.mean()), float(lined.std())
    if mean <= 0:
        return None
    # Page's variance of one unit without ties, as the test has it
    without = math.sqrt(count**2 * (count + 1) ** 2 * (count - 1) / 144)
    wanted = -float(special.ndtri(alpha)) * without + float(special.ndtri(power)) * spread
    units_wanted = (wanted / mean) ** 2
    return max(2, math.ceil(units_wanted)) if units_wanted <= MOST_UNITS else None
