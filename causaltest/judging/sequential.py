"""O'Brien-Fleming: looks at a growing sample that together spend one alpha.

O'Brien and Fleming (1979, Biometrics 35:549): of K equally spaced looks, the k-th asks for z of C / sqrt(k / K).
What the looks spend is exact: Armitage, McPherson and Rowe (1969, J. R. Stat. Soc. A 132:235) integrate the density of
the sum over the paths that have not crossed yet, look after look. Pairs that turn out not to count make looks
uneven. Each look then spends what it would have spent of even ones, at the boundary that its own units ask for (Lan and
DeMets 1983, Biometrika 70:659): how many units count is decided by the unpatched runs, and never by an effect.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from causaltest.asking.predictions import Prediction
from causaltest.effect import Effect
from causaltest.judging import wording
from causaltest.judging.bounds import SMALLEST_P
from causaltest.judging.finding import resampled
from causaltest.judging.judge import Case, case_of, judge
from causaltest.judging.multiplicity import adjusted, bonferroni
from causaltest.judging.sample import Floats
from causaltest.judging.settings import DEFAULT_RESAMPLES, TAIL_RESAMPLES, Asked
from causaltest.verdict import Look, Outcome

# an early look may ask for more resamples than anybody waits for: it is then passed, and cannot decide
MOST_RESAMPLES = 200_000
# no sample has a p below it, and its inverse is still a number
SMALLEST_ALPHA = 1e-200

# how far below zero paths are followed, in standard deviations: from there none comes back up to a boundary
REACH = 6.5
# the integration's panels are so many standard deviations of a step wide, of so many points each
PANEL, POINTS = 2.0, 8
# the C of no alpha: crossed by almost every path, and by none that a double can count
LOWEST, HIGHEST = -6.0, 37.0
# within which the C of a p-value is looked for first
NEAR = 0.05


def judge_look(
    effect: Effect,
    prediction: Prediction,
    *,
    looks: int,
    units: Mapping[int, int],
    family_size: int = 1,
    seed: int | None = None,
    minimum_units: int | None = None,
) -> Look:
    """The verdict on what was measured so far, by the procedures of `judge` at the alpha of this look.

    `units` as in `nominal_alpha`, of `looks` that were planned; all spend prediction.alpha / family_size together. Both
    sides are judged at the look's alpha. `p_value` is `overall_alpha` of the procedures' own, so that it means what it
    means of a claim that is looked at once; `p_adjusted` is that by the size of the family.
    """
    alpha = bonferroni(prediction.alpha, family_size)
    here = nominal_alpha(alpha, looks, units)
    wanted = math.ceil(TAIL_RESAMPLES / here)
    # Never fewer than a claim that is looked at once would draw.
    feasible = wanted <= max(MOST_RESAMPLES, 2 * TAIL_RESAMPLES / alpha)
    at_look = dataclasses.replace(prediction, alpha=here)
    verdict = judge(
        effect,
        at_look,
        seed=seed,
        resamples=max(DEFAULT_RESAMPLES, wanted) if feasible else 1,
        minimum_units=minimum_units,
    )
    overall = overall_alpha(verdict.p_value, looks, units)
    if verdict.outcome is Outcome.SUPPORTED:
        # Found by a search, whose last digit must not contradict the verdict.
        overall = min(overall, alpha)
    verdict = dataclasses.replace(
        verdict,
        family_size=family_size,
        p_value=overall,
        p_adjusted=adjusted(overall, family_size),
    )
    passed, whole = "", wording.alpha_in_words(prediction.alpha, family_size)
    if verdict.outcome is Outcome.INCONCLUSIVE:
        case = case_of(effect, at_look, Asked(1, seed, None, minimum_units), {})
        passed = too_early(case, wanted, feasible=feasible) if isinstance(case, Case) else ""
    told = f"Look {max(units)} of {looks}"
    reason = f"{told} cannot decide: {passed}." if passed else f"{verdict.reason} ({told} that spend alpha {whole}.)"
    verdict = dataclasses.replace(verdict, reason=reason)
    return Look(verdict, passed)


def too_early(case: Case, wanted: int, *, feasible: bool) -> str:
    """Why a look could not decide anything, or nothing."""
    if case.sample.units < case.rule.minimum_units:
        return f"{wording.counted(case.sample)}, where {case.rule.minimum_units} are needed"
    if not feasible and resampled(case.rule, case.sample, contested=case.wanted.contest is not None):
        return f"its alpha of {case.settings.alpha:.1g} wants {wanted:.1g} resamples"
    return ""


def boundaries(alpha: float, looks: int) -> tuple[float, ...]:
    """The z of each of `looks` equally spaced looks, one-sided: for .05 and four looks 3.46, 2.45, 2.00 and 1.73."""
    constant = constant_of(alpha, looks)
    return tuple(constant / math.sqrt(k / looks) for k in range(1, looks + 1))


def inflation(alpha: float, looks: int, power: float) -> float:
    """How many times the pairs of one look are to be planned for, so that `looks` even ones have its power.

    Of a one-sided test with a normal sum (Jennison and Turnbull 2000, Group Sequential Methods, section 2.3; their
    table 2.4 is of twice the alpha).
    """
    fixed = float(special.ndtri(power) - special.ndtri(alpha))
    if fixed <= 0:
        return 1.0  # such a power is had without pairs
    boundary = constant_of(alpha, looks)
    information = [k / looks for k in range(1, looks + 1)]

    def lacking(drift: float) -> float:
        # Without its drift the sum is the one that `walk` follows, towards a boundary that comes nearer.
        return power - math.fsum(walk(information, [boundary - drift * t for t in information]).spent)

    needed = optimize.brentq(lacking, fixed, 2 * fixed, xtol=1e-8)
    return float((needed / fixed) ** 2)


def nominal_alpha(alpha: float, looks: int, units: Mapping[int, int]) -> float:
    """The alpha at which the last look is judged, when all looks together spend `alpha`.

    `units` are those that count at each look so far, by its number from 1; a look that brought no new ones is left
    out, and what it would have spent goes to the next.
    """
    return nominal(spent_at(constant_of(alpha, looks), looks), units)


def overall_alpha(p: float, looks: int, units: Mapping[int, int]) -> float:
    """The smallest alpha of all looks together at which the last look's boundary lets `p` pass.

    The repeated p-value of Jennison and Turnbull (2000, Group Sequential Methods, section 9.4), which has crossed
    alpha exactly when the look has. `units` as in `nominal_alpha`.
    """

    def beyond(constant: float) -> float:
        return math.log(nominal(spent_at(constant, looks), units)) - math.log(max(p, SMALLEST_P))

    # Where looks are even, it is this one.
    near = -float(special.ndtri(max(p, SMALLEST_P))) * math.sqrt(max(units) / looks)
    low, high = max(LOWEST, near - NEAR), min(HIGHEST, near + NEAR)
    if low >= high or beyond(low) < 0:
        low = LOWEST
    if beyond(low) <= 0:
        return 1.0
    if low >= high or beyond(high) > 0:
        high = HIGHEST
    if beyond(high) >= 0:
        return max(p, SMALLEST_P)
    constant = optimize.brentq(beyond, low, high, xtol=1e-8)
    return min(1.0, max(p, math.fsum(spent_at(constant, looks))))


def constant_of(alpha: float, looks: int) -> float:
    """The C at which `looks` equally spaced looks spend alpha together."""
    # One look alone spends no more than all of them, and all of them no more than as many that were independent.
    least, most = -float(special.ndtri(alpha)), -float(special.ndtri(alpha / looks))
    if looks == 1:
        return least
    return float(
        optimize.brentq(lambda c: math.fsum(spent_at(c, looks)) - alpha, least - 1e-6, most + 1e-6, xtol=1e-10)
    )


def spent_at(constant: float, looks: int) -> list[float]:
    """The probability of crossing first at each of `looks` equal looks, when there is no effect."""
    information = [k / looks for k in range(1, looks + 1)]
    # C / sqrt(t) of z is C of the sum, whose variance at look k is t = k / K.
    return walk(information, [constant] * looks).spent


def nominal(spent: Sequence[float], units: Mapping[int, int]) -> float:
    """The tail beyond the last look's z, when the looks so far spend what they may."""
    information = [float(count) for count in units.values()]
    ends = [0, *units]
    spends = [math.fsum(spent[before:number]) for before, number in itertools.pairwise(ends)]
    walked = walk(information, [None] * len(information), spends)
    return max(float(special.ndtr(-walked.crossed_at[-1] / math.sqrt(information[-1]))), SMALLEST_ALPHA)


