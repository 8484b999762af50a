"""A claim judged at any time: two games, an order fixed beforehand, and a sequence of bounds."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than, negligible
from causaltest.effect import Controls, Effect, Numbers, SelfPatch, Waived
from causaltest.errors import JudgementError
from causaltest.judging.anytime import judge_anytime
from causaltest.judging.recalculated import Pace, recalculated_wealth
from causaltest.verdict import Outcome, Verdict


def ids(n: int) -> list[str]:
    return [f"pair {i:03d}" for i in range(n)]


def binary(values: list[int], placebo: object = None, **more) -> Effect:
    waived = Waived("a test") if placebo is None else placebo
    return Effect.from_values(values, kind="binary", iid=True, placebo=waived, pair_ids=ids(len(values)), **more)


def judged(effect: Effect, prediction: Prediction, planned: int = 100, **more) -> Verdict:
    return judge_anytime(effect, prediction, **{"order": ids(planned), "largest": 1, **more})


def wealth_by_hand(values: list[float], threshold: float, planned: int, alpha: float, coins: bool = True) -> float:
    """The largest wealth of the game within 0 and 1, bet after bet."""
    target, wealth, largest = math.log(1 / alpha), 0.0, 0.0
    goal = target
    most = 0.9 / threshold
    for seen, value in enumerate(values):
        way = max(goal - wealth, target / 4)
        variance = threshold * (1 - threshold)
        if not coins and seen:
            squares = [(values[i] - math.fsum(values[: i + 1]) / (i + 1)) ** 2 for i in range(seen)]
            variance = (variance + math.fsum(squares)) / (seen + 1)
        stake = min(most, math.sqrt(2 * way / ((planned - seen) * variance)))
        if coins:
            stake = min(stake, (math.exp(goal - wealth) - 1) * (1 + 1e-9) / (1 - threshold))
        wealth += math.log(1 + stake * (value - threshold))
        largest = max(largest, wealth)
        if wealth >= goal:
            goal = wealth + target
    return math.exp(largest)


# the game


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.integers(0, 1), min_size=1, max_size=60), threshold=st.sampled_from([0.3, 0.5, 0.6]))
def test_the_wealth_is_that_of_the_game_played_by_hand(values: list[int], threshold: float) -> None:
    verdict = judged(binary(values), at_least(threshold))
    # With p above alpha the verdict's own may be moved to agree with the bounds, and never below.
    expected = 1 / wealth_by_hand(values, threshold, 100, 0.05)
    assert verdict.p_value == pytest.approx(expected, rel=1e-9) or expected <= 0.05 < verdict.p_value


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=20, max_size=50), threshold=st.sampled_from([0.3, 0.5, 0.6]))
def test_and_so_is_that_of_means(values: list[float], threshold: float) -> None:
    effect = Effect.from_values(
        values, kind="continuous", range=(0, 1), iid=True, placebo=Waived("a test"), pair_ids=ids(len(values))
    )
    verdict = judged(effect, at_least(threshold))
    expected = 1 / wealth_by_hand(values, threshold, 100, 0.05, coins=False)
    assert verdict.p_value == pytest.approx(expected, rel=1e-6) or expected <= 0.05 < verdict.p_value


def test_the_wealth_of_fair_coins_is_one_on_average() -> None:
    """All 2**12 paths of a fair coin, each as likely: a wealth that is no martingale would show."""
    paths = ((np.arange(2**12)[:, None] >> np.arange(12)) & 1) * 1.0
    pace, share = Pace(np.arange(12, 0, -1.0), coins=True), np.full(len(paths), 0.5)
    reached = recalculated_wealth(paths - 0.5, paths, share, share / 0.28, pace=pace, alpha=0.2)
    assert (np.exp(reached) >= 5).mean() <= 0.2, "Ville"
    assert (np.exp(reached) >= 5).mean() > 0.1, "and the game is worth playing"


@pytest.mark.parametrize("coins", [True, False])
def test_no_stake_knows_its_own_outcome(coins: bool) -> None:
    """Changing the last outcome changes the wealth by that last bet alone: up if it pays, down if not."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 30) - 0.5
    both = np.stack([np.append(first, 0.5), np.append(first, -0.5)])
    about = both - both.cumsum(axis=1) / np.arange(1, 32)

    def final(paid: np.ndarray) -> np.ndarray:
        squares, left = np.square(about[:, : paid.shape[1]]).cumsum(axis=1), np.arange(31, 0, -1.0)
        pace = Pace(left[: paid.shape[1]], coins=coins)
        return recalculated_wealth(paid, squares, np.full(2, 0.5), np.full(2, 1.8), pace=pace, alpha=1e-6)

    before, after = final(both[:, :30]), final(both)
    assert before[0] == before[1] == after[1]
    assert after[0] >= before[0]


