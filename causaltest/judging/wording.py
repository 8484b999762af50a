"""Reasons: the sentences that a researcher reads under a verdict."""

from __future__ import annotations

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.judging.bounds import Bound
from causaltest.judging.sample import Sample
from causaltest.verdict import Outcome


def number(value: float) -> str:
    return f"{value:.3g}"


def alpha_in_words(alpha: float, family_size: int) -> str:
    """Write alpha as .05, or as .05/3 in a family of three."""
    written = f"{alpha:.3g}".removeprefix("0")
    return written if family_size == 1 else f"{written}/{family_size}"


def p_in_words(p: float) -> str:
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def observed(sample: Sample) -> str:
    """The estimate, as successes of pairs where it is a proportion."""
    units = "independent pairs" if sample.iid else f"pairs in {counted(sample)}"
    if sample.kind == "binary":
        return f"{int(sample.values.sum())} of {sample.n} {units} ({number(sample.estimate)})"
    return f"{number(sample.estimate)} over {sample.n} {units}"


def units_of(sample: Sample) -> str:
    return "pairs" if sample.iid else "clusters"


def counted(sample: Sample) -> str:
    """The clusters, or pairs that were declared independent, with their number."""
    unit = units_of(sample)
    return f"1 {unit.removesuffix('s')}" if sample.units == 1 else f"{sample.units} {unit}"


def in_brackets(bound: Bound) -> str:
    return f"[{number(bound.lower)}, {number(bound.upper)}]"


def supported(sample: Sample, prediction: Prediction, bound: Bound, *, alpha: str, placebo_p: float | None) -> str:
    if prediction.relation == "unchanged":
        return holds(sample, prediction, bound, alpha=alpha)
    beaten = "" if placebo_p is None else f", and the placebo is beaten ({p_in_words(placebo_p)})"
    return (
        f"Observed {observed(sample)}: the bounds {in_brackets(bound)} lie {where(prediction)} "
        f"by {bound.procedure} at alpha {alpha}{beaten}."
    )


def refuted(sample: Sample, prediction: Prediction, bound: Bound, *, alpha: str) -> str:
    beyond = {
        "at_most": f"lies above {prediction.threshold:g}",
        "between": f"misses the range from {prediction.floor:g} to {prediction.ceiling:g}",
        "negligible": f"misses the range within ±{prediction.threshold:g}",
    }.get(prediction.relation, f"lies below {prediction.floor:g}")
    told = f"bserved {observed(sample)}: all of {in_brackets(bound)} {beyond} by {bound.procedure} at alpha {alpha}."
    return f"REGRESSED: o{told}" if prediction.relation == "unchanged" else f"O{told}"


def holds(sample: Sample, prediction: Prediction, bound: Bound, *, alpha: str) -> str:
    """Of a difference that has not fallen."""
    improved = bound.lower > prediction.threshold
    word, beyond = ("HOLDS, and IMPROVED", prediction.threshold) if improved else ("HOLDS", prediction.floor)
    return (
        f"{word}: observed {observed(sample)}: the lower of the bounds {in_brackets(bound)} lies "
        f"{'above' if improved else 'at or above'} {beyond:g} by {bound.procedure} at alpha {alpha}."
    )


def where(prediction: Prediction) -> str:
    """The claim's own side, for the reason of a supported claim."""
    threshold = f"{prediction.threshold:g}"
    return {
        "at_most": f"at or below {threshold}",
        "between": f"between {threshold} and {prediction.ceiling:g}",
        "negligible": f"within ±{threshold}",
        "greater_than": f"above {threshold}",
    }.get(prediction.relation, f"at or above {threshold}")


def undecided(sample: Sample, prediction: Prediction, bound: Bound, *, alpha: str) -> str:
    return (
        f"Observed {observed(sample)}: the bounds {in_brackets(bound)} do not settle whether the effect "
        f"is {prediction} at alpha {alpha}."
    )


