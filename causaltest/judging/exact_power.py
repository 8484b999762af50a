"""Power by enumeration: of the exact binomial test, and of McNemar's.

The power of an exact test saws: a pair more can have less of it, where the critical count steps up. So two
numbers are told: the smallest with the power wanted, and the one from which on it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from causaltest.judging.power import MOST_PAIRS_SEARCHED, normal_one_sided
from causaltest.judging.sample import Floats

Counts = NDArray[np.int64]

BEYOND_SMALLEST = 3.0
"""How far past the smallest number it is checked that the power stays: a saw's teeth are shorter."""


@dataclass(frozen=True)
class Smallest:
    """The smallest number of pairs with the power, and the one from which on no number has less."""

    pairs: int
    lasting: int


def proportion_power(n: Counts, *, floor: float, ceiling: float, truth: float, alpha: float) -> Floats:
    """[n], the power of the one-sided exact tests for "above the floor" and "below the ceiling"; both must clear.

    A side that the claim leaves open has an infinite end. Clopper and Pearson (1934, Biometrika 26:404).
    """
    # a proportion cannot lie below 0 or above 1, so a side beyond them is never in question
    fewest = stats.binom.isf(alpha, n, floor) + 1 if 0 <= floor <= 1 else np.where(floor < 0, 0, n + 1)
    most = n - (stats.binom.isf(alpha, n, 1 - ceiling) + 1) if 0 <= ceiling <= 1 else np.where(ceiling > 1, n, -1)
    power = stats.binom.cdf(most, n, truth) - stats.binom.cdf(fewest - 1, n, truth)
    clipped: Floats = np.clip(power, 0.0, 1.0)
    return clipped


def mcnemar_power(n: int, *, first_only: float, second_only: float, alpha: float) -> float:
    """Of exact McNemar for "the first arm is larger", over every number of pairs on which the arms differ."""
    often = first_only + second_only
    if not 0 < often <= 1:
        return 0.0
    differ = np.arange(1, n + 1)
    critical = stats.binom.isf(alpha, differ, 0.5) + 1
    reached = stats.binom.sf(critical - 1, differ, first_only / often)
    return float(stats.binom.pmf(differ, n, often) @ reached)


def proportion_pairs(*, floor: float, ceiling: float, truth: float, alpha: float, power: float) -> Smallest | None:
    """None where it takes more pairs than are searched."""
    approximate = [
        normal_one_sided(low, true, alpha=alpha, power=power)
        for low, true in ((floor, truth), (1 - ceiling, 1 - truth))
        if 0 <= low < true
    ]
    furthest = math.ceil(BEYOND_SMALLEST * max(approximate, default=1)) + 200
    if furthest > BEYOND_SMALLEST * MOST_PAIRS_SEARCHED:
        return None

    def of(n: Counts) -> Floats:
        return proportion_power(n, floor=floor, ceiling=ceiling, truth=truth, alpha=alpha)

    return first_and_lasting(of(np.arange(1, furthest + 1)), power)


def mcnemar_pairs(*, first_only: float, second_only: float, alpha: float, power: float) -> Smallest | None:
    """None where it takes more pairs than are searched. Power is enumerated around the number found by halving."""

    def of(n: int) -> float:
        return mcnemar_power(n, first_only=first_only, second_only=second_only, alpha=alpha)

    near = bisected(lambda n: of(n) >= power, MOST_PAIRS_SEARCHED)
    if near is None:
        return None
    start = max(1, math.floor(0.8 * near) - 10)
    found = first_and_lasting(np.array([of(n) for n in range(start, math.ceil(1.2 * near) + 10)]), power)
    return None if found is None else Smallest(found.pairs + start - 1, found.lasting + start - 1)


def first_and_lasting(powers: Floats, wanted: float) -> Smallest | None:
    """Of powers at 1, 2, 3, ... pairs."""
    enough = powers >= wanted
    if not enough.any() or not enough[-1]:
        return None
    short = np.flatnonzero(~enough)
    return Smallest(int(np.argmax(enough)) + 1, int(short[-1]) + 2 if len(short) else 1)


def bisected(enough: Callable[[int], bool], most: int) -> int | None:
    """A number that is enough while half of a step before is not; None where not even the largest is."""
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