# verdicts


def test_enough_successes_support_and_enough_failures_refute() -> None:
    ones, zeros = judged(binary([1] * 30), at_least(0.5)), judged(binary([0] * 30), at_least(0.5))
    assert (ones.outcome, zeros.outcome) == (Outcome.SUPPORTED, Outcome.REFUTED)
    assert ones.lower >= 0.5 and ones.p_value <= 0.05
    assert zeros.upper < 0.5
    assert judged(binary([1, 0] * 15), at_least(0.5)).outcome is Outcome.INCONCLUSIVE


def test_at_most_is_the_mirrored_game() -> None:
    up, down = judged(binary([1] * 24 + [0] * 6), at_least(0.5)), judged(binary([0] * 24 + [1] * 6), at_most(0.5))
    assert up.outcome is down.outcome is Outcome.SUPPORTED
    assert up.p_value == pytest.approx(down.p_value)
    assert up.lower == pytest.approx(1 - down.upper)


def test_what_was_once_decided_stays_so_however_one_goes_on() -> None:
    decided = judged(binary([1] * 30), at_least(0.5))
    later = judged(binary([1] * 30 + [0] * 20), at_least(0.5))
    assert decided.p_value >= later.p_value


def test_a_family_asks_for_more_wealth() -> None:
    values = [1] * 24 + [0] * 6
    assert judged(binary(values), at_least(0.5)).outcome is Outcome.SUPPORTED
    verdict = judged(binary(values), at_least(0.5), family_size=50)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.alpha == pytest.approx(0.001)
    assert verdict.p_adjusted > 0.05


def test_the_placebo_has_a_game_of_its_own_and_must_lose_it() -> None:
    values = [1] * 40
    beaten = judged(binary(values, placebo=[0.1] * 40), at_least(0.5))
    tied = judged(binary(values, placebo=[1.0] * 40), at_least(0.5))
    assert beaten.outcome is Outcome.SUPPORTED
    assert tied.outcome is Outcome.INCONCLUSIVE
    assert "placebo" in tied.reason
    missing = Effect.from_values(values, kind="binary", iid=True, pair_ids=ids(40))
    assert "no placebo was measured" in judged(missing, at_least(0.5)).reason


def test_the_game_against_the_placebo_is_played_in_a_range_twice_as_wide() -> None:
    placebo = [0.1 + 0.8 * (i % 3 == 0) for i in range(30)]
    verdict = judged(binary([1] * 30, placebo=placebo), at_least(0.01))
    # Differences within -1 and 1, as payoffs within 0 and 1 against a half.
    within = [(1 - p + 1) / 2 for p in placebo]
    assert verdict.p_value == pytest.approx(1 / wealth_by_hand(within, 0.5, 100, 0.05, coins=False), rel=1e-9)


def test_negligible_needs_both_games() -> None:
    rng = random.Random(0)

    def effect(mean: float) -> Effect:
        values = [mean + rng.uniform(-0.04, 0.04) for _ in range(90)]
        return Effect.from_values(values, kind="continuous", range=(-0.3, 0.3), iid=True, pair_ids=ids(90))

    assert judged(effect(0.0), negligible(within=0.1)).outcome is Outcome.SUPPORTED
    assert judged(effect(0.098), negligible(within=0.1)).outcome is Outcome.INCONCLUSIVE
    assert judged(effect(0.25), negligible(within=0.1)).outcome is Outcome.REFUTED


