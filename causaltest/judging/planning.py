"""Need: the clusters and pairs that give a claim its power, and the power of those that are there.

needs_of -> expected_by     the effect that the claim is to be found at
         -> supposed        what else is assumed
         -> exactly         enumerated, where the test is exact
         -> settled         else simulated: at a formula's number, and moved until it has the power
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from causaltest.asking.assumptions import FEWEST_SIMULATIONS, Assumptions
from causaltest.asking.predictions import Prediction
from causaltest.effect import Numbers
from causaltest.judging.askable import check_askable
from causaltest.judging.closing_in import beside, closing_in, crossing
from causaltest.judging.curves import Point, PowerCurve, Question, curve_of, power_at
from causaltest.judging.designs import Design
from causaltest.judging.exact_power import Smallest, mcnemar_pairs, proportion_pairs
from causaltest.judging.imagined import PLACEBO_DRAWS, imagined
from causaltest.judging.paired import units_needed_for
from causaltest.judging.power import Plan, fewest_units, needed_pairs, student_units
from causaltest.judging.rules import rule_for
from causaltest.judging.sample import Sample, sample_of
from causaltest.judging.supposing import expected_by, supposed

MOST_PAIRS_SIMULATED = 6_000
"""Beyond it a formula answers, or nothing does: a few hundred such samples take too long."""
PILOT_UNITS = 200
SURE_OF_PLACEBO = 0.99
CURVE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""The curve is worked out at these shares of the pairs needed."""


@dataclass(frozen=True)
class Need:
    """What a claim needs at one effect. `units` are clusters, or pairs where they were declared independent."""

    question: Question
    units: int | None
    """None: more than can be said."""
    pairs: int | None
    low: int | None
    """Pairs, at the ends of the Monte Carlo band."""
    high: int | None
    how: str
    there: Point
    """The power of the pairs that the claim has."""
    lasting: int | None = None
    """Pairs from which on an exact test keeps its power, which saws."""

    @property
    def effect(self) -> float:
        return self.question.truth.effect

    @property
    def enough(self) -> bool:
        return self.units is not None and self.question.design.units >= self.units


def needs_of(
    prediction: Prediction,
    design: Design,
    *,
    family_size: int = 1,
    assumptions: Assumptions | None = None,
    seed: int = 0,
    effect: float | None = None,
) -> Need | None:
    """The pairs by which the claim is SUPPORTED with its power, if its effect is `effect`, or the one that it expects.

    None where neither is known. Raises JudgementError for a prediction or an effect that no pairs can be counted for.
    """
    assumptions = assumptions or Assumptions()
    check_foreseeable(prediction, design)
    at = expected_by(prediction, assumptions) if effect is None else effect
    if at is None:
        return None
    truth = supposed(design, prediction, assumptions, at)
    asked = Question(prediction, family_size, design, truth, assumptions, seed)
    return exactly(asked) if asked.exact is not None else settled(asked)


def check_foreseeable(prediction: Prediction, design: Design) -> None:
    """Raises JudgementError for what the judge would refuse whatever was measured."""
    arms: dict[str, tuple[float, ...]] = {} if design.arms is None else {"first": (), "second": ()}
    check_askable(Numbers((), (), None, design.kind, design.range, references=arms), prediction)


