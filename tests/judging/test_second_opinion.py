"""Where statsmodels or scipy does the same as the judge, they agree to 1e-8.

No overlap: Korn and Graubard's bound, Fieller's interval, the betting bound and the sign-flip's bounds are in neither.
What they rest on is compared in their place. BCa is compared to scipy's in test_bca.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower, TTestPower
from statsmodels.stats.proportion import binom_test, proportion_confint, proportion_effectsize
from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

from causaltest.asking.predictions import at_least, at_most, negligible
from causaltest.effect import Effect, Waived
from causaltest.judging.bounds import Thresholds
from causaltest.judging.equivalence import p_of, thresholds_of
from causaltest.judging.judge import judge
from causaltest.judging.multiplicity import adjusted, holm
from causaltest.judging.paired import beat, contest_of, flips_of, mcnemar, sign_flip
from causaltest.judging.power import exact_binomial_pairs, normal_two_sided, student_units
from causaltest.judging.proportion import exact_binomial, linearised_variance
from causaltest.judging.sample import Sample, sample_of
from causaltest.judging.student import student

AGREE = settings(max_examples=80, deadline=None, derandomize=True)
ALPHAS = st.sampled_from([0.05, 0.025, 0.05 / 3, 0.001])
NOWHERE = (1.0, 0.0)
"""Thresholds that no proportion clears, so that its bounds stay what they are."""


def near(value: float):
    return pytest.approx(value, rel=1e-8, abs=1e-8)


def sample_from(values, *, placebo=None, clusters=None) -> Sample:
    placebo = Waived("a comparison of procedures") if placebo is None else placebo
    how = {"iid": True} if clusters is None else {"clusters": clusters}
    return sample_of(Effect.from_values(values, kind="continuous", placebo=placebo, **how).measured)


@st.composite
def samples(draw, most: int = 60):
    """Numbers of any scale and centre, in clusters or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(3, most))
    return rng.normal(draw(st.floats(-2, 2)), draw(st.floats(0.01, 10)), n)


# proportions


@AGREE
@given(st.integers(1, 400), st.data(), ALPHAS)
def test_exact_bounds_of_a_proportion(n, data, alpha):
    k = data.draw(st.integers(0, n))
    ours = exact_binomial(k, n, Thresholds(*NOWHERE, alpha))
    lower, upper = proportion_confint(k, n, alpha=2 * alpha, method="beta")
    # where none or all came out, statsmodels gives the end itself, or not a number
    assert ours.lower == near(0.0 if k == 0 else lower)
    assert ours.upper == near(1.0 if k == n else upper)


@AGREE
@given(st.integers(1, 400), st.data(), st.floats(0.01, 0.99))
def test_exact_p_of_a_proportion(n, data, x):
    k = data.draw(st.integers(0, n))
    # at alpha 1 no bound that rounds differently can move the p-value
    ours = exact_binomial(k, n, Thresholds(x, x, 1.0))
    assert ours.p_above == near(binom_test(k, n, prop=x, alternative="larger"))
    assert ours.p_below == near(binom_test(k, n, prop=x, alternative="smaller"))


@AGREE
@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80), st.integers(1, 40))
def test_mcnemar(first_only, second_only, both, neither):
    first = [1.0] * first_only + [0.0] * second_only + [1.0] * both + [0.0] * neither
    second = [0.0] * first_only + [1.0] * second_only + [1.0] * both + [0.0] * neither
    arms = [Effect.from_values(arm, kind="binary", iid=True) for arm in (first, second)]
    bound = mcnemar(sample_of((arms[0] - arms[1]).measured), Thresholds(0.0, 0.0, 0.05))
    two_sided = min(1.0, 2 * min(bound.p_above, bound.p_below))
    assert two_sided == near(their_mcnemar([[both, first_only], [second_only, neither]], exact=True).pvalue)


# means


@AGREE
@given(samples(), ALPHAS)
def test_t_bounds_of_a_mean(values, alpha):
    described = DescrStatsW(values)
    lower, upper = described.tconfint_mean(alpha=2 * alpha)
    ours = student(sample_from(values), Thresholds(1e3, -1e3, alpha))
    assert (ours.lower, ours.upper) == (near(lower), near(upper))


@AGREE
@given(samples(), st.floats(-3, 3))
def test_t_and_both_one_sided_tests(values, x):
    described, margin = DescrStatsW(values), abs(x) + 0.1
    # above alpha a p-value is told as it is
    ours = student(sample_from(values), Thresholds(x, x, 1e-300))
    assert ours.p_above == near(described.ttest_mean(x, alternative="larger")[1])
    assert ours.p_below == near(described.ttest_mean(x, alternative="smaller")[1])
    claim = negligible(within=margin)
    within = p_of(claim, student(sample_from(values), thresholds_of(claim, 1e-300)))
    assert within == near(described.ttost_mean(-margin, margin)[0])


