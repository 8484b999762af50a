"""Looking early: what it costs to do it naively, and what the two stopping rules make of it.

Each function simulates one figure, with all repeats at once; the band that it must lie in is the caller's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from causaltest.judging.betting import largest_stake
from causaltest.judging.power import exact_binomial_pairs
from causaltest.judging.recalculated import Pace, recalculated_wealth
from causaltest.judging.sequential import boundaries, nominal_alpha

Floats = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8


def t_p_values(values: Floats, ends: list[int]) -> Floats:
    """[repeat, look], one-sided p of a t-test for "the mean is above zero" on the first `end` of [repeat, unit]."""
    sums, squares = values.cumsum(axis=1), np.square(values).cumsum(axis=1)
    columns = []
    for n in ends:
        mean = sums[:, n - 1] / n
        deviation = np.sqrt((squares[:, n - 1] - n * mean**2) / (n - 1))
        columns.append(stats.t.sf(mean / deviation * math.sqrt(n), n - 1))
    return np.stack(columns, axis=1)


def naive(*, repeats: int = 2000, seed: int = 0, alpha: float = ALPHA) -> float:
    """The error of looking every 10 units up to 200, each time at the whole alpha."""
    values = np.random.default_rng(seed).normal(size=(repeats, 200))
    return float((t_p_values(values, list(range(10, 201, 10))) <= alpha).any(axis=1).mean())


def obrien_fleming(
    *, repeats: int = 2000, seed: int = 0, looks: int = 4, units: int = 200, alpha: float = ALPHA
) -> float:
    """The error of a t-test at O'Brien-Fleming's looks."""
    values = np.random.default_rng(seed).normal(size=(repeats, units))
    ends = {k: units * k // looks for k in range(1, looks + 1)}
    alphas = [nominal_alpha(alpha, looks, {j: ends[j] for j in range(1, k + 1)}) for k in ends]
    return float((t_p_values(values, list(ends.values())) <= np.array(alphas)).any(axis=1).mean())


def wealth_of_coins(flips: Floats, threshold: float, *, alpha: float) -> Floats:
    """[repeat], the largest wealth that the e-process reaches on [repeat, unit] of 0 and 1."""
    repeats, units = flips.shape
    share, pace = np.full(repeats, threshold), Pace(np.arange(units, 0, -1.0), coins=True)
    most = largest_stake(share, units, alpha)
    return np.exp(recalculated_wealth(flips - threshold, flips, share, most, pace=pace, alpha=alpha))


def wealth_of_means(values: Floats, *, alpha: float) -> Floats:
    """The same on values within -1 and 1, against a mean of 0."""
    repeats, units = values.shape
    paid = values / 2
    about = paid - paid.cumsum(axis=1) / np.arange(1, units + 1)
    share = np.full(repeats, 0.5)
    most, pace = largest_stake(share, units, alpha), Pace(np.arange(units, 0, -1.0))
    squares = np.square(about).cumsum(axis=1)
    return np.exp(recalculated_wealth(paid, squares, share, most, pace=pace, alpha=alpha))


def anytime(*, repeats: int = 2000, seed: int = 0, units: int = 200, threshold: float = 0.5) -> float:
    """The error of looking at the e-process of coins after every unit."""
    flips = (np.random.default_rng(seed).random((repeats, units)) < threshold) * 1.0
    return float((wealth_of_coins(flips, threshold, alpha=ALPHA) >= 1 / ALPHA).mean())


def anytime_of_rare_losses(*, repeats: int = 2000, seed: int = 0, units: int = 200) -> float:
    """The same where 97 % of the units give a little, and 3 % lose all of it again: mean 0 within -1 and 1."""
    lost = np.random.default_rng(seed).random((repeats, units)) < 0.03
    return float((wealth_of_means(np.where(lost, -0.97, 0.03), alpha=ALPHA) >= 1 / ALPHA).mean())


def obrien_fleming_expected(*, repeats: int = 40_000, seed: int = 0, looks: int = 4) -> float:
    """Units until O'Brien-Fleming stops, at .8 power, as a share of a fixed test's with the same power."""
    z = np.array(boundaries(ALPHA, looks))
    needed = -stats.norm.ppf(ALPHA) + stats.norm.ppf(POWER)
    steps = np.random.default_rng(seed).normal(size=(repeats, looks))
    at = np.arange(1, looks + 1)

    def crossed(inflation: float) -> NDArray[np.bool_]:
        drift = needed * math.sqrt(inflation / looks)
        return (steps + drift).cumsum(axis=1) / np.sqrt(at) >= z

    inflation = optimize.brentq(lambda x: crossed(x).any(axis=1).mean() - POWER, 1.0, 1.2, xtol=1e-4)
    stops = crossed(inflation)
    taken = np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, looks)
    return float(taken.mean() / looks * inflation)


def anytime_price(threshold: float, truth: float, *, repeats: int = 4000, seed: int = 0) -> float:
    """Pairs planned for an e-process of coins to have .8 power, by those of the exact binomial test."""
    fixed = exact_binomial_pairs(threshold, truth, alpha=ALPHA, power=POWER)
    assert fixed is not None  # the truths asked about lie above their thresholds
    draws = np.random.default_rng(seed).random((repeats, 2 * fixed))

    def enough(pairs: int) -> bool:
        flips = (draws[:, :pairs] < truth) * 1.0
        return bool((wealth_of_coins(flips, threshold, alpha=ALPHA) >= 1 / ALPHA).mean() >= POWER)

    return next(n for n in range(fixed, 2 * fixed, max(1, fixed // 50)) if enough(n)) / fixed