def without_spread(sample: Sample, prediction: Prediction) -> str:
    return (
        f"Each of {sample.units} {units_of(sample)} gave {number(sample.estimate)}: a sample without spread is "
        f"degenerate, and no procedure can say how near the effect is to {prediction.threshold:g}. Declare the "
        "metric's range, one that you would have named before looking, as in logit_diff(range=(-20, 20)): then the "
        "betting bound can judge."
    )


def too_few_resamples(resamples: int, wanted: int, *, alpha: str) -> str:
    return (
        f"{resamples} resamples are too few for alpha {alpha}: at least {wanted} are needed for the tail. "
        "Raise resamples, or leave it out."
    )


def too_few_units(sample: Sample, minimum: int) -> str:
    unit = units_of(sample)
    return (
        f"Observed {observed(sample)}: {counted(sample)} {'is' if sample.units == 1 else 'are'} too few, the minimum "
        f"for this kind of claim is {minimum}. Add {unit}{'' if sample.iid else ', not pairs to the same clusters'}."
    )


def placebo_missing(sample: Sample, prediction: Prediction, bound: Bound) -> str:
    return (
        f"Observed {observed(sample)}, and the bounds {in_brackets(bound)} lie {where(prediction)}, but no placebo was "
        'measured: a patch that should not matter might do as much. Give placebo=..., or Waived("why").'
    )


def placebo_unbeaten(
    sample: Sample, prediction: Prediction, bound: Bound, *, placebo: float, p: float, alpha: str, reachable: int
) -> str:
    few = (
        f" A sign-flip over {sample.units} units cannot go below 2**-{sample.units} = {2.0**-sample.units:.3g}; "
        f"{reachable} units are needed."
        if sample.units < reachable
        else ""
    )
    return (
        f"Observed {observed(sample)}, and the bounds {in_brackets(bound)} lie {where(prediction)}, but the placebo, "
        f"at {number(placebo)}, is not beaten ({p_in_words(p)} at alpha {alpha}): what was seen may be what any patch "
        f"of that size does.{few}"
    )


def out_of_reach(sample: Sample, fewest: int, *, alpha: str) -> str:
    unit = units_of(sample)
    return f" Whatever they give, {sample.units} {unit} cannot reach alpha {alpha}: at least {fewest} are needed."


def too_few_differ(differ: int, fewest: int, *, alpha: str) -> str:
    return (
        f" The two arms differ in {differ} pairs, and fewer than {fewest} such pairs cannot reach alpha {alpha} "
        "however they fall."
    )


def small_notes(outcome: Outcome, prediction: Prediction | Ordering, bound: Bound) -> tuple[str, ...]:
    """Of an effect that is there, and surely smaller than what would be of interest."""
    smallest = prediction.smallest
    if outcome is not Outcome.SUPPORTED or smallest is None:
        return ()
    if (bound.upper >= smallest) if smallest > 0 else (bound.lower <= smallest):
        return ()
    end = bound.upper if smallest > 0 else bound.lower
    return (
        f"supported, and smaller than the smallest effect of interest: the bound {number(end)} lies short of "
        f"{smallest:g}",
    )


def next_step(needed_n: int | None, prediction: Prediction | Ordering, at_estimate: int | None, estimate: float) -> str:
    """How many pairs would decide, for the reason of an undecided claim."""
    told = []
    expecting = prediction.assumed
    why = "the smallest effect of interest" if prediction.expecting is None else "as expected"
    if at_estimate is not None:
        told.append(f"{at_estimate} pairs would decide if the truth is {number(estimate)}")
    if needed_n is not None and expecting is not None:
        told.append(
            f"{needed_n} if it is {number(expecting)}, {why}"
            if told
            else f"{needed_n} pairs would decide if the truth is {number(expecting)}, {why}"
        )
    return f" {'; '.join(told)}." if told else ""
