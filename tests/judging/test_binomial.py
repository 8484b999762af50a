"""Binomial tails: against sums by hand, and against scipy.stats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from causaltest.judging.binomial import at_least, critical_count


def tail(k: int, n: int, p: float) -> float:
    """P(X >= k), summed up."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(max(0, k), n + 1))


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.5, 0.97, 1.0])
def test_tails_and_critical_counts_by_hand(p):
    n = np.arange(1, 40)
    for k in (-1, 0, 1, 3, 7, 39, 40):
        by_hand = [tail(k, int(one), p) for one in n]
        assert at_least(np.full_like(n, k), n, p) == pytest.approx(by_hand, rel=1e-10, abs=1e-300)
    for alpha in (0.05, 0.0123, 1e-6):
        by_hand = [next(k for k in range(one + 2) if tail(k, int(one), p) <= alpha) for one in n]
        assert critical_count(alpha, n, p).tolist() == by_hand


def test_a_count_that_is_exactly_as_rare_is_rare_enough():
    assert critical_count(0.1875, np.array([5]), 0.5).tolist() == [4]
    assert critical_count(0.5, np.array([1, 5, 7, 11, 21]), 0.5).tolist() == [1, 3, 4, 6, 11]


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 17, 1e-9])
def test_they_are_those_of_scipy_for_many_trials(p, alpha):
    n = np.arange(1, 6000, 7)
    critical = critical_count(alpha, n, p)
    assert (critical == stats.binom.isf(alpha, n, p) + 1).all()
    there = stats.binom.sf(critical - 1, n, min(1.0, p + 0.1))
    assert at_least(critical, n, min(1.0, p + 0.1)) == pytest.approx(there, rel=1e-12)
