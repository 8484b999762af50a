"""Pairs needed: how many pairs would decide a claim, by the rule that will judge it.

Each procedure of the rule, and the placebo test, is asked on its own for the wanted power; the
largest answer counts. Power is never computed at the threshold itself, where it is alpha.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from causaltest.asking.predictions import Prediction
from causaltest.judging.betting import BETTING, Game, largest_stake, payoffs
from causaltest.judging.binomial import at_least, critical_count
from causaltest.judging.paired import MCNEMAR, SIGN_FLIP, discordance, units_needed_for
from causaltest.judging.proportion import EXACT, KORN_GRAUBARD, effective_n
from causaltest.judging.rules import Rule
from causaltest.judging.sample import Floats, Sample

MOST_PAIRS_SEARCHED = 20_000
MOST_UNITS = 10**9


@dataclass(frozen=True)
class Plan:
    """What a number of pairs is wanted for: a truth assumed, and the errors allowed."""

    prediction: Prediction
    truth: float
    alpha: float
    """Already divided by the family size."""

    @property
    def power(self) -> float:
        """Of each one-sided test; a claim with two of them lets each fail half as often."""
        power = self.prediction.power
        return 1 - (1 - power) / 2 if self.prediction.is_two_sided else power

    @property
    def gap(self) -> float:
        """How far the truth lies on the claim's own side; not positive: no sample can support it."""
        return self.prediction.gap(self.truth)

    @property
    def is_upper(self) -> bool:
        """Whether the harder side of the claim is its upper bound."""
        return self.prediction.ceiling - self.truth <= self.truth - self.prediction.floor

    @property
    def edge(self) -> float:
        """The threshold on the harder side."""
        return self.prediction.ceiling if self.is_upper else self.prediction.floor


def needed_pairs(sample: Sample, rule: Rule, plan: Plan, *, uses_placebo: bool) -> int | None:
    """The pairs by which every procedure of the rule reaches the power wanted; None: it cannot be said."""
    if plan.gap <= 0 or not rule.procedures or beyond_range(sample, plan.truth):
        return None
    per_unit = sample.n / sample.units
    answers = [pairs_for(procedure, sample, plan) for procedure in rule.procedures]
    if uses_placebo and plan.prediction.needs_placebo and sample.placebo is not None:
        answers.append(placebo_pairs(sample, plan))
    wanted = [answer for answer in answers if answer is not None]
    if len(wanted) < len(answers):
        return None
    return max(*wanted, math.ceil(rule.minimum_units * per_unit))


def beyond_range(sample: Sample, truth: float) -> bool:
    """Whether no sample of this kind could have that mean."""
    if sample.range is None or sample.kind == "ratio":
        return False
    return not sample.range[0] <= truth <= sample.range[1]


def pairs_for(procedure: str, sample: Sample, plan: Plan) -> int | None:
    per_unit = sample.n / sample.units
    if procedure in (EXACT, KORN_GRAUBARD):
        return proportion_pairs(sample, plan)
    if procedure == MCNEMAR:
        return mcnemar_pairs(sample, plan)
    spread = float(sample.residuals(sample.estimate).std(ddof=1)) if sample.units > 1 else math.nan
    mean_weight = float(sample.weights.mean())
    if not math.isfinite(spread):
        return None
    if procedure == BETTING:
        units = betting_units(sample, plan, spread=spread, gap=plan.gap * mean_weight)
    else:
        units = student_units(gap=plan.gap * mean_weight, spread=spread, alpha=plan.alpha, power=plan.power)
    if units is None:
        return None
    if procedure == SIGN_FLIP:
        units = max(units, units_needed_for(plan.alpha))
    return math.ceil(units * per_unit)


def proportion_pairs(sample: Sample, plan: Plan) -> int | None:
    """The exact binomial number, times the design effect of the clusters; of two sides that can fail, the larger."""
    prediction = plan.prediction
    sides = [(prediction.floor, plan.truth)] if prediction.floor >= 0 else []
    sides += [(1 - prediction.ceiling, 1 - plan.truth)] if prediction.ceiling <= 1 else []
    # a proportion cannot lie below 0 or above 1, so a side whose end lies there cannot fail
    power = plan.power if len(sides) > 1 else prediction.power
    answers = [exact_binomial_pairs(threshold, truth, alpha=plan.alpha, power=power) for threshold, truth in sides]
    wanted = [pairs for pairs in answers if pairs is not None]
    if not wanted or len(wanted) < len(answers):
        return None
    pairs = max(wanted)
    if sample.iid:
        return pairs
    design_effect = max(1.0, sample.n / effective_n(sample, plan.alpha))
    return math.ceil(max(pairs * design_effect, fewest_units(prediction, plan.alpha) * sample.n / sample.units))


def fewest_units(prediction: Prediction, alpha: float) -> int:
    """Pairs, or clusters, of a proportion that can support the claim at all: with n that all agree, p is X**n."""
    ends = [end for end in (prediction.floor, 1 - prediction.ceiling) if 0 < end < 1]
    return max((math.ceil(math.log(alpha) / math.log(end) * (1 - 1e-12)) for end in ends), default=0)


