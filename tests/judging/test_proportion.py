"""The exact binomial test never exceeds alpha, and Korn-Graubard knows that clusters are not pairs."""

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging.bounds import Bound, Thresholds
from causaltest.judging.proportion import effective_n, exact_binomial, korn_graubard
from causaltest.judging.sample import Sample, sample_of


def at(threshold: float, alpha: float = 0.05) -> Thresholds:
    return Thresholds(threshold, threshold, alpha)


def clustered(outcomes, clusters) -> Sample:
    return sample_of(Effect.from_values(outcomes, kind="binary", clusters=clusters).measured)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_exact_type_one_error_is_at_most_alpha_by_enumeration(threshold, alpha):
    for n in range(5, 61):
        bounds = [exact_binomial(k, n, at(threshold, alpha)) for k in range(n + 1)]
        likelihood = stats.binom.pmf(np.arange(n + 1), n, threshold)
        above = np.array([bound.lower > threshold for bound in bounds])
        below = np.array([bound.upper < threshold for bound in bounds])
        assert likelihood[above].sum() <= alpha * (1 + 1e-9)
        assert likelihood[below].sum() <= alpha * (1 + 1e-9)
        assert [b.p_above <= alpha for b in bounds] == list(above)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (5, 9), (9, 9), (31, 60)])
def test_exact_bounds_and_p_are_scipys(successes, n):
    bound = exact_binomial(successes, n, at(0.5))
    above = stats.binomtest(successes, n, 0.5, alternative="greater")
    below = stats.binomtest(successes, n, 0.5, alternative="less")
    assert bound.lower == pytest.approx(above.proportion_ci(0.95, method="exact").low)
    assert bound.upper == pytest.approx(below.proportion_ci(0.95, method="exact").high)
    assert bound.p_above == pytest.approx(above.pvalue)
    assert bound.p_below == pytest.approx(below.pvalue)


def test_singletons_have_nearly_their_own_number_as_effective_n():
    outcomes = [1, 0] * 20
    assert effective_n(clustered(outcomes, range(40)), 0.05) == pytest.approx(39, abs=0.01)


def test_identical_items_count_once_per_cluster():
    outcomes = np.repeat([1, 0, 1, 1, 0, 1, 0, 1, 1, 1], 10)
    assert effective_n(clustered(outcomes, np.repeat(np.arange(10), 10)), 0.05) < 10


def test_effective_n_never_exceeds_n():
    # each cluster has exactly one of each: the variance between clusters is below the binomial one
    clusters = np.repeat(np.arange(30), 2)
    assert 55 < effective_n(clustered([1, 0] * 30, clusters), 0.05) <= 60
    assert 55 < effective_n(clustered([1, 1] + [1, 0] * 29, clusters), 0.05) <= 60


def test_without_exceptions_the_clusters_count():
    sample = clustered([1] * 100, np.repeat(np.arange(10), 10))
    assert effective_n(sample, 0.05) == 10
    assert korn_graubard(sample, at(0.5)).lower == pytest.approx(0.05 ** (1 / 10))


def test_one_exception_is_no_better_evidence_than_none():
    clusters = np.repeat(np.arange(10), 10)
    none = korn_graubard(clustered([1] * 100, clusters), at(0.5))
    one = korn_graubard(clustered([0] + [1] * 99, clusters), at(0.5))
    assert one.lower <= none.lower
    assert one.p_above >= none.p_above


def false_support(judge_one, threshold: float, repeats: int = 600) -> float:
    """Ten templates of ten items with correlation .3 within, whose true proportion is the threshold."""
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(10), 10)
    spread = (1 - 0.3) / 0.3
    found = 0
    for _ in range(repeats):
        rates = rng.beta(threshold * spread, (1 - threshold) * spread, 10)
        bound: Bound = judge_one(clustered(rng.binomial(1, np.repeat(rates, 10)), clusters))
        found += bound.p_above <= 0.05
    return found / repeats


def test_correlated_items_are_not_judged_as_a_hundred():
    assert false_support(lambda s: korn_graubard(s, at(0.5)), 0.5) <= 0.065
    # the negative control: the same samples taken as a hundred independent pairs
    assert false_support(lambda s: exact_binomial(s.values.sum(), s.n, at(0.5)), 0.5) > 0.15
