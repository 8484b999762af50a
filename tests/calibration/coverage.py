"""Part 3: how often the truth lies beyond a bound, for the shapes that effects come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from calibration.row import Row, at_fault, level
from calibration.verdicts import effect_of, said_of
from causaltest.asking.predictions import at_least
from causaltest.judging.sample import Floats

REPEATS, LONG = 600, 4_000
SIZES = (20, 50, 100, 200)
SOME_SIZES = (20, 100)


@dataclass(frozen=True)
class Shape:
    """A distribution with its mean; with a range it is promised that the bounds hold."""

    name: str
    mean: float
    draw: Callable[[np.random.Generator, int], Floats]
    range: tuple[float, float] | None = None
    promised: bool = True


MIXTURE = Shape("1 in 97 %, -1 in 3 %", 0.94, lambda rng, n: np.where(rng.random(n) < 0.03, -1.0, 1.0), (-1.0, 1.0))
NEARLY = Shape(
    "nearly 1 in 97 %, -1 in 3 %",
    0.97 * 0.99 - 0.03,
    lambda rng, n: np.where(rng.random(n) < 0.03, -1.0, rng.uniform(0.98, 1, n)),
    (-1.0, 1.0),
)
"""As the mixture, but with a little spread, so that t and the bootstrap have something to be wrong with."""
BOUNDED = Shape("beta(8, 2)", 0.8, lambda rng, n: rng.beta(8, 2, n), (0.0, 1.0))
NORMAL = Shape("normal, no range", 0.0, lambda rng, n: rng.normal(size=n))
HEAVY = Shape("t with 3 degrees, no range", 0.0, lambda rng, n: rng.standard_t(3, n), promised=False)
LONG_TAIL = Shape("lognormal, no range", float(np.exp(0.5)), lambda rng, n: rng.lognormal(0, 1, n), promised=False)
SHAPES = (MIXTURE, NEARLY, BOUNDED, NORMAL, HEAVY, LONG_TAIL)


def rows() -> list[Row]:
    some = [row for shape in (MIXTURE, BOUNDED, HEAVY) for row in covered(shape, SOME_SIZES, REPEATS)]
    every = [row for shape in (NEARLY, NORMAL, LONG_TAIL) for row in covered(shape, SIZES, REPEATS)]
    return [*some, *every, *without_betting()]


def long_rows() -> list[Row]:
    return [row for shape in SHAPES for row in covered(shape, SIZES, LONG)]


def covered(shape: Shape, sizes: Sequence[int], repeats: int) -> list[Row]:
    """A bound excludes the truth exactly where "at least the truth" is decided: SUPPORTED by the lower one."""
    found = []
    for n in sizes:
        rng = np.random.default_rng((3, SHAPES.index(shape), n))
        samples = (effect_of(shape.draw(rng, n), range=shape.range) for _ in range(repeats))
        said = said_of(samples, at_least(shape.mean))
        for side, rate in (("above", said.supported), ("below", said.refuted)):
            what = f"{shape.name}, n = {n}: all of the interval {side} the truth"
            found.append(
                level(3, what, rate, repeats)
                if shape.promised
                else Row(3, what, rate, kind="published", repeats=repeats)
            )
    return found


def without_betting() -> list[Row]:
    """The same samples without their range, which leaves BCa and t; and t alone, to which ones only seem certain."""
    found = []
    for n, above in ((20, 0.4), (50, 0.15)):
        rng = np.random.default_rng((3, 9, n))
        said = said_of((effect_of(NEARLY.draw(rng, n)) for _ in range(REPEATS)), at_least(NEARLY.mean))
        samples = np.stack([MIXTURE.draw(rng, n) for _ in range(REPEATS)])
        half = stats.t.isf(0.05, n - 1) * samples.std(axis=1, ddof=1) / np.sqrt(n)
        certain = float(np.mean(samples.mean(axis=1) - half >= MIXTURE.mean))
        beyond = "all of the interval above the truth"
        found += [
            at_fault(3, f"{NEARLY.name}, n = {n}, BCa and t: {beyond}", said.supported, above=above, repeats=REPEATS),
            at_fault(3, f"{MIXTURE.name}, n = {n}, t alone: {beyond}", certain, above=above, repeats=REPEATS),
        ]
    return found