@dataclass(frozen=True)
class Walked:
    """A sum of independent steps, look after look: the boundaries of the sum, and the chance to cross each first."""

    crossed_at: list[float]
    spent: list[float]


def walk(information: Sequence[float], given: Sequence[float | None], spends: Sequence[float] | None = None) -> Walked:
    """Follows the sum to each look's information (its variance); a boundary that is not given spends what it may."""
    at, mass, reached = np.zeros(1), np.ones(1), 0.0
    walked = Walked([], [])
    for k, (now, boundary) in enumerate(zip(information, given, strict=True)):
        step = math.sqrt(now - reached)
        if boundary is None:
            assert spends is not None  # every look has a boundary or an amount
            boundary = spending(at, mass, step, spends[k], math.sqrt(now))
        walked.crossed_at.append(boundary)
        walked.spent.append(beyond(at, mass, step, boundary))
        if k + 1 < len(information):
            finest = min(step, math.sqrt(information[k + 1] - now))
            at, mass = inside(at, mass, step, boundary, -REACH * math.sqrt(now), finest)
            reached = now
    return walked


def beyond(at: Floats, mass: Floats, step: float, boundary: float) -> float:
    """The chance that the next sum lies above a boundary."""
    return float(mass @ special.ndtr((at - boundary) / step))


def spending(at: Floats, mass: Floats, step: float, amount: float, deviation: float) -> float:
    """The boundary that the next sum crosses with the chance `amount`."""
    wanted = math.log(max(amount, SMALLEST_P))

    def excess(boundary: float) -> float:
        return math.log(max(beyond(at, mass, step, boundary), SMALLEST_P)) - wanted

    low, high = -REACH * deviation, 38 * deviation
    if excess(low) <= 0:
        return low
    return float(optimize.brentq(excess, low, high, xtol=1e-11 * deviation))


def inside(at: Floats, mass: Floats, step: float, boundary: float, low: float, finest: float) -> tuple[Floats, Floats]:
    """The next sum's density below a boundary, at the points of a Gauss-Legendre rule, times their weights."""
    if boundary <= low:
        return np.full(1, low), np.zeros(1)
    panels = math.ceil((boundary - low) / (PANEL * finest))
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    half = (boundary - low) / panels / 2
    middles = low + half * (2 * np.arange(panels) + 1)
    there = (middles[:, None] + half * points).ravel()
    away = (there[:, None] - at) / step
    density = np.exp(-0.5 * away * away) @ mass / (step * math.sqrt(2 * math.pi))
    return there, half * np.tile(weights, panels) * density
