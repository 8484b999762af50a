"""A claim judged at any time: the betting game is played unit after unit, and may be looked at after each.

The wealth is an e-process: if the claim does not hold, ever reaching 1/alpha has probability alpha at
most (Ville 1939), whenever one looks and whatever makes one stop (Waudby-Smith and Ramdas 2024, J. R. Stat. Soc. B
86:1; Ramdas et al. 2023, Stat. Sci. 38:576). Stakes are those of `recalculated.py`. The placebo has a game of its own.
The bounds are the confidence sequence: they hold at all times together. Their price is power: see `PRICE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causaltest.asking.predictions import Prediction
from causaltest.effect import Effect, Waived
from causaltest.errors import JudgementError
from causaltest.judging.betting import BETTING, Game, lower_bound, wealth
from causaltest.judging.bounds import Bound, agreed, probability
from causaltest.judging.equivalence import thresholds_of
from causaltest.judging.finding import Evidence
from causaltest.judging.judge import Case, case_of, concluded
from causaltest.judging.recalculated import Pace
from causaltest.judging.rules import Rule, has_usable_range
from causaltest.judging.sample import Floats, Sample
from causaltest.judging.settings import Asked
from causaltest.verdict import Verdict

E_PROCESS = "betting e-process"
PRICE = "looking at any time costs about 1.0 to 1.2 times the pairs of a fixed test at equal power"
"""In pairs planned, at .8 power: 1.0 to 1.17 for right or wrong pairs against the exact binomial test (measured in
tests/calibration/peeking.py), and no more than the fixed rule's own for means, which asks for a betting bound too.
Against t alone a mean costs 1.16 to 1.44. On average it stops after about .8 of the fixed test's pairs."""


def judge_anytime(
    effect: Effect,
    prediction: Prediction,
    *,
    order: Sequence[str],
    largest: int,
    family_size: int = 1,
    seed: int | None = None,
    minimum_units: int | None = None,
) -> Verdict:
    """What may be said of a prediction after the units measured so far, whenever it is asked.

    `order` names the units (clusters, or pairs declared independent) in the order of play, fixed before anything was
    measured; those that have no pair that counts are passed over. `largest` is the most pairs of any of them.
    `family_size` and `minimum_units` as for `judge`.

    Raises JudgementError for an effect without a range, and for units that `order` does not name.
    """
    case = case_of(effect, prediction, Asked(family_size, seed, None, minimum_units), {})
    if isinstance(case, Verdict):
        return case
    span = betting_range(case.sample)
    if span is None:
        raise JudgementError(
            'stopping="anytime" bets within the range of each pair\'s value, and this effect has none: declare one '
            "that you would have named before looking, as in logit_diff(range=(-20, 20)), or use "
            'stopping="obrien-fleming".'
        )
    rule = Rule((BETTING,), case.rule.minimum_units)
    case = dataclasses.replace(case, sample=dataclasses.replace(case.sample, range=span), rule=rule)
    table = seated(effect, case, order, largest)
    evidence = Evidence(case.sample, rule, sequence(case, table), placebo_of(case, table), elsewhere_of(case, table))
    return concluded(case, evidence)


def betting_range(sample: Sample) -> tuple[float, float] | None:
    """The range of a pair's value, or None where there is none to bet in."""
    if sample.kind == "binary":
        return 0.0, 1.0
    return sample.range if has_usable_range(sample) else None


@dataclass(frozen=True, eq=False)
class Table:
    """How a sample is played: in which order, and what is known beforehand."""

    played: NDArray[np.int64]
    """[unit], where the units, which a sample sorts by name, stand in the order of play."""
    left: Floats
    """[unit], as in Pace."""
    largest: float
    alpha: float
    """After the family: the gambler plays for its inverse."""


def seated(effect: Effect, case: Case, order: Sequence[str], largest: int) -> Table:
    """The order of play of the units that count.

    How many of the units still to come will count is taken to be the share of those so far. Which ones count is decided
    by the unpatched runs, so a unit's stake may depend on it.
    """
    numbers = effect.measured
    names = np.unique(np.array(numbers.pair_ids if numbers.clusters is None else numbers.clusters, dtype=np.str_))
    at = {str(name): i for i, name in enumerate(names)}
    places = [place for place, name in enumerate(order) if name in at]
    if len(places) != len(at):
        missing = sorted(set(at) - set(order)) or ["a unit twice"]
        raise JudgementError(f"order= names every unit once before it is measured, and not so {missing[0]!r}.")
    place, counted = np.array(places, dtype=np.float64), np.arange(1, len(places) + 1)
    return Table(
        played=np.array([at[order[i]] for i in places], dtype=np.int64),
        left=(len(order) - place) * counted / (place + 1),
        # The design's largest, and not the largest so far: what a stake is measured by is known before it is set.
        largest=float(largest),
        alpha=case.settings.alpha,
    )


def sequence(case: Case, table: Table) -> Bound:
    """The confidence sequence now, on both sides."""
    sample, thresholds = case.sample, thresholds_of(case.settings.prediction, case.settings.alpha)
    assert sample.range is not None  # refused before
    game = Game(
        totals=sample.totals[table.played],
        weights=sample.weights[table.played],
        largest=table.largest,
        low=sample.range[0],
        high=sample.range[1],
        is_ratio=sample.kind == "ratio",
        alpha=table.alpha,
        pace=Pace(table.left, coins=sample.kind == "binary" and table.largest == 1),
    )
    sizes, rounding = sample.sizes[table.played], sample.measured_rounding
    above, below = game.lowered(sizes, rounding), game.mirrored().lowered(sizes, rounding)
    lower, p_above = lower_bound(above, sample.estimate, thresholds.alpha, thresholds.floor)
    upper, p_below = lower_bound(below, -sample.estimate, thresholds.alpha, -thresholds.ceiling)
    return agreed(E_PROCESS, thresholds, lower=lower, upper=-upper, above=p_above, below=p_below)


def placebo_of(case: Case, table: Table) -> float | Waived | None:
    """The p-value of the game that values exceed their pairs' own placebos."""
    given = case.numbers.controls.placebo
    if not case.settings.prediction.needs_placebo:
        return Waived("not needed by this prediction")
    if not isinstance(given, tuple):
        return given
    assert case.sample.placebo is not None  # it was given
    return p_against(case, case.sample.placebo, table)


def elsewhere_of(case: Case, table: Table) -> tuple[float, ...]:
    """The same of each wrong place that was asked for."""
    if not case.settings.prediction.needs_placebo:
        return ()
    return tuple(p_against(case, values, table) for values in case.sample.elsewhere)


def p_against(case: Case, control: Floats, table: Table) -> float:
    """The p-value of the game that values exceed those of a control, in a range twice as wide."""
    sample = case.sample
    assert sample.range is not None  # refused before
    low, high = sample.range
    sizes = sample.sizes[table.played]
    game = Game(
        totals=sample.totals_of(sample.values - control)[table.played],
        weights=sizes,
        largest=table.largest,
        low=low - high,
        high=high - low,
        is_ratio=False,
        alpha=table.alpha,
        pace=Pace(table.left),
    )
    turned = game.mirrored() if case.settings.prediction.ceiling < 0 else game
    return probability(float(1 / wealth(turned.lowered(sizes, 2 * sample.measured_rounding), np.zeros(1))[0]))
