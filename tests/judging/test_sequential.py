"""O'Brien-Fleming looks: the published boundaries, what they spend, and the verdict of one look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from causaltest.asking.predictions import at_least, at_most
from causaltest.effect import Effect, Waived
from causaltest.judging.judge import judge
from causaltest.judging.sequential import boundaries, inflation, judge_look, nominal_alpha, overall_alpha
from causaltest.verdict import Outcome

EVEN = {1: 25, 2: 50, 3: 75, 4: 100}


def binary(ones: int, zeros: int, **more) -> Effect:
    return Effect.from_values([1] * ones + [0] * zeros, kind="binary", iid=True, placebo=Waived("a test"), **more)


def crossing_by_scipy(z: list[float], information: list[float]) -> float:
    """The chance that any look crosses, by scipy's multivariate normal."""
    t = np.array(information) / information[-1]
    covariance = np.minimum.outer(t, t) / np.sqrt(np.outer(t, t))
    return 1 - float(stats.multivariate_normal.cdf(np.array(z), cov=covariance, abseps=1e-9, maxpts=2_000_000))


def test_the_published_boundaries_of_four_looks() -> None:
    assert [round(z, 2) for z in boundaries(0.05, 4)] == [3.47, 2.45, 2.00, 1.73]
    # Jennison and Turnbull 2000, table 2.3: one-sided .025, where C is 2.024 for four looks and 1.977 for two
    assert boundaries(0.025, 4)[-1] == pytest.approx(2.024, abs=5e-4)
    assert boundaries(0.025, 2)[-1] == pytest.approx(1.977, abs=1e-3)


@pytest.mark.parametrize(
    ("power", "published"),
    [(0.8, {2: 1.008, 3: 1.017, 4: 1.024, 5: 1.028, 10: 1.040}), (0.9, {2: 1.007, 3: 1.016, 4: 1.022, 5: 1.026})],
)
def test_the_published_inflation_of_the_pairs(power: float, published: dict[int, float]) -> None:
    # Jennison and Turnbull 2000, table 2.4: two-sided .05, which is .025 on the side of the effect
    found = {looks: inflation(0.025, looks, power) for looks in published}
    assert found == pytest.approx(published, abs=6e-4)


def test_the_inflated_number_of_pairs_has_the_power_of_one_look() -> None:
    z, information = boundaries(0.05, 4), [0.25, 0.5, 0.75, 1.0]
    drift = (stats.norm.isf(0.05) + stats.norm.ppf(0.8)) * math.sqrt(inflation(0.05, 4, 0.8))
    reached = [bound - drift * math.sqrt(t) for bound, t in zip(z, information, strict=True)]
    assert crossing_by_scipy(reached, information) == pytest.approx(0.8, abs=1e-5)
    assert inflation(0.05, 1, 0.8) == pytest.approx(1) and inflation(0.05, 4, 0.04) == 1


def test_one_look_is_the_fixed_test() -> None:
    assert boundaries(0.05, 1) == (pytest.approx(1.6448536269514722),)
    assert nominal_alpha(0.05, 1, {1: 40}) == pytest.approx(0.05)


@pytest.mark.parametrize(("alpha", "looks"), [(0.05, 2), (0.05, 5), (0.01, 4), (0.05 / 12, 3)])
def test_all_looks_together_spend_alpha_by_another_integration(alpha: float, looks: int) -> None:
    information = [float(k) for k in range(1, looks + 1)]
    assert crossing_by_scipy(list(boundaries(alpha, looks)), information) == pytest.approx(alpha, rel=1e-4)


@pytest.mark.parametrize("units", [[12, 23, 34, 45], [3, 4, 44, 45], [20, 21, 22, 60]])
def test_uneven_looks_spend_alpha_too(units: list[int]) -> None:
    alphas = [nominal_alpha(0.05, 4, dict(enumerate(units[:k], start=1))) for k in range(1, 5)]
    z = [-float(special.ndtri(a)) for a in alphas]
    assert crossing_by_scipy(z, [float(u) for u in units]) == pytest.approx(0.05, rel=1e-4)


