"""Part 4: power. The pairs that are asked for give the power wanted, and no more of them are asked for than that."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from calibration.row import Row, near
from calibration.verdicts import effect_of, said_of
from causaltest.asking.predictions import at_least
from causaltest.judging.judge import judge_family
from causaltest.judging.power import exact_binomial_pairs, normal_two_sided, student_units
from causaltest.verdict import Outcome

REPEATS = 2_000
EXACT = {0.6: 158, 0.7: 37, 0.8: 18}
"""Pairs for power .8 against .5, one-sided at .05, by the exact test."""


def rows() -> list[Row]:
    return [*pinned(), *exact(), *student(), half_as_many()]


def pinned() -> list[Row]:
    """The pilot's figure, 5 of 9 against .5, by its own formula and by this project's rule."""
    h = 2 * math.asin(math.sqrt(5 / 9)) - 2 * math.asin(math.sqrt(0.5))
    unrounded = ((stats.norm.isf(0.025) + stats.norm.ppf(0.8)) / h) ** 2
    return [
        Row(4, "5 of 9 against .5, two-sided normal formula, before rounding up", unrounded, 633.05, 633.15),
        exactly("5 of 9 against .5, two-sided normal formula: pairs", normal_two_sided(5 / 9, 0.5), 634),
        exactly("5 of 9 against .5, exact one-sided: pairs", pairs(5 / 9), 502),
        exactly("5 of 9 against .5, exact one-sided in a family of three: pairs", pairs(5 / 9, family_size=3), 716),
        *(exactly(f"{truth:g} against .5, exact one-sided: pairs", pairs(truth), n) for truth, n in EXACT.items()),
    ]


def exactly(what: str, found: int | None, wanted: int) -> Row:
    return Row(4, what, math.nan if found is None else found, wanted, wanted)


def pairs(truth: float, *, family_size: int = 1) -> int | None:
    return exact_binomial_pairs(0.5, truth, alpha=0.05 / family_size, power=0.8)


def exact() -> list[Row]:
    """The power of the judge itself, over every sample there is; with a pair less it has less than .8."""
    found = []
    for truth, n in EXACT.items():
        analytic = float(stats.binom.sf(stats.binom.isf(0.05, n, 0.5), n, truth))
        measured = power_of_judge(n, truth)
        found += [
            Row(4, f"{truth:g} against .5: power of the judge with {n} pairs", measured, 0.8, 1.0),
            Row(
                4, f"{truth:g} against .5: the judge's power less the analytic one", round(measured - analytic, 9), 0, 0
            ),
            Row(4, f"{truth:g} against .5: power with a pair less", power_of_judge(n - 1, truth), 0, 0.8),
        ]
    return found


def power_of_judge(n: int, truth: float) -> float:
    samples = [effect_of([1.0] * k + [0.0] * (n - k), kind="binary") for k in range(n + 1)]
    verdicts = judge_family(samples, [at_least(0.5)] * (n + 1), family_size=1)
    k = [k for k, verdict in enumerate(verdicts) if verdict.outcome is Outcome.SUPPORTED]
    return float(stats.binom.pmf(k, n, truth).sum())


def student() -> list[Row]:
    """Means of normal values: BCa and t must both clear, which costs a little of t's own power."""
    found = []
    for gap in (0.5, 0.25):
        units = student_units(gap=gap, spread=1.0, alpha=0.05, power=0.8)
        assert units is not None
        analytic = t_power(units, gap)
        found += [
            Row(4, f"mean {gap:g} spreads above X: analytic power of t with {units} units", analytic, 0.8, 0.83),
            near(4, f"mean {gap:g} spreads above X: power of the judge", measured(units, gap), REPEATS, rate=analytic),
        ]
    return found


def t_power(units: int, gap: float) -> float:
    """By the noncentral t distribution."""
    return float(stats.nct.sf(stats.t.isf(0.05, units - 1), units - 1, gap * math.sqrt(units)))


def measured(units: int, gap: float) -> float:
    rng = np.random.default_rng((4, units))
    return said_of((effect_of(rng.normal(gap, 1, units)) for _ in range(REPEATS)), at_least(0)).supported


def half_as_many() -> Row:
    """With half of the pairs the power must be seen to be short."""
    return Row(4, "0.6 against .5: power with half of the pairs", power_of_judge(79, 0.6), 0, 0.7, "negative control")
