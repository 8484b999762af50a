"""Paired comparisons between the members of several effects, each by the tests of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from causaltest.asking.predictions import Prediction
from causaltest.effect import Effect
from causaltest.judging.bounds import Bound, Thresholds, widest
from causaltest.judging.family import Draws, Wanted, drawn_for
from causaltest.judging.paired import SIGN_FLIP
from causaltest.judging.resampling import ENUMERATED_UNITS
from causaltest.judging.rules import Rule, bounds_by, rule_for
from causaltest.judging.sample import Layouts, Sample, sample_of
from causaltest.judging.settings import Settings


@dataclass(frozen=True, eq=False)
class Comparison:
    """One member minus another, and the rule that says which is larger."""

    sample: Sample
    rule: Rule

    @property
    def resampled(self) -> bool:
        return SIGN_FLIP in self.rule.procedures and self.sample.units > ENUMERATED_UNITS


@dataclass(frozen=True)
class Levels:
    """The alpha of each lower bound, and of each upper: the two may be corrected differently."""

    lower: float
    upper: float


def comparison_of(first: Effect, second: Effect, prediction: Prediction, layouts: Layouts) -> Comparison:
    sample = sample_of((first - second).measured, layouts)
    return Comparison(sample, rule_for(sample, prediction))


def compare(comparisons: Sequence[Comparison], settings: Settings, levels: Levels) -> list[Bound]:
    """For each, in order: the lower bound and `p_above` at the one alpha, the upper and `p_below` at the other."""
    # a sign-flip is exact with any number of flips, but has no bound with fewer than 1 / alpha of them
    fewest = math.ceil(2 / min(levels.lower, levels.upper))
    draws = Draws(comparisons[0].sample.units, max(settings.resamples, fewest), settings.seed)
    tuned_at = settings.prediction.alpha
    bounds = {}
    for place, drawn in drawn_for([Wanted(draws, c.sample, c.rule, None) for c in comparisons]):
        sample, rule = comparisons[place].sample, comparisons[place].rule
        low, high = (
            widest(bounds_by(rule, sample, Thresholds(0, 0, alpha), drawn, tuned_at=tuned_at, seed=settings.seed))
            for alpha in (levels.lower, levels.upper)
        )
        bounds[place] = Bound(low.procedure, low.lower, high.upper, low.p_above, high.p_below)
    return [bounds[place] for place in range(len(comparisons))]
