"""BCa bounds are scipy's, and their p-values are the alphas that would put a bound at the threshold."""

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging.bca import bca
from causaltest.judging.bounds import Thresholds
from causaltest.judging.sample import sample_of


def skewed(n: int = 60):
    return sample_of(
        Effect.from_values(np.random.default_rng(4).exponential(1, n), kind="continuous", iid=True).measured
    )


def test_bounds_are_scipys_own():
    sample = skewed()
    bound = bca(sample, Thresholds(0.5, 0.5, 0.05), resamples=2000, seed=9)
    again = stats.bootstrap(
        (sample.totals,), np.mean, n_resamples=2000, confidence_level=0.9, rng=np.random.default_rng((9, 1))
    )
    assert bound.lower == pytest.approx(again.confidence_interval.low)
    assert bound.upper == pytest.approx(again.confidence_interval.high)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_p_at_a_bound_is_alpha(alpha):
    sample = skewed()
    ends = bca(sample, Thresholds(0.0, 9.0, alpha), resamples=4000, seed=2)
    at_ends = bca(sample, Thresholds(ends.lower, ends.upper, alpha), resamples=4000, seed=2)
    assert at_ends.p_above == pytest.approx(alpha, rel=0.05)
    assert at_ends.p_below == pytest.approx(alpha, rel=0.05)


def test_resampling_takes_whole_clusters():
    values = np.repeat(np.random.default_rng(5).normal(size=12), 25)
    clusters = np.repeat(np.arange(12), 25)
    by_cluster = sample_of(Effect.from_values(values, kind="continuous", clusters=clusters).measured)
    by_pair = sample_of(Effect.from_values(values, kind="continuous", iid=True).measured)
    wide, narrow = (bca(s, Thresholds(0, 0, 0.05), resamples=1000, seed=1) for s in (by_cluster, by_pair))
    assert wide.upper - wide.lower > 3 * (narrow.upper - narrow.lower)


def test_without_spread_it_is_silent_and_warns_of_nothing():
    sample = sample_of(Effect.from_values([1.0] * 30, kind="continuous", iid=True).measured)
    bound = bca(sample, Thresholds(0.5, 0.5, 0.05), resamples=1000, seed=1)
    assert (bound.lower, bound.upper, bound.p_above) == (-np.inf, np.inf, 1.0)


def test_resampled_denominators_that_cancel_make_it_silent():
    rng = np.random.default_rng(6)
    sample = sample_of(
        Effect.from_values(rng.normal(size=20), kind="ratio", denominators=rng.normal(0.3, 1, 20), iid=True).measured
    )
    assert bca(sample, Thresholds(0, 0, 0.05), resamples=1000, seed=1).lower == -np.inf


def test_the_seed_decides_every_bit():
    sample, asked = skewed(), Thresholds(0.5, 0.5, 0.05)
    assert bca(sample, asked, resamples=1000, seed=3) == bca(sample, asked, resamples=1000, seed=3)
    assert bca(sample, asked, resamples=1000, seed=3) != bca(sample, asked, resamples=1000, seed=4)
