"""What makes numbers INVALID: they cannot speak about the claim, whatever they are."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.effect import Numbers, PositiveControl, SelfPatch, Waived
from causaltest.judging.sample import Sample, rounding_of
from causaltest.judging.settings import Settings
from causaltest.judging.student import differ, t_above_zero
from causaltest.verdict import Outcome, Verdict

DENOMINATOR_ALPHA = 0.05
WORTH_A_NOTE = 1e-3
"""A part that does more than its whole by less than this share of itself is a matter of rounding."""


def why_invalid(numbers: Numbers, prediction: Prediction) -> str | None:
    """The reason why these numbers must not be judged, or None."""
    return (
        only_estimated(numbers)
        or moved_by_itself(numbers)
        or not_finite(numbers)
        or nothing_counted(numbers)
        or outside_range(numbers)
        or hook_may_be_dead(numbers, prediction)
    )


def invalid(
    numbers: Numbers, prediction: Prediction | Ordering, settings: Settings, reason: str, *, estimate: float = math.nan
) -> Verdict:
    """A verdict without bounds: the numbers were not judged."""
    return Verdict(
        outcome=Outcome.INVALID,
        reason=reason,
        estimate=estimate,
        lower=-math.inf,
        upper=math.inf,
        alpha=settings.alpha,
        n=len(numbers.values),
        units=len(set(numbers.clusters if numbers.clusters is not None else numbers.pair_ids)),
        p_value=1.0,
        p_adjusted=1.0,
        family_size=settings.family_size,
        needed_n=None,
        prediction=str(prediction),
        procedures=(),
        notes=control_notes(numbers, settings.prediction),
        seed=settings.seed,
    )


def only_estimated(numbers: Numbers) -> str | None:
    if numbers.estimated_by is None:
        return None
    return (
        f"This is an estimate by {numbers.estimated_by}, for screening only: a gradient says what a small change would "
        "do, not what the patch does. Confirm it with the patched run: drop method=."
    )


def moved_by_itself(numbers: Numbers) -> str | None:
    own = numbers.controls.self_patch
    if not isinstance(own, SelfPatch) or own.neutral:
        return None
    return (
        f"The site patched with its own value moved a score by {own.moved:.3g}, where rounding explains "
        f"{own.tolerance:.3g}: the patch does more than it says. Repair the site or its adapter first."
    )


def not_finite(numbers: Numbers) -> str | None:
    columns: dict[str, Iterable[float]] = {"value": numbers.values}
    if numbers.denominators is not None:
        columns["denominator"] = numbers.denominators
    if isinstance(numbers.controls.placebo, tuple):
        columns["placebo"] = numbers.controls.placebo
    columns |= {f"patch at {place.what}": place.values for place in numbers.controls.elsewhere}
    for name, entries in columns.items():
        if all(map(math.isfinite, entries)):
            continue
        odd = [(p, v) for p, v in zip(numbers.pair_ids, entries, strict=True) if not math.isfinite(v)]
        if odd:
            return (
                f"The {name} of {odd[0][0]!r} is {odd[0][1]} ({len(odd)} of {len(numbers.values)} pairs are not "
                "finite): find out why the run overflowed; leaving such pairs out would select on the outcome."
            )
    return None


def nothing_counted(numbers: Numbers) -> str | None:
    if numbers.values:
        return None
    counts: dict[str, int] = {}
    for exclusion in numbers.excluded:
        counts[exclusion.reason] = counts.get(exclusion.reason, 0) + 1
    reasons = ", ".join(f"{count}: {reason}" for reason, count in sorted(counts.items()))
    told = f" ({reasons})" if reasons else ""
    return f"None of {numbers.pairs_total} pairs counts{told}. Give pairs that the model gets right when clean."


def outside_range(numbers: Numbers) -> str | None:
    if numbers.range is None:
        return None
    low, high = numbers.range
    slack = rounding_of(numbers)
    values = np.array(numbers.values)
    inside = (values >= low - slack) & (values <= high + slack)
    if inside.all():
        return None
    first = int(np.argmin(inside))
    return (
        f"The value of {numbers.pair_ids[first]!r} is {numbers.values[first]:.4g}, outside the declared range "
        f"[{low:g}, {high:g}]: clip the metric to its range, or widen the range."
    )


def hook_may_be_dead(numbers: Numbers, prediction: Prediction) -> str | None:
    """A claim that nothing happens must show that something could have."""
    if not prediction.needs_positive_control:
        return None
    return positive_control_failed(numbers) or nothing_was_moved(numbers)


def positive_control_failed(numbers: Numbers) -> str | None:
    control = numbers.controls.positive
    if not isinstance(control, PositiveControl) or control.passed:
        return None
    return (
        f"The positive control failed: {control.what} gave {control.estimate:.3g}, and {control.needed:.3g} is "
        "needed. Where nothing has an effect, the lack of one says nothing about this site."
    )


def nothing_was_moved(numbers: Numbers) -> str | None:
    """Every pair must be moved, and by more than rounding: pairs that are not would water an effect down to a null."""
    still = sum(d <= numbers.rounding for d in numbers.controls.distance or ())
    if not still:
        return None
    return (
        f"In {still} of {len(numbers.values)} pairs the patched vectors equal those that they replace (distance 0): a "
        "null with distance zero proves nothing. Choose pairs whose activations differ at this site."
    )


def weak_denominators(sample: Sample) -> str | None:
    """A ratio means something only where its denominators are clearly above zero, and rounding, on average."""
    if sample.kind != "ratio":
        return None
    slack = sample.measured_rounding * sample.sizes
    above = sample.weights - slack
    alike = not differ(sample.weights, float(slack.max()))
    if above.sum() > 0 and (sample.units < 2 or alike or t_above_zero(above) <= DENOMINATOR_ALPHA):
        return None
    return (
        f"The denominators (clean - corrupt) average {float(sample.denominators.mean()):.3g} and are not clearly above "
        "zero at alpha .05, so the ratio has no meaning. Use pairs on which the clean and corrupt runs differ."
    )


def control_notes(numbers: Numbers, prediction: Prediction) -> tuple[str, ...]:
    """What was not measured or was waived, with the reason: printed beside the verdict."""
    wanted: dict[str, object] = {"self-patch": numbers.controls.self_patch}
    if prediction.needs_placebo:
        wanted["placebo"] = numbers.controls.placebo
    if prediction.needs_positive_control:
        wanted["positive control"] = numbers.controls.positive
    clipped = (
        f"in {numbers.clipped:.0%} of the pairs a value lay outside the metric's range and was clipped: what is judged "
        "is the clipped metric",
    )
    told = (clipped if numbers.clipped else ()) + more_than_its_whole(numbers) + exploratory(numbers)
    if numbers.controls.elsewhere and not prediction.needs_placebo:
        told += ("the wrong places that were asked for are no part of this verdict: a claim of no effect beats none",)
    return told + tuple(
        f"{name} waived: {control.why}" if isinstance(control, Waived) else f"{name} not measured"
        for name, control in wanted.items()
        if control is None or isinstance(control, Waived)
    )


def exploratory(numbers: Numbers) -> tuple[str, ...]:
    """A claim about pairs that suggested it proves nothing new: the best of many null sites looks like an effect."""
    return tuple(f"exploratory: {seen}" for seen in dict.fromkeys(numbers.seen))


def more_than_its_whole(numbers: Numbers) -> tuple[str, ...]:
    """A direction or subspace that does more than its component may wake a pathway that the model does not use."""
    full = numbers.controls.full
    if full is None:
        return ()
    scale = math.fsum(numbers.denominators) / len(numbers.values) if numbers.denominators else 1.0
    rounding = numbers.rounding / abs(scale) if scale else math.inf
    if full.excess <= rounding + WORTH_A_NOTE * abs(full.part):
        return ()
    return (
        f"the patched part does more ({full.part:.3g}) than the whole component ({full.estimate:.3g}): such a patch "
        "can activate a pathway that is dormant in the model itself (Makelov et al. 2023), and does not show that the "
        "model uses it",
    )
