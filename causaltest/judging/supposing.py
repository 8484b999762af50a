"""Truth: the effect, spread, clustering and placebo that a sample is supposed to come from.

What nobody has said is filled in by one rule each, and told in words beside every number that rests on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.predictions import Prediction
from causaltest.errors import JudgementError
from causaltest.judging.designs import Design

USUAL_PLACEBO = 0.1
SPREAD_BY_GAP = 2.0
SPREAD_OF_SHARE = 0.5
SPREAD_BY_WIDTH = 0.25
DENOMINATOR_SPREAD = 0.25
STEPS_TO_THE_END = (0.25, 0.5, 0.75)
STEPS_IN_SD = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Truth:
    """What samples are drawn from, complete."""

    effect: float
    sd: float
    """Of one pair's effect, before it is clipped to the range."""
    icc: float
    placebo: float
    words: tuple[str, ...]
    """What was assumed, for the report."""

    def arms(self) -> tuple[float, float]:
        """Of a difference of two shares: placed where they differ in the most pairs, which needs the most of them."""
        other = (1 - self.effect) / 2
        return other + self.effect, other


def expected_by(prediction: Prediction, assumptions: Assumptions) -> float | None:
    """The effect to count for: the one assumed, expected, or smallest of interest; for a range, its middle.

    Raises JudgementError for an assumed effect that would not make the claim true.
    """
    if assumptions.effect is not None:
        if not prediction.gap(assumptions.effect) > 0:
            raise JudgementError(
                f"--effect {assumptions.effect:g} does not lie on the claim's own side: no number of pairs shows that "
                f"it is {prediction}."
            )
        return assumptions.effect
    if prediction.assumed is not None:
        return prediction.assumed
    if prediction.is_two_sided:
        return (prediction.floor + prediction.ceiling) / 2
    return 0.0 if prediction.relation == "unchanged" else None


def effects_to_try(design: Design, prediction: Prediction, assumptions: Assumptions) -> tuple[float, ...]:
    """For a claim that expects nothing: three effects beyond its threshold. None where no scale is known for them.

    Towards the end of a share, and otherwise in standard deviations of a pair.
    """
    threshold, side, end = (
        (prediction.floor, 1, 1.0) if prediction.ceiling == math.inf else (prediction.ceiling, -1, 0.0)
    )
    if design.kind in ("binary", "ratio") and (end - threshold) * side > 0 and design.arms is None:
        return tuple(threshold + share * (end - threshold) for share in STEPS_TO_THE_END)
    sd = assumptions.sd or design.sd
    if sd is None and design.width is not None:
        sd = SPREAD_BY_WIDTH * design.width
    if design.kind == "ratio":
        sd = sd or SPREAD_OF_SHARE
    return () if sd is None else tuple(threshold + side * step * sd for step in STEPS_IN_SD)


def supposed(design: Design, prediction: Prediction, assumptions: Assumptions, effect: float) -> Truth:
    """The whole truth around an effect.

    Raises JudgementError where no sample of this kind has that effect, or it lies at the threshold itself.
    """
    gap = prediction.gap(effect)
    if not gap > 0:
        raise JudgementError(
            f"An effect of {effect:g} lies at the threshold of {prediction}, where power is alpha for any number of "
            "pairs: expect an effect beyond it."
        )
    if design.range is not None and design.kind != "ratio" and not design.range[0] <= effect <= design.range[1]:
        low, high = design.range
        raise JudgementError(f"No sample has an effect of {effect:g}: a pair's value lies in [{low:g}, {high:g}].")
    sd, said = spread(design, assumptions, gap)
    placebo, control = placebo_for(design, assumptions, effect)
    words = [said] if said else []
    if not design.iid:
        words.append(f"pairs of one cluster correlate by {assumptions.icc:g} (--icc)")
    if prediction.needs_placebo and design.must_be_beaten:
        words += [control, *(["no more at the wrong places"] if design.wrong_places else [])]
    truth = Truth(effect, sd, 0.0 if design.iid else assumptions.icc, placebo, tuple(words))
    if design.arms == "binary":
        first, second = truth.arms()
        return replace(truth, words=(f"arms of {first:.3g} and {second:.3g}, each for itself", *words))
    return truth


def placebo_for(design: Design, assumptions: Assumptions, effect: float) -> tuple[float, str]:
    """The true effect of the placebo, and how that is told."""
    given = assumptions.placebo
    if design.arms is not None:
        # of a difference of shares it is what each arm's placebo does; elsewhere only what they differ by matters
        level = USUAL_PLACEBO if given is None else given
        return (level if design.arms == "binary" else 0.0), "the placebos of both arms do as much"
    if given is not None:
        return given, f"placebo {given:g} (--placebo)"
    placebo = 0.0 if effect <= 0 else min(USUAL_PLACEBO * scale_of(design), effect / 2)
    return placebo, f"placebo {placebo:g} (--placebo)"


def spread(design: Design, assumptions: Assumptions, gap: float) -> tuple[float, str]:
    """The sd of one pair's effect, and where it comes from."""
    if design.kind == "binary" or design.arms == "binary":
        return 0.0, ""
    if assumptions.sd is not None:
        return assumptions.sd, f"sd {assumptions.sd:.3g} (--sd)"
    if design.sd is not None:
        return design.sd, f"sd {design.sd:.3g}, of the values given (--sd)"
    if design.kind == "ratio":
        return SPREAD_OF_SHARE, f"sd {SPREAD_OF_SHARE:g} of clean - corrupt (a guess: give --sd from a pilot)"
    if design.width is not None:
        sd = SPREAD_BY_WIDTH * design.width
        return sd, f"sd {sd:.3g}, a quarter of the metric's range (a guess: give --sd from a pilot)"
    return SPREAD_BY_GAP * gap, (
        f"sd {SPREAD_BY_GAP * gap:.3g}, twice the gap to the threshold, as no range is declared (a guess, on which the "
        "number hangs: give --sd from a pilot)"
    )


def scale_of(design: Design) -> float:
    """What an effect is a share of: right-or-wrong metrics and recoveries are shares, a change has the metric's units.

    Without a range the placebo of a change is taken as none.
    """
    if design.kind in ("binary", "ratio"):
        return 1.0
    return 0.0 if design.width is None else design.width / 2
