"""Unchanged: HOLDS, REGRESSED or INCONCLUSIVE, and IMPROVED said where it is."""

import dataclasses

import numpy as np
import pytest

from causaltest.asking.predictions import unchanged
from causaltest.effect import Controls, Effect, PositiveControl, SelfPatch, Waived
from causaltest.judging.drift import IDENTICAL
from causaltest.judging.judge import judge, judge_family
from causaltest.judging.rules import BCA, BETTING, STUDENT
from causaltest.verdict import Outcome

MARGIN = unchanged(margin=0.1)


def difference(change, *, kind="continuous", rounding=0.0, before=None, span=None, denominators=None) -> Effect:
    """now - before, where `change` is what each pair moved by."""
    change = np.asarray(change, dtype=float)
    before = np.random.default_rng(9).normal(0, 1, len(change)) if before is None else before
    arms = []
    for values in (before + change, before):
        arm = Effect.from_values(values, kind=kind, iid=True, range=span, denominators=denominators)
        arms.append(dataclasses.replace(arm, numbers=dataclasses.replace(arm.measured, rounding=rounding)))
    return arms[0] - arms[1]


def normal(mean, n, seed=0, sd=0.4):
    return np.random.default_rng(seed).normal(mean, sd, n)


@pytest.mark.parametrize(
    ("mean", "outcome", "word"),
    [
        (0.0, Outcome.SUPPORTED, "HOLDS: observed"),
        (-0.3, Outcome.REFUTED, "REGRESSED: observed"),
        (0.4, Outcome.SUPPORTED, "HOLDS, and IMPROVED: observed"),
        (-0.1, Outcome.INCONCLUSIVE, "do not settle whether the effect is unchanged, margin 0.1"),
    ],
)
def test_the_words(mean, outcome, word):
    verdict = judge(difference(normal(mean, 300)), MARGIN)
    assert verdict.outcome is outcome
    assert word in verdict.reason
    assert verdict.procedures == (BCA, STUDENT)
    assert verdict.prediction == "unchanged, margin 0.1"


def test_right_or_wrong_and_ratios_are_judged_too():
    rng = np.random.default_rng(4)
    before, after = (rng.random(400) < 0.8).astype(float), (rng.random(400) < 0.8).astype(float)
    binary = difference(after - before, kind="binary", before=before)
    assert judge(binary, MARGIN).procedures == (BCA, STUDENT, BETTING)
    assert judge(binary, unchanged(margin=0.2)).outcome is Outcome.SUPPORTED
    fallen = difference(-(before * (rng.random(400) < 0.6)), kind="binary", before=before)
    assert judge(fallen, MARGIN).outcome is Outcome.REFUTED
    below = rng.uniform(2, 4, 400)
    for move, outcome in ((0.0, Outcome.SUPPORTED), (-0.3, Outcome.REFUTED)):
        ratio = difference(below * (move + rng.normal(0, 0.3, 400)), kind="ratio", denominators=below)
        assert judge(ratio, MARGIN).outcome is outcome


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_difference_within_rounding_holds_by_a_rule_of_its_own(n):
    noise = np.random.default_rng(0).uniform(-2e-6, 2e-6, n)
    verdict = judge(difference(noise, rounding=1e-6), MARGIN)
    assert (verdict.outcome, verdict.procedures) == (Outcome.SUPPORTED, (IDENTICAL,))
    assert "HOLDS" in verdict.reason and IDENTICAL in verdict.reason
    assert 0 < verdict.p_value <= verdict.alpha and -0.1 <= verdict.lower <= 0 <= verdict.upper
    assert judge(difference(np.zeros(n)), MARGIN).procedures == (IDENTICAL,)
    # one pair that moved by more, and it is a sample again
    moved = noise.copy()
    moved[0] = 1e-4
    assert judge(difference(moved, rounding=1e-6), MARGIN).procedures != (IDENTICAL,)


def test_rounding_is_of_the_arms_and_not_of_their_difference():
    values = np.random.default_rng(2).normal(0.5, 0.1, 60)
    verdict = judge(difference(np.full(60, -1e-12), before=values), MARGIN)
    assert (verdict.outcome, verdict.procedures) == (Outcome.SUPPORTED, (IDENTICAL,))
    assert judge(difference(np.full(60, -1e-6), before=values), MARGIN).procedures != (IDENTICAL,)


