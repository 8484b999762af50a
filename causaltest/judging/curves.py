"""Power curves: the share of samples that would support a claim, against the pairs in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.predictions import Prediction
from causaltest.judging.designs import Design
from causaltest.judging.exact_power import mcnemar_power, proportion_power
from causaltest.judging.imagined import imagined
from causaltest.judging.judge import judge_family
from causaltest.judging.multiplicity import bonferroni
from causaltest.judging.settings import TAIL_RESAMPLES
from causaltest.judging.supposing import Truth, floor_and_ceiling, supposed
from causaltest.verdict import Outcome

BAND = 0.05
"""What the Monte Carlo bands leave out, both sides together."""


@dataclass(frozen=True)
class Question:
    """A claim as power sees it: the same question has the same answer, and is asked once."""

    prediction: Prediction
    family_size: int
    design: Design
    truth: Truth
    simulations: int
    seed: int
    jointly: bool = False
    """Simulated even where the test alone is exact, because the placebo takes as many pairs."""

    @property
    def alpha(self) -> float:
        return bonferroni(self.prediction.alpha, self.family_size)

    @property
    def exact(self) -> str | None:
        """The test whose power is enumerated, or None where samples are drawn."""
        if self.jointly or not self.design.iid:
            return None
        if self.design.kind == "binary":
            return "exact binomial"
        one_sided = self.prediction.relation in ("at_least", "greater_than", "at_most")
        if self.design.arms == "binary" and one_sided and self.prediction.threshold == 0:
            return "exact McNemar"
        return None

    @property
    def discordant(self) -> tuple[float, float]:
        """The shares of pairs right in the claim's own arm only, and in the other only."""
        first, second = self.truth.arms()
        ours, theirs = first * (1 - second), second * (1 - first)
        return (theirs, ours) if self.prediction.relation == "at_most" else (ours, theirs)


@dataclass(frozen=True)
class Point:
    """The power of so many units, with its Monte Carlo band; of no width where it is enumerated."""

    units: int
    pairs: int
    power: float
    low: float
    high: float
    simulations: int = 0
    """0 where it is enumerated."""


@dataclass(frozen=True)
class PowerCurve:
    """Power against pairs, as plain data."""

    n: tuple[int, ...]
    """Pairs."""
    power: tuple[float, ...]
    low: tuple[float, ...]
    """The 95 % Monte Carlo band."""
    high: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """What JSON takes."""
        return {"n": list(self.n), "power": list(self.power), "low": list(self.low), "high": list(self.high)}


def power_curve(
    prediction: Prediction,
    design: Design,
    *,
    n: Sequence[int],
    effect: float,
    family_size: int = 1,
    assumptions: Assumptions | None = None,
    seed: int = 0,
) -> PowerCurve:
    """The power of so many pairs each, at an assumed effect; pairs are rounded up to whole clusters.

    Enumerated where the claim's test is exact, else the share of imagined samples that the judge itself finds
    SUPPORTED, placebo and minimum units included. Raises JudgementError for an effect that the claim is not true of.
    """
    assumptions = assumptions or Assumptions()
    truth = supposed(design, prediction, assumptions, effect)
    asked = Question(prediction, family_size, design, truth, assumptions.simulations, seed)
    return curve_of([power_at(asked, math.ceil(pairs / design.pairs_per_unit)) for pairs in n])


def curve_of(points: Sequence[Point]) -> PowerCurve:
    ordered = sorted(points, key=lambda point: point.pairs)
    columns = ([getattr(point, name) for point in ordered] for name in ("pairs", "power", "low", "high"))
    n, power, low, high = (tuple(column) for column in columns)
    return PowerCurve(n, power, low, high)


def power_at(asked: Question, units: int, *, simulations: int | None = None) -> Point:
    """Of so many units: enumerated where the test is exact, else simulated."""
    pairs = sum(asked.design.sizes_of(units))
    if asked.exact is not None:
        power = enumerated(asked, pairs)
        return Point(units, pairs, power, power, power)
    samples = simulations or asked.simulations
    found = supported(asked, units, samples)
    low, high = band(found, samples)
    return Point(units, pairs, found / samples, low, high, samples)


def enumerated(asked: Question, pairs: int) -> float:
    if asked.exact == "exact McNemar":
        first, second = asked.discordant
        return mcnemar_power(pairs, first_only=first, second_only=second, alpha=asked.alpha)
    floor, ceiling = floor_and_ceiling(asked.prediction)
    n = np.array([pairs])
    power = proportion_power(n, floor=floor, ceiling=ceiling, truth=asked.truth.effect, alpha=asked.alpha)
    return float(power[0])


def supported(asked: Question, units: int, samples: int) -> int:
    """How many imagined samples the judge finds SUPPORTED, with the fewest resamples that its rule allows."""
    effects = imagined(asked.design, asked.truth, units=units, samples=samples, seed=asked.seed)
    verdicts = judge_family(
        effects,
        [asked.prediction] * samples,
        family_size=asked.family_size,
        seed=asked.seed,
        resamples=math.ceil(TAIL_RESAMPLES / asked.alpha),
    )
    return sum(verdict.outcome is Outcome.SUPPORTED for verdict in verdicts)


def band(found: int, samples: int) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share of samples."""
    low = float(special.betaincinv(found, samples - found + 1, BAND / 2)) if found else 0.0
    high = float(special.betaincinv(found + 1, samples - found, 1 - BAND / 2)) if found < samples else 1.0
    return low, high
