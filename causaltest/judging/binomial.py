"""Binomial tails by the incomplete beta function. scipy.stats has them too, and takes longer to import than to judge.

P(X >= k) = I_p(k, n - k + 1) (Abramowitz and Stegun 1964, 26.5.24).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from causaltest.judging.sample import Floats

Counts = NDArray[np.int64]


def at_least(successes: Counts, n: Counts, p: float) -> Floats:
    """[n], the probability of so many successes or more in n trials."""
    possible = np.clip(successes, 1, n)
    tail = special.betainc(possible, n - possible + 1, p)
    return np.where(successes <= 0, 1.0, np.where(successes > n, 0.0, tail))


def critical_count(alpha: float, n: Counts, p: float) -> Counts:
    """[n], the fewest successes that are as rare as alpha in n trials: n + 1 where none is."""
    near = np.nan_to_num(special.bdtrik(1 - alpha, n, p))
    count: Counts = np.clip(np.ceil(near), 0, n).astype(np.int64) + 1
    while (fewer := (count > 0) & (at_least(count - 1, n, p) <= alpha)).any():
        count = count - fewer
    while (more := at_least(count, n, p) > alpha).any():
        count = count + more
    return count