def test_rounding_as_large_as_the_margin_shows_nothing():
    verdict = judge(difference([0.0] * 60, rounding=0.2), MARGIN)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.procedures != (IDENTICAL,)


def test_equal_right_or_wrong_outcomes_are_a_sample():
    ones = np.ones(5)
    few = judge(difference(0 * ones, kind="binary", before=ones), MARGIN)
    assert (few.outcome, few.procedures) == (Outcome.INCONCLUSIVE, (BETTING,))
    many = np.ones(60)
    assert judge(difference(0 * many, kind="binary", before=many), MARGIN).outcome is Outcome.SUPPORTED


def test_equal_changes_of_right_or_wrong_outcomes_are_a_sample_too():
    """A noising patch that breaks every answer changes each by -1, in two runs that need not be alike."""
    lost = -np.ones(5)
    few = judge(difference(0 * lost, before=lost, span=(-1, 1)), MARGIN)
    assert (few.outcome, few.procedures) == (Outcome.INCONCLUSIVE, (BETTING,))


def test_equal_clipped_scores_are_a_sample():
    at_the_end = np.full(5, 5.0)
    alike = difference(0 * at_the_end, before=at_the_end, span=(-5, 5))
    assert judge(alike, MARGIN).procedures == (IDENTICAL,)
    arms = [Effect.from_values(at_the_end, kind="continuous", iid=True, range=(-5, 5)) for _ in range(2)]
    clipped = Effect(None, dataclasses.replace(arms[0].measured, clipped=0.4))
    for difference_of in (clipped - arms[1], arms[0] - clipped):
        assert difference_of.measured.clipped == 0.4
        verdict = judge(difference_of, MARGIN)
        assert (verdict.outcome, verdict.procedures) == (Outcome.INCONCLUSIVE, (BETTING,))
        assert any("in 40% of the pairs" in note for note in verdict.notes)


@pytest.mark.parametrize(("n", "outcome"), [(1, Outcome.INCONCLUSIVE), (19, Outcome.INCONCLUSIVE), (20, "SUPPORTED")])
def test_coarse_rounding_takes_more_than_one_pair(n, outcome):
    verdict = judge(difference(np.full(n, -0.05), rounding=0.04), unchanged(margin=0.15))
    assert (verdict.outcome, verdict.procedures) == (outcome, (IDENTICAL,))


def test_where_nothing_can_be_seen_nothing_holds():
    arm = difference(normal(0.0, 300))
    dead = Controls(SelfPatch(0, 0), Waived("a difference"), PositiveControl(0.0, 0.1, "everything"))
    verdict = judge(dataclasses.replace(arm, numbers=dataclasses.replace(arm.measured, controls=dead)), MARGIN)
    assert verdict.outcome is Outcome.INVALID


def outcomes(mean, n, repeats=300):
    effects = [difference(normal(mean, n, 7 * i)) for i in range(repeats)]
    verdicts = judge_family(effects, [MARGIN] * repeats, family_size=1, resamples=1000)
    return [verdict.outcome for verdict in verdicts]


@pytest.mark.parametrize(("n", "power"), [(50, 0.54), (100, 0.80), (200, 0.97)])
def test_operating_characteristic(n, power):
    """sd .4, margin .1: the published figures, within a binomial band at 300 repeats."""
    # the 99.9 % band at 300 repeats, and two hundredths for BCa, which must clear beside t
    band = 3.3 * np.sqrt(power * (1 - power) / 300) + 0.02
    for mean, word in ((0.0, Outcome.SUPPORTED), (-0.2, Outcome.REFUTED)):
        assert np.mean([o is word for o in outcomes(mean, n)]) == pytest.approx(power, abs=band)


@pytest.mark.parametrize("n", [50, 200])
def test_at_the_margin_either_word_is_said_as_rarely_as_alpha(n):
    seen = outcomes(-0.1, n)
    for word in (Outcome.SUPPORTED, Outcome.REFUTED):
        # the upper end of the 99.9 % band about .05 at 300 repeats
        assert np.mean([o is word for o in seen]) <= 0.097