def test_what_a_look_without_new_units_would_have_spent_goes_to_the_next() -> None:
    z = [-float(special.ndtri(nominal_alpha(0.05, 4, u))) for u in ({2: 50}, {2: 50, 4: 100})]
    assert crossing_by_scipy(z, [50.0, 100.0]) == pytest.approx(0.05, rel=1e-4)


def test_even_looks_have_the_boundaries_of_the_table() -> None:
    for k, z in enumerate(boundaries(0.05, 4), start=1):
        so_far = {look: units for look, units in EVEN.items() if look <= k}
        assert nominal_alpha(0.05, 4, so_far) == pytest.approx(float(special.ndtr(-z)), rel=1e-7)


@settings(max_examples=25, deadline=None)
@given(
    alpha=st.floats(1e-6, 0.4),
    new=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    extra=st.integers(0, 2),
)
def test_the_overall_alpha_is_the_inverse_of_the_looks_own(alpha: float, new: list[int], extra: int) -> None:
    units = {k: sum(new[:k]) for k in range(1, len(new) + 1)}
    looks = len(new) + extra
    if looks < 2:
        return
    here = nominal_alpha(alpha, looks, units)
    assert 0 < here <= alpha * (1 + 1e-9)
    if here < 1e-100:
        return
    assert overall_alpha(here, looks, units) == pytest.approx(alpha, rel=1e-5)
    assert overall_alpha(here * 0.5, looks, units) < alpha < overall_alpha(min(1.0, here * 1.5), looks, units)


def test_a_p_of_one_is_one_and_a_small_one_is_not_zero() -> None:
    assert overall_alpha(1.0, 4, {1: 5}) == 1.0
    assert 0 < overall_alpha(1e-308, 4, {1: 5, 2: 10}) < 1e-100


# the verdict of a look


def test_a_look_is_judged_by_the_same_procedure_at_its_own_alpha() -> None:
    effect, prediction = binary(40, 10), at_least(0.5)
    look = judge_look(effect, prediction, looks=4, units={1: 25, 2: 50}, seed=3)
    alpha = nominal_alpha(0.05, 4, {1: 25, 2: 50})
    own = stats.binomtest(40, 50, 0.5, alternative="greater")
    assert look.verdict.outcome is Outcome.SUPPORTED
    assert look.verdict.alpha == pytest.approx(alpha)
    assert look.verdict.lower == pytest.approx(own.proportion_ci(1 - alpha, method="exact").low)
    assert look.verdict.p_value == pytest.approx(overall_alpha(own.pvalue, 4, {1: 25, 2: 50}))
    assert look.verdict.p_adjusted == look.verdict.p_value
    assert look.verdict.procedures == judge(effect, prediction).procedures
    assert "Look 2 of 4 that spend alpha .05" in look.verdict.reason


def test_what_a_fixed_claim_supports_an_early_look_may_leave_open() -> None:
    effect, prediction = binary(33, 17), at_least(0.5)
    assert judge(effect, prediction).outcome is Outcome.SUPPORTED
    look = judge_look(effect, prediction, looks=4, units={1: 25, 2: 50})
    assert look.verdict.outcome is Outcome.INCONCLUSIVE
    assert look.verdict.p_adjusted > 0.05
    # Whoever corrects it for a family (Holm, in the summary) corrects what all looks spend, and not this one's tail.
    assert look.verdict.p_value == look.verdict.p_adjusted
    assert not look.passed


@pytest.mark.parametrize(("ones", "prediction"), [(8, at_least(0.5)), (42, at_most(0.5))])
def test_an_early_look_refutes_too(ones: int, prediction) -> None:
    look = judge_look(binary(ones, 50 - ones), prediction, looks=4, units={1: 25, 2: 50})
    assert look.verdict.outcome is Outcome.REFUTED


def test_the_looks_spend_the_alpha_that_the_family_leaves() -> None:
    look = judge_look(binary(40, 10), at_least(0.5), looks=4, units={1: 25, 2: 50}, family_size=10)
    assert look.verdict.alpha == pytest.approx(nominal_alpha(0.005, 4, {1: 25, 2: 50}))
    assert look.verdict.family_size == 10
    assert "spend alpha .05/10" in look.verdict.reason
    alone = judge_look(binary(40, 10), at_least(0.5), looks=4, units={1: 25, 2: 50})
    assert look.verdict.p_adjusted == pytest.approx(10 * alone.verdict.p_adjusted)


