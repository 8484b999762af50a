"""What rounding alone may have moved is neither spread, nor a difference, nor a lead over the placebo."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than, negligible
from causaltest.effect import Effect, PositiveControl, Waived
from causaltest.errors import JudgementError
from causaltest.judging.bca import bca, replicates_of
from causaltest.judging.betting import Game
from causaltest.judging.bounds import Thresholds
from causaltest.judging.judge import judge
from causaltest.judging.rules import BETTING, SIGN_FLIP
from causaltest.judging.sample import sample_of
from causaltest.judging.student import t_above_zero
from causaltest.verdict import Outcome

LAW = settings(max_examples=150, deadline=None, derandomize=True)
WAIVED = Waived("simulated data")
ROUNDING = 1e-6


def rounded(effect: Effect, rounding: float = ROUNDING) -> Effect:
    return Effect(None, dataclasses.replace(effect.measured, rounding=rounding))


def effect(values, kind="continuous", placebo=WAIVED, **more) -> Effect:
    if "clusters" not in more:
        more["iid"] = True
    return Effect.from_values(values, kind=kind, placebo=placebo, **more)


def noise(seed: int, n: int, bias: float = 0.0):
    """Within ROUNDING, and if biased, of one sign only, which is the worst for a sign-flip."""
    return np.clip(np.random.default_rng(seed).uniform(-1, 1, n) + bias, -1, 1) * ROUNDING


@st.composite
def without_spread(draw):
    """An effect that is the same in every unit, and what rounding makes of it."""
    n = draw(st.integers(50, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    centre = draw(st.sampled_from([0.0, 0.05, 0.3, 0.6, 1.0]))
    kind = draw(st.sampled_from(["continuous", "ratio"]))
    below = rng.uniform(0.5, 3, n) if kind == "ratio" else np.ones(n)
    moved = noise(draw(st.integers(0, 99)), n, draw(st.sampled_from([-1.0, 0.0, 1.0])))
    grouped = draw(st.booleans())
    which = {
        "kind": kind,
        "denominators": below if kind == "ratio" else None,
        "clusters": rng.integers(0, n - 2, n) if grouped else None,
        "iid": not grouped,
        "range": draw(st.sampled_from([None, (-1.0, 1.5), (-5.0, 5.0)])),
        "placebo": draw(st.sampled_from(["waived", "low"])),
    }
    which["placebo"] = WAIVED if which["placebo"] == "waived" else [0.0] * n
    return tuple(Effect.from_values(centre * below + error, **which) for error in (0.0, moved))


def predictions():
    relations = st.sampled_from(["at_least", "at_most", "greater_than", "negligible"])
    return st.builds(Prediction, relations, st.sampled_from([0.05, 0.3, 0.6]))


@LAW
@given(without_spread(), predictions())
def test_rounding_decides_nothing_that_the_exact_values_leave_open(pair, prediction):
    exact, noisy = pair
    if judge(exact, prediction).outcome is Outcome.INCONCLUSIVE:
        assert judge(rounded(noisy), prediction).outcome is Outcome.INCONCLUSIVE


@LAW
@given(without_spread(), st.sampled_from([greater_than(0), at_most(0), at_least(0)]))
def test_two_arms_that_differ_by_rounding_are_equal(pair, prediction):
    exact, noisy = pair
    difference = rounded(exact, ROUNDING / 2) - rounded(noisy, ROUNDING / 2)
    assert judge(difference, prediction).outcome is not Outcome.REFUTED
    if prediction.relation == "greater_than":
        assert judge(difference, prediction).outcome is Outcome.INCONCLUSIVE


@LAW
@given(without_spread())
def test_no_spread_is_seen_in_rounding(pair):
    exact, noisy = pair
    assert not sample_of(rounded(exact).measured).has_spread
    assert not sample_of(rounded(noisy).measured).has_spread
    large = noisy.measured.values[0] + 100.0
    values = (large, *noisy.measured.values[1:])
    assert sample_of(dataclasses.replace(noisy.measured, values=values, rounding=ROUNDING)).has_spread


@pytest.mark.parametrize("bias", [0.0, 1.0, -1.0])
def test_a_null_with_rounding_is_as_open_as_a_null_of_zeros(bias):
    below = np.random.default_rng(0).uniform(1, 3, 60)
    for values, kind, denominators in ((noise(1, 60, bias), "continuous", None), (noise(1, 60, bias), "ratio", below)):
        null = rounded(effect(values, kind, denominators=denominators))
        for prediction in (negligible(within=0.05), at_most(0.05), at_least(0.05)):
            verdict = judge(null, prediction)
            assert verdict.outcome is Outcome.INCONCLUSIVE
            assert "degenerate" in verdict.reason


def test_without_the_rounding_the_same_null_would_be_supported():
    null = effect(noise(1, 60))
    assert judge(null, negligible(within=0.05)).outcome is Outcome.SUPPORTED
    assert judge(rounded(null), negligible(within=0.05)).outcome is Outcome.INCONCLUSIVE


def test_a_range_lets_the_betting_bound_judge_it():
    null = rounded(effect(noise(1, 200), range=(-1, 1)))
    verdict = judge(null, negligible(within=0.1))
    assert (verdict.outcome, verdict.procedures) == (Outcome.SUPPORTED, (BETTING,))


def test_the_betting_bound_grants_what_rounding_may_hide():
    # 49 of 49 decide at .94, and 48 do not: the same with values that rounding moved beyond the end of the range
    for n, outcome in ((49, Outcome.SUPPORTED), (48, Outcome.INCONCLUSIVE)):
        values = np.minimum(1.0, 1.0 + noise(2, n))
        threshold = 0.94 - 1e-4
        assert judge(rounded(effect(values, range=(0, 1))), at_least(threshold)).outcome is outcome
    lower = [judge(rounded(effect([0.5] * 60, range=(0, 1)), r), at_least(0.1)).lower for r in (0.0, 1e-3, 1e-2)]
    assert lower[0] > lower[1] > lower[2]


def test_no_payoff_is_below_what_the_range_allows():
    game = Game(np.array([0.0, 0.5, 3.0]), np.array([1.0, 1.0, 3.0]), 3.0, 0.0, 1.0, False, 0.05)
    assert game.lowered(np.array([1.0, 1.0, 3.0]), 0.1).totals == pytest.approx([0.0, 0.4, 2.7])


def test_replicates_that_tie_with_the_estimate_tie_with_rounding_too():
    exact, noisy = np.array([0.0] * 57 + [1.0] * 3), np.zeros(60)
    noisy[0] = ROUNDING
    p_values = []
    for values, rounding in ((exact, 0.0), (exact + noisy, ROUNDING)):
        sample = sample_of(rounded(effect(values), rounding).measured)
        replicates = replicates_of([sample], resamples=4000, seed=1)[0]
        p_values.append(bca(sample, Thresholds(0.01, 0.01, 0.05), replicates).p_above)
    assert p_values[1] == pytest.approx(p_values[0], rel=1e-4)


def test_bca_grants_what_rounding_may_hide():
    values = np.random.default_rng(3).normal(0.5, 0.2, 60)
    exact, coarse = (judge(rounded(effect(values), r), at_least(0.1)) for r in (0.0, 0.01))
    assert coarse.lower == pytest.approx(exact.lower - 0.01, abs=0.005)
    assert coarse.upper == pytest.approx(exact.upper + 0.01, abs=0.005)


def test_two_equal_arms_with_rounding_are_ties():
    base = np.random.default_rng(4).normal(0.5, 0.2, 60)
    first, second = (rounded(effect(base + noise(5, 60, bias)), ROUNDING) for bias in (1.0, -1.0))
    difference = first - second
    assert difference.measured.rounding == 2 * ROUNDING
    verdict = judge(difference, greater_than(0))
    assert (verdict.outcome, verdict.procedures, verdict.p_value) == (Outcome.INCONCLUSIVE, (SIGN_FLIP,), 1.0)
    # taken as exact, one arm is larger in every pair
    assert judge(rounded(first, 0.0) - rounded(second, 0.0), greater_than(0)).outcome is Outcome.SUPPORTED


def test_ratios_whose_denominators_agree_within_rounding_subtract():
    below = np.random.default_rng(6).uniform(1, 2, 60)
    first = rounded(effect(below, "ratio", denominators=below))
    near = effect(below, "ratio", denominators=below + noise(7, 60))
    assert (first - rounded(near)).measured.denominators == tuple(below)
    with pytest.raises(JudgementError, match="different denominators"):
        rounded(first, 0.0) - near


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_a_placebo_that_ties_within_rounding_is_not_beaten(bias):
    values = np.random.default_rng(8).normal(0.5, 0.2, 60)
    tied = effect(values, placebo=values - noise(9, 60, bias))
    verdict = judge(rounded(tied), at_least(0.1))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.p_value == 1.0
    if bias:
        assert judge(tied, at_least(0.1)).outcome is Outcome.SUPPORTED
    negative = effect(-values, placebo=-values + noise(9, 60, bias))
    assert judge(rounded(negative), at_most(-0.1)).outcome is Outcome.INCONCLUSIVE


def test_a_placebo_has_as_much_rounding_as_the_effect():
    values = np.random.default_rng(8).normal(0.5, 0.2, 60)
    apart = rounded(effect(values + ROUNDING, placebo=values - ROUNDING * 0.999))
    assert judge(apart, at_least(0.1)).p_value == 1.0


def test_sums_that_cancel_within_rounding_are_ties():
    differences = np.array([0.3, -0.3] * 4)
    exact, noisy = (effect(differences + e, placebo=[0.0] * 8) for e in (0.0, noise(10, 8, 1.0)))
    p_values = [judge(e, at_least(-1), minimum_units=0).p_value for e in (exact, rounded(noisy))]
    assert p_values[1] >= p_values[0]


def test_a_distance_within_rounding_proves_nothing():
    null = effect([0.0] * 60, "binary")

    def moved(distance):
        controls = dataclasses.replace(
            null.measured.controls, distance=(distance,) * 60, positive=PositiveControl(1.0, 0.5, "everywhere")
        )
        return rounded(Effect(None, dataclasses.replace(null.measured, controls=controls)))

    verdict = judge(moved(ROUNDING), negligible(within=0.1))
    assert verdict.outcome is Outcome.INVALID
    assert "In 60 of 60 pairs" in verdict.reason
    assert judge(moved(1.0), negligible(within=0.1)).outcome is Outcome.SUPPORTED


def test_the_denominators_are_rounded_as_well():
    below = np.random.default_rng(14).uniform(0.5, 3, 60)
    sign = np.tile([1.0, -1.0], 30) * ROUNDING
    perfect = rounded(effect(below + sign, "ratio", denominators=below - sign))
    assert not sample_of(perfect.measured).has_spread
    assert judge(perfect, at_least(0.9)).outcome is Outcome.INCONCLUSIVE


def test_denominators_that_are_rounding_are_not_above_zero():
    below = np.abs(noise(11, 60))
    nothing = effect(below / 2, "ratio", denominators=below)
    assert judge(rounded(nothing), at_least(0.3)).outcome is Outcome.INVALID
    assert "not clearly above zero" in judge(rounded(nothing), at_least(0.3)).reason


def test_t_sees_no_spread_in_rounding():
    units = 0.3 + noise(12, 60)
    assert t_above_zero(units) < 1e-9
    assert t_above_zero(units, slack=ROUNDING) == 1.0
    assert t_above_zero(np.append(units, 0.4), slack=ROUNDING) < 1e-9


def test_an_effect_within_rounding_is_neutral():
    null = effect(noise(13, 60))
    assert not null.is_neutral
    assert rounded(null).is_neutral


@pytest.mark.parametrize("wrong", [-1e-6, float("nan"), float("inf")])
def test_a_rounding_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(JudgementError, match="rounding="):
        rounded(effect([0.0] * 60), wrong)