def curve_around(asked: Question, need: Need) -> PowerCurve:
    """Power at a quarter of the pairs needed up to twice as many."""
    middle = need.units or need.there.units
    places = sorted({max(2, round(share * middle)) for share in CURVE})
    most = max(2, math.floor(MOST_PAIRS_SIMULATED / asked.design.pairs_per_unit))
    fewer = max(FEWEST_SIMULATIONS, asked.simulations // 2)
    return curve_of(
        [power_at(asked, units, simulations=fewer) for units in places if asked.exact or units <= most] or [need.there]
    )


def exactly(asked: Question) -> Need:
    """Enumerated, unless the placebo is so near to the effect that it takes pairs too."""
    found, placebo = exact_pairs(asked), placebo_units(asked, SURE_OF_PLACEBO)
    if placebo is None or (found is not None and placebo > found.pairs):
        return settled(replace(asked, jointly=True))
    there = power_at(asked, asked.design.units)
    if found is None:
        units = formula_units(asked)
        return told(asked, units, there, "by the normal formula: too many to enumerate")
    return told(asked, found.pairs, there, f"power of the {asked.exact} test, enumerated", lasting=found.lasting)


def exact_pairs(asked: Question) -> Smallest | None:
    power, alpha = asked.prediction.power, asked.alpha
    if asked.exact == "exact McNemar":
        first, second = asked.discordant
        return mcnemar_pairs(first_only=first, second_only=second, alpha=alpha, power=power)
    floor, ceiling, truth = asked.prediction.floor, asked.prediction.ceiling, asked.truth.effect
    return proportion_pairs(floor=floor, ceiling=ceiling, truth=truth, alpha=alpha, power=power)


def told(
    asked: Question,
    units: int | None,
    there: Point,
    how: str,
    *,
    lasting: int | None = None,
    band: tuple[int, int] | None = None,
) -> Need:
    pairs = None if units is None else sum(asked.design.sizes_of(units))
    low, high = (pairs, pairs) if band is None else (sum(asked.design.sizes_of(end)) for end in band)
    return Need(asked, units, pairs, low, high, how, there, lasting)


def settled(asked: Question) -> Need:
    """Simulated at a formula's number, and then at ever better ones."""
    fewest = fewest_judged(asked)
    most = max(fewest, math.floor(MOST_PAIRS_SIMULATED / asked.design.pairs_per_unit))
    start = formula_units(asked)
    if start is None:
        there = power_there(asked, [], most)
        return told(asked, None, there, "the placebo is supposed to do as much as the patch")
    tried = closing_in(asked, min(max(start, fewest), most), fewest, most)
    there = power_there(asked, tried, most)
    last, how = tried[-1], f"simulated, {asked.simulations} samples"
    if last.units == most and last.high < asked.prediction.power:
        return beyond(asked, there, most, start)
    if last.units == fewest and last.power >= asked.prediction.power:
        how = "the fewest that this kind of claim can be judged on"
        return told(asked, fewest, there, how)
    units = max(fewest, crossing(asked, tried))
    band = max(fewest, min(units, beside(asked, last, last.high))), max(units, beside(asked, last, last.low))
    return told(asked, units, there, how, band=band)


def beyond(asked: Question, there: Point, most: int, start: int) -> Need:
    """More than is simulated: the formula's number where there is one that can be trusted that far."""
    if start > most and (asked.design.kind == "binary" or asked.design.range is None):
        return told(asked, start, there, "by the normal formula: too many to simulate")
    pairs = sum(asked.design.sizes_of(most))
    how = (
        f"more than {pairs:,} pairs, beyond which nothing is simulated: a narrower range or a larger effect needs less"
    )
    return told(asked, None, there, how)


def power_there(asked: Question, tried: Sequence[Point], most: int) -> Point:
    """Of the pairs that there are; of so many that simulating them takes too long, of fewer."""
    units = min(asked.design.units, most)
    known = [point for point in tried if point.units == units]
    return known[-1] if known else power_at(asked, units, simulations=max(FEWEST_SIMULATIONS, asked.simulations // 2))


def fewest_judged(asked: Question) -> int:
    """Below which the judge's rule decides nothing."""
    fewest = rule_for(pilot(asked), asked.prediction).minimum_units
    beats = asked.prediction.needs_placebo and asked.design.must_be_beaten
    fewest = max(2, fewest, units_needed_for(asked.alpha) if beats or asked.design.arms else 0)
    return max(fewest, fewest_units(asked.prediction, asked.alpha)) if asked.design.kind == "binary" else fewest


def pilot(asked: Question) -> Sample:
    """One imagined sample, from which the verdict's own quick formula tells where the search begins."""
    return sample_of(imagined(asked.design, asked.truth, units=PILOT_UNITS, samples=1, seed=asked.seed)[0].measured)


def formula_units(asked: Question) -> int | None:
    """What the report would say after such a pilot; None: the placebo keeps up with the patch."""
    if placebo_units(asked, asked.prediction.power) is None:
        return None
    sample = pilot(asked)
    plan = Plan(asked.prediction, asked.truth.effect, asked.alpha)
    pairs = needed_pairs(sample, rule_for(sample, asked.prediction), plan, uses_placebo=True)
    return PILOT_UNITS if pairs is None else math.ceil(pairs / asked.design.pairs_per_unit)


def design_effect(design: Design, icc: float) -> float:
    """Kish (1965, Survey Sampling, section 5.4), with the size of the cluster of the average pair."""
    typical = sum(size * size for size in design.sizes) / design.pairs
    return 1 + (typical - 1) * icc


def unit_spread(asked: Question) -> float:
    """Of a unit's mean."""
    design, truth = asked.design, asked.truth
    sd = truth.sd
    if design.arms == "binary":
        sd = math.sqrt(sum(share * (1 - share) for share in truth.arms()))
    return sd * math.sqrt(design_effect(design, truth.icc) / design.pairs_per_unit)


def placebo_units(asked: Question, power: float) -> int | None:
    """Of the paired test against a control, by the t formula; 0 where there is none, None where it is hopeless."""
    design, truth = asked.design, asked.truth
    if not (asked.prediction.needs_placebo and design.must_be_beaten):
        return 0
    sign = -1 if asked.prediction.ceiling < 0 else 1
    other = 0.0 if design.arms is not None else truth.placebo
    sd = unit_spread(asked)
    if design.kind == "binary":
        draws = 1 if design.wrong_places else PLACEBO_DRAWS
        variance = truth.effect * (1 - truth.effect) + other * (1 - other) / draws
        sd = math.sqrt(variance * design_effect(design, truth.icc) / design.pairs_per_unit)
    units = student_units(gap=sign * (truth.effect - other), spread=sd, alpha=asked.alpha, power=power)
    return None if units is None else max(units, units_needed_for(asked.alpha))
