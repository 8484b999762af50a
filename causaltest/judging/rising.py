"""Monotone: a trend over all effects, the last above the first, and no step reversed."""

from __future__ import annotations

import itertools
import math

from causaltest.asking.orderings import Monotone
from causaltest.judging import wording
from causaltest.judging.bounds import Bound
from causaltest.judging.comparing import Levels, compare
from causaltest.judging.members import Found, Members
from causaltest.judging.power import Plan, needed_pairs
from causaltest.judging.trend import PAGE, conditions_of, page, trend_units


def rise_found(members: Members, prediction: Monotone) -> Found:
    """A trend over all, the last above the first, and no step reversed.

    Page's test ranks the conditions within each unit, so it sees a trend of ranks; that the sums rise as well is
    asked of the first and the last. Each step's upper bound is at alpha / steps: one reversed step refutes.
    """
    order, settings = prediction.order, members.settings
    names = list(itertools.pairwise(order))
    steps = [members.against(later, earlier) for earlier, later in names]
    rise = members.against(order[-1], order[0])
    bounds = compare(steps, settings, Levels(settings.alpha, settings.alpha / len(steps)))
    (whole,) = compare([rise], settings, Levels(settings.alpha, settings.alpha))
    p = max(page(conditions_of([members.samples[name] for name in order])), whole.p_above)
    estimates = [step.sample.estimate for step in steps]
    told = [
        f"{earlier} to {later}: {wording.number(estimate)} {wording.in_brackets(bound)}"
        for (earlier, later), estimate, bound in zip(names, estimates, bounds, strict=True)
    ]
    reversed_steps = [line for line, bound in zip(told, bounds, strict=True) if bound.upper < 0]
    alpha = settings.alpha_in_words
    return Found(
        estimate=min(estimates),
        bound=Bound(whole.procedure, min(b.lower for b in bounds), min(b.upper for b in bounds), p, whole.p_below),
        p=p,
        procedures=(PAGE, *rise.rule.procedures),
        comparisons=[*steps, rise],
        observed=f"from {order[0]} to {order[-1]} the effect changes by {wording.number(rise.sample.estimate)}",
        refuted=f"reversed by {whole.procedure} at alpha {alpha} over {len(steps)} steps: {'; '.join(reversed_steps)}",
        shown="the smallest step",
        supported=f"the trend clears by {PAGE} and {whole.procedure} ({wording.p_in_words(p)} at alpha {alpha}), and "
        "no step is significantly reversed",
        undecided=f"the trend does not clear by {PAGE} and {whole.procedure} ({wording.p_in_words(p)} at alpha "
        f"{alpha}), and no step is significantly reversed",
        notes=(f"the steps: {'; '.join(told)}",),
        when_supported=("a trend over all the effects is shown, and not each step of it",),
        is_trend=True,
    )


def pairs_for_rise(members: Members, prediction: Monotone, found: Found, step: float) -> int | None:
    """The pairs by which the trend and the rise both have the power wanted, if every step is `step`."""
    settings, sample, rise = members.settings, members.sample, found.comparisons[-1]
    plan = Plan(settings.prediction, step * (len(prediction.order) - 1), settings.alpha)
    of_ends = needed_pairs(rise.sample, rise.rule, plan, uses_placebo=False)
    units = trend_units(
        conditions_of([members.samples[name] for name in prediction.order]),
        sample,
        step=step,
        alpha=settings.alpha,
        power=prediction.power,
        seed=settings.seed,
    )
    if of_ends is None or units is None:
        return None
    return max(of_ends, math.ceil(units * sample.n / sample.units))