@settings(max_examples=40, deadline=None)
@given(ones=st.integers(0, 60), look=st.integers(1, 3), family=st.integers(1, 8))
def test_the_corrected_p_never_contradicts_the_verdict(ones: int, look: int, family: int) -> None:
    units = {k: 20 * k for k in range(1, look + 1)}
    n = 20 * look
    effect = binary(min(ones, n), max(0, n - ones))
    verdict = judge_look(effect, at_least(0.5), looks=3, units=units, family_size=family).verdict
    assert (verdict.outcome is Outcome.SUPPORTED) == (verdict.p_adjusted <= 0.05)
    assert verdict.p_adjusted == min(1.0, family * verdict.p_value)


def test_a_look_with_too_few_units_is_passed_and_says_so() -> None:
    values = list(np.linspace(0.5, 0.9, 12))
    effect = Effect.from_values(values, kind="continuous", range=(-1, 1), iid=True, placebo=Waived("a test"))
    look = judge_look(effect, at_least(0.1), looks=4, units={1: 12})
    assert look.verdict.outcome is Outcome.INCONCLUSIVE
    assert look.passed == "12 pairs, where 20 are needed"
    assert "Look 1 of 4 cannot decide: 12 pairs" in look.verdict.reason


def test_a_look_whose_alpha_wants_too_many_resamples_is_passed_and_says_so() -> None:
    values = list(np.linspace(0.5, 0.9, 30))
    effect = Effect.from_values(values, kind="continuous", range=(-1, 1), iid=True, placebo=Waived("a test"))
    look = judge_look(effect, at_least(0.1), looks=4, units={1: 30}, family_size=5)
    assert look.verdict.outcome is Outcome.INCONCLUSIVE
    assert "resamples" in look.passed
    # The last look wants hardly more than a claim that is looked at once, and decides.
    last = judge_look(effect, at_least(0.1), looks=4, units={4: 30}, family_size=5)
    assert (last.verdict.outcome, last.passed) == (Outcome.SUPPORTED, "")


def test_exact_procedures_need_no_resamples_and_decide_at_any_alpha() -> None:
    look = judge_look(binary(60, 0), at_least(0.3), looks=4, units={1: 60}, family_size=100)
    assert math.ceil(50 / look.verdict.alpha) > 200_000
    assert (look.verdict.outcome, look.passed) == (Outcome.SUPPORTED, "")


# what the looks spend when the outcomes are counts: every path, added up


def crossing_of_binomials(n: int, threshold: float, looks: int, alphas: list[float], side: int) -> float:
    """The chance that any look decides at the threshold itself, by adding up all paths of successes."""
    ends = [round(n * k / looks) for k in range(1, looks + 1)]
    alive, crossed, before = {0: 1.0}, 0.0, 0
    for end, alpha in zip(ends, alphas, strict=True):
        after: dict[int, float] = {}
        for successes, chance in alive.items():
            for new in range(end - before + 1):
                reach = chance * stats.binom.pmf(new, end - before, threshold)
                after[successes + new] = after.get(successes + new, 0.0) + reach
        alive = {}
        for successes, chance in after.items():
            tail = (
                stats.binom.sf(successes - 1, end, threshold)
                if side > 0
                else stats.binom.cdf(successes, end, threshold)
            )
            if tail <= alpha:
                crossed += chance
            else:
                alive[successes] = chance
        before = end
    return crossed


@pytest.mark.parametrize(("n", "threshold"), [(24, 0.5), (40, 0.3), (60, 0.5), (80, 0.8)])
@pytest.mark.parametrize("side", [1, -1])
def test_exact_type_one_error_of_binomial_looks(n: int, threshold: float, side: int) -> None:
    ends = {k: round(n * k / 4) for k in range(1, 5)}
    alphas = [nominal_alpha(0.05, 4, {j: ends[j] for j in range(1, k + 1)}) for k in range(1, 5)]
    assert crossing_of_binomials(n, threshold, 4, alphas, side) <= 0.05
    assert crossing_of_binomials(n, threshold, 4, [0.05] * 4, side) > 0.05, "looking four times at .05 does exceed it"
