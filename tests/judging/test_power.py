"""Pairs needed: the pinned figures, and simulations that the figures keep their promise."""

import numpy as np
import pytest
from scipy import stats

from causaltest.asking.predictions import at_least, at_most, greater_than, negligible
from causaltest.effect import Effect, Waived
from causaltest.judging.judge import PUBLISHED, judge
from causaltest.judging.power import exact_binomial_pairs, normal_two_sided, student_units


@pytest.mark.parametrize(
    ("truth", "family", "pairs"),
    [(0.6, 1, 158), (0.7, 1, 37), (0.8, 1, 18), (5 / 9, 1, 502), (5 / 9, 3, 716), (0.7, 3, 55)],
)
def test_exact_figures_against_one_half(truth, family, pairs):
    assert exact_binomial_pairs(0.5, truth, alpha=0.05 / family, power=0.8) == pairs


def test_the_published_figure():
    assert normal_two_sided(5 / 9, 0.5) == 634
    assert normal_two_sided(0.5, 0.5) is None


def test_exact_power_at_the_figure_and_just_below():
    def power(n: int) -> float:
        critical = stats.binom.isf(0.05, n, 0.5) + 1
        return float(stats.binom.sf(critical - 1, n, 0.6))

    assert power(158) >= 0.8
    assert max(power(n) for n in range(1, 158)) < 0.8


def test_a_truth_at_the_threshold_needs_no_number():
    assert exact_binomial_pairs(0.5, 0.5, alpha=0.05, power=0.8) is None
    assert student_units(gap=0.0, spread=1.0, alpha=0.05, power=0.8) is None


def test_a_truth_just_past_the_threshold_is_answered_by_the_normal_formula():
    assert 1_500_000 < exact_binomial_pairs(0.5, 0.501, alpha=0.05, power=0.8) < 1_600_000


def test_student_units_have_the_power_that_they_promise():
    units = student_units(gap=0.5, spread=1.0, alpha=0.05, power=0.8)
    critical = stats.t.isf(0.05, units - 1)
    assert stats.nct.sf(critical, units - 1, 0.5 * np.sqrt(units)) == pytest.approx(0.8, abs=0.015)


def binary(outcomes, placebo=None, **which):
    placebo = Waived("only the number of pairs is tested") if placebo is None else placebo
    return Effect.from_values(outcomes, kind="binary", placebo=placebo, **(which or {"iid": True}))


def test_an_unspoken_expectation_has_no_needed_n():
    verdict = judge(binary([1, 0, 1, 1] * 10), at_least(0.5))
    assert verdict.needed_n is None
    assert "if the truth is 0.750" in verdict.needed


def test_no_number_where_the_estimate_is_on_the_wrong_side():
    verdict = judge(binary([1, 0, 0, 0] * 2), at_least(0.5))
    assert list(verdict.needed) == [PUBLISHED]


def test_clusters_multiply_the_pairs():
    rng = np.random.default_rng(0)
    outcomes = rng.binomial(1, np.repeat(rng.beta(1.4, 0.9, 30), 10))
    alone = judge(binary(outcomes), at_least(0.5, expecting=0.6)).needed_n
    clustered = judge(binary(outcomes, clusters=np.repeat(np.arange(30), 10)), at_least(0.5, expecting=0.6)).needed_n
    assert alone == 158
    # a correlation of .3 in clusters of ten is a design effect of 1 + 9 * .3
    assert 2.5 < clustered / alone < 5


def test_the_placebo_counts():
    rng = np.random.default_rng(1)
    outcomes = rng.binomial(1, 0.7, 60)
    waived = judge(binary(outcomes), at_least(0.5, expecting=0.7)).needed_n
    close = judge(binary(outcomes, placebo=rng.binomial(1, 0.6, 60)), at_least(0.5, expecting=0.7)).needed_n
    assert close > 2 * waived


def test_a_placebo_as_good_as_the_patch_has_no_number():
    assert judge(binary([1, 1, 0] * 10, placebo=[1, 1, 0] * 10), at_least(0.5, expecting=0.65)).needed_n is None


def test_the_family_and_the_margin_count():
    values = np.random.default_rng(2).normal(0.4, 0.3, 60)
    effect = Effect.from_values(values, kind="continuous", iid=True, placebo=Waived("x"))
    numbers = [judge(effect, at_least(0.2, expecting=0.3), family_size=k).needed_n for k in (1, 3, 10)]
    assert numbers == sorted(set(numbers))
    assert judge(effect, negligible(within=0.5, expecting=0.45)).needed_n > numbers[0]


def test_the_minimum_is_never_undercut():
    values = np.random.default_rng(2).normal(5, 0.1, 60)
    effect = Effect.from_values(values, kind="continuous", iid=True, placebo=Waived("x"))
    assert judge(effect, at_least(0.0, expecting=5.0)).needed_n == 50


def test_at_most_mirrors_at_least():
    outcomes = np.array([1] * 7 + [0] * 13)
    low = judge(binary(outcomes), at_most(0.5, expecting=0.3)).needed_n
    high = judge(binary(1 - outcomes), at_least(0.5, expecting=0.7)).needed_n
    assert low == high == 37


def simulated_power(draw, n: int, prediction, repeats: int = 120, **which) -> float:
    found = 0
    for repeat in range(repeats):
        effect = Effect.from_values(draw(n), iid=True, placebo=Waived("x"), **which)
        found += judge(effect, prediction, resamples=1000, seed=repeat).outcome == "SUPPORTED"
    return found / repeats


def test_the_promise_for_a_bounded_mean_counts_the_betting_bound():
    rng = np.random.default_rng(3)
    which = {"kind": "continuous", "range": (0.0, 1.0)}
    prediction = at_least(0.5, expecting=0.6)
    pilot = Effect.from_values(rng.beta(6, 4, 200), iid=True, placebo=Waived("x"), **which)
    needed = judge(pilot, prediction).needed_n
    assert 0.68 <= simulated_power(lambda n: rng.beta(6, 4, n), needed, prediction, **which) <= 0.95


def test_the_promise_for_mcnemar():
    rng = np.random.default_rng(4)

    def difference(n):
        first, second = rng.random(n) < 0.5, rng.random(n) < 0.3
        arms = [Effect.from_values(arm, kind="binary", iid=True) for arm in (first, second)]
        return arms[0] - arms[1]

    prediction = greater_than(0, expecting=0.2)
    needed = judge(difference(2000), prediction).needed_n
    found = sum(judge(difference(needed), prediction).outcome == "SUPPORTED" for _ in range(200))
    assert 0.7 <= found / 200 <= 0.9
