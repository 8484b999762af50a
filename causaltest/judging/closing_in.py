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
NEAR = 0.05


def closing_in(asked: Question, start: int, fewest: int, most: int) -> list[Point]:
    """Points that close in on the power wanted; the last is near it, or at an end, and has all the simulations."""
    tried: list[Point] = []
    units, few = start, max(FEWEST_SIMULATIONS, asked.simulations // 4)
    for _ in range(STEPS):
        # far from the power wanted a quarter of the samples shows the way
        point = power_at(asked, units, simulations=few)
        tried.append(point)
        better = min(max(crossing(asked, tried, point.power), fewest), most)
        if abs(better - units) <= CLOSE * units:
            break
        units = better
    for _ in range(FINAL_STEPS):
        last = tried[-1]
        units = min(max(crossing(asked, tried, last.power), fewest), most)
        if last.simulations == asked.simulations and abs(units - last.units) <= NEAR * units:
            break
        tried.append(power_at(asked, units))
    return tried


def crossing(asked: Question, tried: Sequence[Point], power: float) -> int:
    """The units at which the power wanted is reached, where the last point tried has this power.

    Between the nearest points on either side power is taken as ndtr(a + b sqrt(units)).
    """
    last, wanted = tried[-1], probit(asked.prediction.power)
    here = probit(power)
    below = [p for p in tried[:-1] if p.power < asked.prediction.power and p.units < last.units]
    above = [p for p in tried[:-1] if p.power >= asked.prediction.power and p.units > last.units]
    other = max(below, key=units_of) if here >= wanted and below else None
    other = min(above, key=units_of) if here < wanted and above else other
    if other is not None:
        at, off = math.sqrt(last.units), -float(special.ndtri(asked.alpha))
        # a bet pays off more steeply than a t test; a slope below that of the t test is chance
        slope = max((here - probit(other.power)) / (at - math.sqrt(other.units)), (off + here) / at)
        if slope > 0:
            return max(1, math.ceil((at + (wanted - here) / slope) ** 2))
    return beside(asked, last, power)


def beside(asked: Question, point: Point, power: float) -> int:
    """The same from a single point: all these tests have about ndtr(c sqrt(units) - z), z the quantile at 1 - alpha."""
    off = -float(special.ndtri(asked.alpha))
    wanted = off + probit(asked.prediction.power)
    factor = (wanted / max(off + probit(power), wanted / LONGEST_STEP)) ** 2
    return max(1, math.ceil(point.units * factor))


def units_of(point: Point) -> int:
    return point.units


def probit(power: float) -> float:
    """Kept off 0 and 1, where it is infinite and the simulations too few to tell."""
    return float(special.ndtri(min(max(power, 0.005), 0.995)))