@AGREE
@given(samples(), st.integers(0, 2**16), st.floats(0.05, 3))
def test_equivalence_of_two_paired_arms(first, seed, margin):
    second = first + np.random.default_rng(seed).normal(0, 1, len(first))
    arms = [Effect.from_values(arm, kind="continuous", iid=True) for arm in (first, second)]
    claim = negligible(within=margin)
    within = p_of(claim, student(sample_of((arms[0] - arms[1]).measured), thresholds_of(claim, 1e-300)))
    assert within == near(ttost_paired(first, second, -margin, margin)[0])


@AGREE
@given(samples(), st.integers(2, 12), st.booleans())
def test_variance_of_a_mean_over_clusters(values, clusters, right_or_wrong):
    """What Korn and Graubard's effective n rests on, by the sandwich of a regression on a constant."""
    values = (values > np.median(values)).astype(float) if right_or_wrong else values
    groups = np.arange(len(values)) % min(clusters, len(values) - 1)
    fitted = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    theirs = float(fitted.bse[0]) ** 2
    assert linearised_variance(sample_from(values, clusters=groups)) == near(theirs)


# sign-flips


@AGREE
@given(samples(most=12))
def test_sign_flips_of_few_units(values):
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    sample = sample_from(values, placebo=[0.0] * len(values))
    ours = sign_flip(Thresholds(0.0, 0.0, 0.999), flips_of([sample], resamples=10, seed=0)[0])
    assert ours.p_above == near(theirs)
    assert beat([contest_of(sample)], resamples=10, seed=0)[0] == near(theirs)


# families


@pytest.mark.parametrize("claims", [1, 2, 5, 30])
def test_holms_correction(claims):
    # few cases: statsmodels collects all garbage in each call
    p_values = np.random.default_rng(claims).beta(0.3, 3, claims).tolist()
    assert list(holm(p_values)) == near(multipletests(p_values, method="holm")[1])


@AGREE
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30))
def test_bonferronis_correction(p_values):
    ours = [adjusted(p, len(p_values)) for p in p_values]
    assert ours == near(multipletests(p_values, method="bonferroni")[1])


@AGREE
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30), st.sampled_from(["bh", "by"]))
def test_false_discoveries(p_values, method):
    ours = stats.false_discovery_control(p_values, method=method)
    assert list(ours) == near(multipletests(p_values, method=f"fdr_{method}")[1])


# power


@pytest.mark.parametrize("share", [5 / 9, 0.6, 0.7, 0.35])
def test_the_published_formula(share):
    effect = proportion_effectsize(share, 0.5)
    theirs = NormalIndPower().solve_power(abs(effect), ratio=0, alpha=0.05, power=0.8, alternative="two-sided")
    assert normal_two_sided(share, 0.5) == math.ceil(theirs)


def test_the_pilots_figure_before_it_is_rounded():
    effect = proportion_effectsize(5 / 9, 0.5)
    theirs = NormalIndPower().solve_power(effect, ratio=0, alpha=0.05, power=0.8, alternative="two-sided")
    assert theirs == pytest.approx(633.14, abs=0.01)


@pytest.mark.parametrize(("gap", "alpha"), [(0.2, 0.05), (0.5, 0.05), (1.0, 0.05), (0.5, 0.05 / 3), (0.3, 0.005)])
def test_units_for_a_t_test(gap, alpha):
    """Guenther's formula is an approximation: it is no more than one unit away from the exact number."""
    exact = TTestPower().solve_power(gap, alpha=alpha, power=0.8, alternative="larger")
    assert abs(student_units(gap=gap, spread=1.0, alpha=alpha, power=0.8) - math.ceil(exact)) <= 1


@pytest.mark.parametrize(("x", "truth", "alpha"), [(0.5, 0.6, 0.05), (0.3, 0.5, 0.01), (0.9, 0.97, 0.05)])
def test_pairs_for_an_exact_test(x, truth, alpha):
    """By trying every n, each with statsmodels' exact test."""

    def power(n: int) -> float:
        first = next((k for k in range(n + 1) if binom_test(k, n, prop=x, alternative="larger") <= alpha), n + 1)
        return float(stats.binom.sf(first - 1, n, truth))

    ours = exact_binomial_pairs(x, truth, alpha=alpha, power=0.8)
    assert ours is not None
    assert power(ours) >= 0.8
    assert max(power(n) for n in range(max(1, ours - 25), ours)) < 0.8


# the verdict itself


@pytest.mark.parametrize(("k", "n", "x"), [(30, 40, 0.5), (9, 40, 0.4), (20, 40, 0.5), (60, 61, 0.9)])
def test_the_judge_says_what_the_second_opinion_says(k, n, x):
    effect = Effect.from_values([1] * k + [0] * (n - k), kind="binary", iid=True, placebo=Waived("given"))
    for prediction, sign in ((at_least(x), "larger"), (at_most(x), "smaller")):
        verdict = judge(effect, prediction, family_size=2)
        theirs = binom_test(k, n, prop=x, alternative=sign)
        assert verdict.p_value == near(theirs)
        assert (str(verdict.outcome) == "SUPPORTED") == (theirs <= 0.025)