def exact_binomial_pairs(threshold: float, truth: float, *, alpha: float, power: float) -> int | None:
    """The smallest n at which the exact one-sided binomial test has the power.

    The power of an exact test saws: a few pairs more can have a little less of it. Past 20 000
    pairs the normal approximation is close enough, and is used.
    """
    if not 0 <= threshold < truth <= 1:
        return None
    approximate = normal_one_sided(threshold, truth, alpha=alpha, power=power)
    if 2 * approximate + 100 > MOST_PAIRS_SEARCHED:
        return approximate
    n = np.arange(1, 2 * approximate + 101)
    enough = at_least(critical_count(alpha, n, threshold), n, truth) >= power
    return int(n[np.argmax(enough)]) if enough.any() else approximate


def normal_one_sided(threshold: float, truth: float, *, alpha: float, power: float) -> int:
    """One-sided normal formula for a proportion (Fleiss, Levin and Paik 2003, equation 2.11)."""
    under_null = -float(special.ndtri(alpha)) * math.sqrt(threshold * (1 - threshold))
    under_truth = float(special.ndtri(power)) * math.sqrt(truth * (1 - truth))
    return max(1, math.ceil(((under_null + under_truth) / (truth - threshold)) ** 2))


def normal_two_sided(p_observed: float, p_null: float, *, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The pairs of the published pilot's formula: Cohen's h, two-sided, no family (Cohen 1988, section 6.2)."""
    h = 2 * math.asin(math.sqrt(p_observed)) - 2 * math.asin(math.sqrt(p_null))
    if h == 0:
        return None
    wanted = -float(special.ndtri(alpha / 2)) + float(special.ndtri(power))
    return math.ceil((wanted / h) ** 2)


def student_units(*, gap: float, spread: float, alpha: float, power: float) -> int | None:
    """One-sided t by the normal formula with Guenther's correction (Guenther 1981, Am. Stat. 35:243)."""
    if gap <= 0:
        return None
    for_alpha = -float(special.ndtri(alpha))
    units = ((for_alpha + float(special.ndtri(power))) * spread / gap) ** 2 + for_alpha**2 / 2
    return max(2, math.ceil(units))


def mcnemar_pairs(sample: Sample, plan: Plan) -> int | None:
    """Normal formula for McNemar's test at the observed discordance (Connor 1987, Biometrics 43:207)."""
    gap = plan.gap
    discordant = max(discordance(sample), gap)
    under_null = -float(special.ndtri(plan.alpha)) * math.sqrt(discordant)
    under_truth = float(special.ndtri(plan.power)) * math.sqrt(discordant - gap**2)
    pairs = ((under_null + under_truth) / gap) ** 2
    return math.ceil(max(pairs, units_needed_for(plan.alpha) / discordant))


def placebo_pairs(sample: Sample, plan: Plan) -> int | None:
    """For the paired test against the placebo, whose own mean is taken as observed."""
    assert sample.placebo is not None  # asked only where a placebo was measured
    differences = sample.totals_of(sample.values - sample.placebo)
    if sample.units < 2:
        return None
    above = (plan.truth - sample.estimate) * float(sample.weights.mean()) + float(differences.mean())
    spread = float(differences.std(ddof=1))
    above = -above if plan.prediction.ceiling < 0 else above
    units = student_units(gap=above, spread=spread, alpha=plan.alpha, power=plan.power)
    if units is None:
        return None
    return math.ceil(max(units, units_needed_for(plan.alpha)) * sample.n / sample.units)


def betting_units(sample: Sample, plan: Plan, *, spread: float, gap: float) -> int | None:
    """Units after which the gambler's wealth reaches 1/alpha with the power wanted.

    The wealth's logarithm grows per unit by about stake * gap - stake^2 spread^2 / 2, with a
    standard deviation of stake * spread.
    """
    assert sample.range is not None  # betting is in the rule only where a range is declared
    largest = float(sample.sizes.max())
    game = Game(sample.totals, sample.weights, largest, *sample.range, sample.kind == "ratio", plan.prediction.alpha)
    asked = np.array([-plan.edge if plan.is_upper else plan.edge])
    _, losing, winning = payoffs(game.mirrored() if plan.is_upper else game, asked)
    if losing[0] <= 0:
        return 1
    reach = losing + winning
    fixed = Stakes(losing / reach, gap / largest / float(reach[0]), spread / largest / float(reach[0]), plan)
    return smallest(fixed.enough)


@dataclass(frozen=True, eq=False)
class Stakes:
    """The scaled game that `betting_units` searches over."""

    share: Floats
    gap: float
    spread: float
    plan: Plan

    def enough(self, units: int) -> bool:
        tuned_at = self.plan.prediction.alpha
        stake = float(largest_stake(self.share, units, tuned_at)[0])
        if self.spread > 0:
            stake = min(stake, math.sqrt(2 * math.log(1 / tuned_at) / units) / self.spread)
        growth = math.log1p(stake * self.gap) - (stake * self.spread) ** 2 / 2
        risk = float(special.ndtri(self.plan.power)) * stake * self.spread * math.sqrt(units)
        return units * growth - risk >= math.log(1 / self.plan.alpha)


def smallest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number that is enough, by doubling and halving; None above a thousand million."""
    high = 1
    while not enough(high):
        high *= 2
        if high > MOST_UNITS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
