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
from causaltest.judging.family import drawn_for
from causaltest.judging.finding import finding_of
from causaltest.judging.imagined import imagined
from causaltest.judging.judge import Case, case_of, weigh
from causaltest.judging.multiplicity import bonferroni
from causaltest.judging.sample import Layouts
from causaltest.judging.settings import TAIL_RESAMPLES, Asked
from causaltest.judging.supposing import Truth, supposed
from causaltest.verdict import Outcome

USUAL, USUAL_SIMULATIONS = (0.8, 0.05), 400
"""The power and alpha at which so many samples are drawn."""
FEWEST_RESAMPLES = 4_000
"""All samples share their resamples: with fewer, the luck of these would be as large as that of the samples."""
BAND = 0.05
"""What the Monte Carlo bands leave out, both sides together."""


@dataclass(frozen=True)
class Question:
    """A claim as power sees it: the same question has the same answer, and is asked once."""

    prediction: Prediction
    family_size: int
    design: Design
    truth: Truth
    assumed: Assumptions
    seed: int
    jointly: bool = False
    """Simulated even where the test alone is exact, because the placebo takes as many pairs."""

    @property
    def alpha(self) -> float:
        return bonferroni(self.prediction.alpha, self.family_size)

    @property
    def simulations(self) -> int:
        """Those that were asked for; else as many as make the pairs needed good to about a tenth."""
        if self.assumed.simulations is not None:
            return self.assumed.simulations
        wanted, usual = (
            float(special.ndtri(p) - special.ndtri(a)) for p, a in ((self.prediction.power, self.alpha), USUAL)
        )
        # the error of a number of pairs is that of the power's normal quantile, by half of this distance
        return math.ceil(USUAL_SIMULATIONS * min(1.0, (usual / wanted) ** 2))

    @property
    def exact(self) -> str | None:
        """The test whose power is enumerated, or None where samples are drawn."""
        if self.jointly or not self.design.iid:
            return None
        if self.design.kind == "binary":
            return "exact binomial"
        if self.design.arms == "binary" and self.prediction.is_about_zero:
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
    asked = Question(prediction, family_size, design, truth, assumptions, seed)
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
    floor, ceiling, n = asked.prediction.floor, asked.prediction.ceiling, np.array([pairs])
    power = proportion_power(n, floor=floor, ceiling=ceiling, truth=asked.truth.effect, alpha=asked.alpha)
    return float(power[0])


def supported(asked: Question, units: int, samples: int) -> int:
    """How many imagined samples the judge finds SUPPORTED, with fewer resamples than it takes for one verdict."""
    effects = imagined(asked.design, asked.truth, units=units, samples=samples, seed=asked.seed)
    resamples = max(FEWEST_RESAMPLES, math.ceil(TAIL_RESAMPLES / asked.alpha))
    judged = Asked(asked.family_size, asked.seed, resamples, minimum_units=None)
    layouts: Layouts = {}
    every = [case_of(effect, asked.prediction, judged, layouts) for effect in effects]
    cases = [case for case in every if isinstance(case, Case)]
    # the judge's own steps, without the pairs needed and the sentences, which are most of a verdict's time
    findings = [
        finding_of(weigh(cases[place], drawn), cases[place].settings, cases[place].numbers)
        for place, drawn in drawn_for([case.wanted for case in cases])
    ]
    return sum(finding.outcome is Outcome.SUPPORTED for finding in findings)


def band(found: int, samples: int) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share of samples."""
    low = float(special.betaincinv(found, samples - found + 1, BAND / 2)) if found else 0.0
    high = float(special.betaincinv(found + 1, samples - found, 1 - BAND / 2)) if found < samples else 1.0
    return low, high
