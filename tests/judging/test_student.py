"""t on cluster totals is Fieller's test, and its interval is that test inverted."""

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging.bounds import Thresholds
from causaltest.judging.sample import sample_of
from causaltest.judging.student import student, t_above_zero


def ratio_sample(seed: int = 0, n: int = 40):
    rng = np.random.default_rng(seed)
    below = rng.uniform(1, 4, n)
    above = below * rng.normal(0.5, 0.3, n)
    return sample_of(Effect.from_values(above, kind="ratio", denominators=below, iid=True).measured)


def test_independent_pairs_give_the_ordinary_t_interval():
    values = np.random.default_rng(1).normal(0.4, 1, 30)
    sample = sample_of(Effect.from_values(values, kind="continuous", iid=True).measured)
    bound = student(sample, Thresholds(0.1, 0.1, 0.05))
    plain = stats.ttest_1samp(values, 0.1, alternative="greater")
    assert bound.p_above == pytest.approx(plain.pvalue)
    assert bound.lower == pytest.approx(plain.confidence_interval(0.95).low)


def test_at_its_own_bounds_the_test_gives_alpha():
    sample = ratio_sample()
    bound = student(sample, Thresholds(0.0, 0.0, 0.05))
    for end, sign in ((bound.lower, 1), (bound.upper, -1)):
        p = stats.ttest_1samp(sign * sample.residuals(end), 0.0, alternative="greater").pvalue
        assert p == pytest.approx(0.05)


def test_one_tiny_denominator_does_not_move_the_ratio():
    below = [2.0] * 40 + [1e-6]
    above = [1.5, 1.52] * 20 + [0.06]
    sample = sample_of(Effect.from_values(above, kind="ratio", denominators=below, iid=True).measured)
    bound = student(sample, Thresholds(0.7, 0.7, 0.05))
    assert 0.7 < bound.lower < 0.756 < bound.upper < 0.8


def test_totals_not_means_where_size_carries_information():
    # large clusters are at 0, small ones at 1: the mean over pairs is 0.1, the mean of means is 0.5
    sizes = np.where(np.arange(40) % 2, 18, 2)
    values = np.repeat(np.where(np.arange(40) % 2, 0.0, 1.0), sizes)
    clusters = np.repeat(np.arange(40), sizes)
    bound = student(
        sample_of(Effect.from_values(values, kind="continuous", clusters=clusters).measured), Thresholds(0.3, 0.3, 0.05)
    )
    assert bound.lower < 0.1 < bound.upper < 0.3


def test_denominators_near_zero_leave_the_ratio_unbounded():
    rng = np.random.default_rng(3)
    below = rng.normal(0.05, 1, 30)
    sample = sample_of(Effect.from_values(rng.normal(1, 1, 30), kind="ratio", denominators=below, iid=True).measured)
    bound = student(sample, Thresholds(0.0, 0.0, 0.05))
    assert (bound.lower, bound.upper) == (-np.inf, np.inf)


def test_no_spread_is_no_proof():
    # scipy answers p = 0 here, without a warning
    assert t_above_zero(np.ones(30)) == 1.0


def test_a_single_unit_says_nothing():
    sample = sample_of(Effect.from_values([1.0, 2.0], kind="continuous", clusters=["a", "a"]).measured)
    assert student(sample, Thresholds(0.0, 0.0, 0.05)).p_above == 1.0
