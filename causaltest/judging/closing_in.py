"""Closing in: simulated power at a few numbers of units, until one of them is near the power wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from causaltest.asking.assumptions import FEWEST_SIMULATIONS
from causaltest.judging.curves import Point, Question, power_at

STEPS = 6
LONGEST_STEP = 1.7
"""In the square root of the units: three times as many."""
CLOSE = 0.15
"""Nearer than this share the search goes over to all of the simulations."""
FINAL_STEPS = 2
NEAR_POWERS = (0.25, 0.97)
NEAR = 0.05


def closing_in(asked: Question, start: int, fewest: int, most: int) -> list[Point]:
    """Points that close in on the power wanted; the last is near it, or at an end, and has all the simulations."""
    tried: list[Point] = []
    units, few = start, max(FEWEST_SIMULATIONS, asked.simulations // 4)
    for _ in range(STEPS):
        # far from the power wanted a quarter of the samples shows the way
        point = power_at(asked, units, simulations=few)
        tried.append(point)
        better = min(max(crossing(asked, tried), fewest), most)
        if abs(better - units) <= CLOSE * units:
            break
        units = better
    for _ in range(FINAL_STEPS):
        last = tried[-1]
        units = min(max(crossing(asked, tried), fewest), most)
        if last.simulations == asked.simulations and abs(units - last.units) <= NEAR * units:
            break
        tried.append(power_at(asked, units))
    return tried


def crossing(asked: Question, tried: Sequence[Point]) -> int:
    """The units at which the power wanted is reached, by all points tried that are near it, and the last.

    Power is taken as ndtr(a + b sqrt(units)), fitted with each point's binomial weight. All these tests have about
    ndtr(c sqrt(units) - z), z the quantile at 1 - alpha, though a bet is steeper: so c is where the slope is pulled to,
    by as much as a slope that is wrong by twice itself would be unlikely.
    """
    last, wanted = tried[-1], probit(asked.prediction.power)
    near = [p for p in tried[:-1] if NEAR_POWERS[0] < p.power < NEAR_POWERS[1]]
    points = [*near, last]
    roots, levels = [math.sqrt(p.units) for p in points], [probit(p.power) for p in points]
    weights = [p.simulations * information(level) for p, level in zip(points, levels, strict=True)]
    at, level = (sum(w * v for w, v in zip(weights, column, strict=True)) / sum(weights) for column in (roots, levels))
    usual = (wanted - float(special.ndtri(asked.alpha))) / at
    spread = sum(w * (x - at) ** 2 for w, x in zip(weights, roots, strict=True))
    excess = sum(w * (x - at) * (y - level - usual * (x - at)) for w, x, y in zip(weights, roots, levels, strict=True))
    slope = max(usual, usual + excess / (spread + 1 / (2 * usual) ** 2))
    root = min(
        max(at + (wanted - level) / slope, math.sqrt(last.units) / LONGEST_STEP), math.sqrt(last.units) * LONGEST_STEP
    )
    return max(1, math.ceil(root**2))


def information(level: float) -> float:
    """On the normal quantile of a power, in one sample."""
    power = float(special.ndtr(level))
    return math.exp(-level * level) / (2 * math.pi) / (power * (1 - power))


def beside(asked: Question, point: Point, power: float) -> int:
    """The same from a single point: all these tests have about ndtr(c sqrt(units) - z), z the quantile at 1 - alpha."""
    off = -float(special.ndtri(asked.alpha))
    wanted = off + probit(asked.prediction.power)
    factor = (wanted / max(off + probit(power), wanted / LONGEST_STEP)) ** 2
    return max(1, math.ceil(point.units * factor))


def probit(power: float) -> float:
    """Kept off 0 and 1, where it is infinite and the simulations too few to tell."""
    return float(special.ndtri(min(max(power, 0.005), 0.995)))
