"""The verdict on an order of effects: a trend, or a place among the largest.

judge_ordering -> why_not          INVALID: one member's numbers cannot speak
               -> rise_found, or place_found
                                   the smallest step, or the lead, with its bounds; p; the sentences
               -> verdict_on       REFUTED, SUPPORTED, else INCONCLUSIVE

The number shown is the smallest step along the order, or the lead over the k-th largest of the others.
"""

from __future__ import annotations

from collections.abc import Callable

from causaltest.asking.orderings import Monotone, Name, Ordering, Top
from causaltest.effects import Effects
from causaltest.errors import JudgementError
from causaltest.judging import wording
from causaltest.judging.members import Found, Members
from causaltest.judging.multiplicity import adjusted
from causaltest.judging.ranking import RANKING
from causaltest.judging.rising import pairs_for_rise, rise_found
from causaltest.judging.sample import Layouts, Sample, sample_of
from causaltest.judging.settings import Asked, Settings, settings_for
from causaltest.judging.topmost import pairs_for_lead, place_found
from causaltest.judging.validity import (
    control_notes,
    invalid,
    nothing_was_moved,
    positive_control_failed,
    weak_denominators,
    why_invalid,
)
from causaltest.verdict import Outcome, Verdict


def judge_ordering(effects: Effects, prediction: Ordering, asked: Asked, layouts: Layouts) -> Verdict:
    """The verdict on an order of effects.

    Raises RehearsalRead when the effects have no numbers, JudgementError where the prediction does not fit them.
    """
    check_names(effects, prediction)
    settings = settings_for(prediction.comparison, asked)
    samples: dict[Name, Sample] = {}
    for name, effect in effects.members.items():
        broken = why_not(effects, name, settings)
        if broken is None:
            samples[name] = sample_of(effect.measured, layouts)
            broken = weak_denominators(samples[name])
        if broken is not None:
            return invalid(effects.joint.measured, prediction, settings, f"Of the effects, {name}: {broken}")
    members = Members(effects, samples, settings, asked, layouts)
    if isinstance(prediction, Monotone):
        rise = rise_found(members, prediction)
        return verdict_on(members, prediction, rise, lambda step: pairs_for_rise(members, prediction, rise, step))
    place = place_found(members, prediction)
    return verdict_on(members, prediction, place, lambda lead: pairs_for_lead(members, prediction, place, lead))


def check_names(effects: Effects, prediction: Ordering) -> None:
    names = prediction.order if isinstance(prediction, Monotone) else prediction.names
    missing = [name for name in names if name not in effects.members]
    if missing:
        raise JudgementError(
            f"The prediction '{prediction}' names {', '.join(map(repr, missing))}, and the mapping holds "
            f"{list(effects.members)}: name its keys as they are."
        )
    unnamed = [name for name in effects.members if name not in names]
    if isinstance(prediction, Monotone) and unnamed:
        raise JudgementError(
            f"The mapping holds {', '.join(map(repr, unnamed))}, which the order does not name: give every effect a "
            "place in monotone([...]), or leave it out of the mapping."
        )
    if isinstance(prediction, Top) and prediction.k >= len(effects):
        fewest, most = len(prediction.names), len(effects) - 1
        counted = f"{len(effects)} effect{'s' * (len(effects) != 1)}"
        instead = f"Give a k from {fewest} to {most}, or more effects." if fewest <= most else "Give more effects."
        raise JudgementError(
            f"k={prediction.k} of {counted}: each of them is among so many, whatever was measured. {instead}"
        )


def why_not(effects: Effects, name: Name, settings: Settings) -> str | None:
    """Why a member's numbers cannot be compared; a dead hook would look like a small effect."""
    numbers = effects[name].measured
    return why_invalid(numbers, settings.prediction) or positive_control_failed(numbers)


def verdict_on(
    members: Members, prediction: Ordering, found: Found, pairs_for: Callable[[float], int | None]
) -> Verdict:
    """REFUTED, then SUPPORTED, else INCONCLUSIVE; nothing is decided by a sample that is too small."""
    settings, sample = members.settings, members.sample
    outcome, why, more_helps = outcome_of(members, found)
    needed_n, at_estimate = None, None
    if more_helps or outcome is not Outcome.INCONCLUSIVE:
        needed_n = None if prediction.assumed is None else pairs_for(prediction.assumed)
        at_estimate = pairs_for(found.estimate) if found.estimate > 0 else None
    shared = "independent pairs" if sample.iid else f"pairs in {wording.counted(sample)}"
    reason = f"Observed over {sample.n} {shared}: {found.observed}; the bounds of "
    reason += f"{found.shown} are {wording.in_brackets(found.bound)}, and {why}."
    return Verdict(
        outcome=outcome,
        reason=reason + (wording.next_step(needed_n, prediction, at_estimate, found.estimate) if more_helps else ""),
        estimate=found.estimate,
        lower=found.bound.lower,
        upper=found.bound.upper,
        alpha=settings.alpha,
        n=sample.n,
        units=sample.units,
        p_value=found.p,
        p_adjusted=adjusted(found.p, settings.family_size),
        family_size=settings.family_size,
        needed_n=needed_n,
        prediction=str(prediction),
        procedures=found.procedures,
        notes=(
            *(found.when_supported if outcome is Outcome.SUPPORTED else ()),
            *found.notes,
            *wording.small_notes(outcome, prediction, found.bound),
            *still_notes(members.effects),
            *unused_notes(members.effects),
            *control_notes(members.effects.joint.measured, settings.prediction),
        ),
        needed={} if at_estimate is None else {f"if {found.shown} is {found.estimate:.3f}": at_estimate},
        seed=settings.seed,
    )


def outcome_of(members: Members, found: Found) -> tuple[Outcome, str, bool]:
    """The outcome, why, and whether more pairs could change it."""
    settings, sample = members.settings, members.sample
    resampled = RANKING in found.procedures or any(c.resampled for c in found.comparisons)
    if resampled and settings.resamples < settings.resamples_wanted:
        few = wording.too_few_resamples(settings.resamples, settings.resamples_wanted, alpha=settings.alpha_in_words)
        return Outcome.INCONCLUSIVE, f"nothing is decided: {few[:-1]}", False
    if sample.units < found.minimum_units:
        unit = wording.units_of(sample)
        few = f"{sample.units} {unit} are too few, the minimum for this kind of claim is {found.minimum_units}"
        return Outcome.INCONCLUSIVE, few, True
    if found.bound.upper < 0:
        return Outcome.REFUTED, found.refuted, False
    # a trend does not show that its smallest step is above zero
    if found.p <= settings.alpha and (found.is_trend or found.bound.lower > 0):
        return Outcome.SUPPORTED, found.supported, False
    return Outcome.INCONCLUSIVE, found.undecided, True


def still_notes(effects: Effects) -> tuple[str, ...]:
    """Members whose patch put back what was there: small by construction."""
    still = [str(name) for name, effect in effects.members.items() if nothing_was_moved(effect.measured) is not None]
    if not still:
        return ()
    return (
        f"{', '.join(still)}: in some pairs the patched vectors equal those that they replace (distance 0), so the "
        "effect there is zero by construction",
    )


def unused_notes(effects: Effects) -> tuple[str, ...]:
    """Controls that were asked for, and that an order has no use for."""
    if not any(effect.measured.controls.elsewhere for effect in effects.members.values()):
        return ()
    return ("the wrong places that were asked for are no part of this verdict: an order compares its members",)
