"""A claim judged at any time: the betting game is played unit after unit, and may be looked at after each.

The wealth of `betting.py` is an e-process: if the claim does not hold, ever reaching 1/alpha has probability alpha at
most (Ville 1939), whenever one looks and whatever makes one stop (Waudby-Smith and Ramdas 2024, J. R. Stat. Soc. B
86:1; Ramdas et al. 2023, Stat. Sci. 38:576). The placebo has a game of its own. The bounds are the confidence sequence:
they hold at all times together. Their price is power: see `PRICE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

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
from causaltest.judging.rules import Rule, has_usable_range
from causaltest.judging.sample import Floats, Sample
from causaltest.judging.settings import Asked
from causaltest.verdict import Verdict

E_PROCESS = "betting e-process"
PRICE = "looking at any time costs about 1.3 to 1.6 times the pairs of a fixed test at equal power"
"""At .8 power; measured in tests/calibration/peeking.py."""


def judge_anytime(
    effect: Effect,
    prediction: Prediction,
    *,
    order: Sequence[str],
    planned: int,
    largest: int,
    family_size: int = 1,
    seed: int | None = None,
    minimum_units: int | None = None,
) -> Verdict:
    """What may be said of a prediction after the units measured so far, whenever it is asked.

    `order` names the units (clusters, or pairs declared independent) in the order of play, fixed before anything was
    measured; those that have no pair that counts are passed over. `planned` is the number of units for which the
    stakes are tuned, and `largest` the most pairs of any of them. `family_size` and `minimum_units` as for `judge`.

    Raises JudgementError for an effect without a range, and for units that `order` does not name.
    """
    case = case_of(effect, prediction, Asked(family_size, seed, None, minimum_units), {})
    if isinstance(case, Verdict):
        return case
    if range_of(case.sample) is None:
        raise JudgementError(
            'stopping="anytime" bets within the range of each pair\'s value, and this effect has none: declare one '
            "that you would have named before looking, as in logit_diff(range=(-20, 20)), or use "
            'stopping="obrien-fleming".'
        )
    rule = Rule((BETTING,), case.rule.minimum_units)
    played = places(effect, order)
    evidence = Evidence(
        sample=case.sample,
        rule=rule,
        bound=sequence(case, game_of(case.sample, prediction, played, planned, largest), played),
        placebo=placebo_of(case, played, planned, largest),
        elsewhere=elsewhere_of(case, played, planned, largest),
    )
    return concluded(dataclasses.replace(case, rule=rule), evidence)


def range_of(sample: Sample) -> tuple[float, float] | None:
    """The range of a pair's value, or None where there is none to bet in."""
    if sample.kind == "binary":
        return 0.0, 1.0
    return sample.range if has_usable_range(sample) else None


def places(effect: Effect, order: Sequence[str]) -> NDArray[np.int64]:
    """Where the units of a sample, which are sorted by name, stand in the order of play."""
    numbers = effect.measured
    names = np.unique(np.array(numbers.pair_ids if numbers.clusters is None else numbers.clusters, dtype=np.str_))
    at = {str(name): i for i, name in enumerate(names)}
    played = [at[name] for name in dict.fromkeys(order) if name in at]
    if len(played) < len(at):
        missing = sorted(set(at) - set(order))[0]
        raise JudgementError(f"order= names every unit before it is measured, and {missing!r} is not in it.")
    return np.array(played, dtype=np.int64)


def game_of(sample: Sample, prediction: Prediction, played: NDArray[np.int64], planned: int, largest: int) -> Game:
    """The game against the claim's thresholds."""
    span = range_of(sample)
    assert span is not None  # refused before
    return Game(
        totals=sample.totals[played],
        weights=sample.weights[played],
        # The design's largest, and not the largest so far: what a stake is measured by is known before it is set.
        largest=float(largest),
        low=span[0],
        high=span[1],
        is_ratio=sample.kind == "ratio",
        alpha=prediction.alpha,
        planned=planned,
    )


def sequence(case: Case, game: Game, played: NDArray[np.int64]) -> Bound:
    """The confidence sequence now, on both sides."""
    sample, thresholds = case.sample, thresholds_of(case.settings.prediction, case.settings.alpha)
    sizes, rounding = sample.sizes[played], sample.measured_rounding
    above, below = game.lowered(sizes, rounding), game.mirrored().lowered(sizes, rounding)
    lower, p_above = lower_bound(above, sample.estimate, thresholds.alpha, thresholds.floor)
    upper, p_below = lower_bound(below, -sample.estimate, thresholds.alpha, -thresholds.ceiling)
    return agreed(E_PROCESS, thresholds, lower=lower, upper=-upper, above=p_above, below=p_below)


def placebo_of(case: Case, played: NDArray[np.int64], planned: int, largest: int) -> float | Waived | None:
    """The p-value of the game that values exceed their pairs' own placebos."""
    given = case.numbers.controls.placebo
    if not case.settings.prediction.needs_placebo:
        return Waived("not needed by this prediction")
    if not isinstance(given, tuple):
        return given
    assert case.sample.placebo is not None  # it was given
    return p_against(case, case.sample.placebo, played, planned, largest)


def elsewhere_of(case: Case, played: NDArray[np.int64], planned: int, largest: int) -> tuple[float, ...]:
    """The same of each wrong place that was asked for."""
    if not case.settings.prediction.needs_placebo:
        return ()
    return tuple(p_against(case, values, played, planned, largest) for values in case.sample.elsewhere)


def p_against(case: Case, control: Floats, played: NDArray[np.int64], planned: int, largest: int) -> float:
    """The p-value of the game that values exceed those of a control, in a range twice as wide."""
    prediction, sample = case.settings.prediction, case.sample
    span = range_of(sample)
    assert span is not None  # refused before
    low, high = span[0] - span[1], span[1] - span[0]
    differences: Floats = sample.totals_of(sample.values - control)[played]
    sizes = sample.sizes[played]
    game = Game(differences, sizes, float(largest), low, high, False, prediction.alpha, planned)
    if prediction.ceiling < 0:
        game = game.mirrored()
    return probability(float(1 / wealth(game.lowered(sizes, 2 * sample.measured_rounding), np.zeros(1))[0]))