def test_a_difference_and_a_ratio_are_judged_within_their_ranges() -> None:
    late, early = binary([1] * 40), binary([0] * 36 + [1] * 4)
    assert judged(late - early, greater_than(0.1)).outcome is Outcome.SUPPORTED
    ratio = Effect.from_values(
        [3.0] * 40,
        kind="ratio",
        denominators=[4.0] * 40,
        range=(-8, 8),
        iid=True,
        placebo=Waived("a test"),
        pair_ids=ids(40),
    )
    assert judged(ratio, at_least(0.1)).outcome is Outcome.SUPPORTED
    assert judged(ratio, at_least(0.74)).outcome is Outcome.INCONCLUSIVE


def test_a_mean_is_never_supported_below_twenty_units() -> None:
    values = [1.0] * 19
    few = Effect.from_values(values, kind="continuous", range=(-1, 1), iid=True, placebo=Waived("x"), pair_ids=ids(19))
    verdict = judged(few, at_least(0.0), planned=20)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "19 pairs are too few" in verdict.reason


def test_numbers_that_cannot_speak_are_invalid() -> None:
    numbers = Numbers((1.0,) * 5, tuple(ids(5)), None, "binary", (0, 1), controls=Controls(SelfPatch(2.0, 0.1)))
    assert judged(Effect(None, numbers), at_least(0.5)).outcome is Outcome.INVALID


# the order and what is known beforehand


def test_the_order_of_play_is_the_one_given_and_not_that_of_the_names() -> None:
    values = [1] * 20 + [0] * 10
    forwards = judged(binary(values), at_least(0.5), planned=30)
    backwards = judged(binary(values), at_least(0.5), order=ids(30)[::-1])
    assert forwards.p_value < backwards.p_value, "early successes are worth more while they last"
    shuffled = Effect.from_values(
        values[::-1], kind="binary", iid=True, placebo=Waived("a test"), pair_ids=ids(30)[::-1]
    )
    assert judged(shuffled, at_least(0.5), planned=30).p_value == forwards.p_value


def test_units_that_do_not_count_are_passed_over() -> None:
    everyone = judged(binary([1] * 20), at_least(0.5), planned=20)
    others = [name for pair in zip(ids(20), (f"left out {i}" for i in range(20)), strict=True) for name in pair]
    half = judged(binary([1] * 20), at_least(0.5), order=others)
    assert half.outcome is everyone.outcome is Outcome.SUPPORTED
    assert half.n == 20


def test_clusters_are_units_and_the_largest_of_the_design_is_their_scale() -> None:
    clusters = [f"c{i // 4:02d}" for i in range(120)]
    effect = Effect.from_values(
        [1] * 120, kind="binary", clusters=clusters, placebo=Waived("a test"), pair_ids=ids(120)
    )
    order = sorted(set(clusters))
    verdict = judged(effect, at_least(0.5), order=order, largest=4)
    assert (verdict.outcome, verdict.units) == (Outcome.SUPPORTED, 30)
    # Beside a cluster of 40 that is still to come, one of 4 is a small bet.
    assert judged(effect, at_least(0.5), order=order, largest=40).lower < verdict.lower


def test_a_unit_that_nobody_announced_is_refused() -> None:
    with pytest.raises(JudgementError, match=r"names every unit once before it is measured, and not so 'pair 005'"):
        judged(binary([1] * 10), at_least(0.5), order=ids(5))
    with pytest.raises(JudgementError, match="a unit twice"):
        judged(binary([1] * 2), at_least(0.5), order=["pair 000", "pair 001", "pair 000"])


def test_an_effect_without_a_range_is_refused_with_the_way_out() -> None:
    values = [float(i) for i in range(30)]
    effect = Effect.from_values(values, kind="continuous", iid=True, pair_ids=ids(30), placebo=Waived("a test"))
    with pytest.raises(JudgementError, match=r"this effect has none: declare one.*obrien-fleming"):
        judged(effect, at_least(0.5))
