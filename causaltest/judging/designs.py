"""Design: what is known of a sample before any of it is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from causaltest.asking.experiment import Experiment
from causaltest.effect import Difference, Effect, Kind, Numbers, Question, Waived
from causaltest.errors import JudgementError
from causaltest.judging.sample import sample_of

Placebo = Literal["measured", "waived", "none"]


@dataclass(frozen=True)
class Design:
    """The kind of a claim's numbers, and how its pairs lie in clusters."""

    kind: Kind
    sizes: tuple[int, ...]
    """Pairs of each unit (a cluster, or a pair declared independent), as they were given."""
    range: tuple[float, float] | None = None
    """Of a pair's value."""
    width: float | None = None
    """Of the metric's own range, which the default spread is a share of."""
    arms: Literal["binary", "other"] | None = None
    """What is subtracted, where the effect is a difference of two."""
    placebo: Placebo = "measured"
    wrong_places: int = 0
    """At how many other places the same patch must be beaten too."""
    sd: float | None = None
    """Of one pair's effect, where numbers were given."""

    @property
    def must_be_beaten(self) -> bool:
        """Whether a placebo or a wrong place was asked for, which a claim that something matters must beat."""
        return self.placebo == "measured" or self.wrong_places > 0

    @property
    def iid(self) -> bool:
        return max(self.sizes) == 1

    @property
    def pairs(self) -> int:
        return sum(self.sizes)

    @property
    def units(self) -> int:
        return len(self.sizes)

    @property
    def pairs_per_unit(self) -> float:
        return self.pairs / self.units

    def sizes_of(self, units: int) -> tuple[int, ...]:
        """The sizes of so many units: those that are there, over and over."""
        return (self.sizes * math.ceil(units / self.units))[:units]


def design_of(effect: Effect) -> Design:
    """From a rehearsed effect's question, or from numbers that were given.

    Raises JudgementError for a question that tells too little.
    """
    if effect.numbers is not None:
        return of_numbers(effect.numbers)
    return of_question(effect.question)


def of_question(question: Question | None) -> Design:
    if isinstance(question, Experiment):
        return of_experiment(question)
    if isinstance(question, Difference):
        return of_difference(of_question(question.first), of_question(question.second))
    raise JudgementError("Its effect names no experiment, so nothing is known of its numbers before they are there.")


def of_experiment(experiment: Experiment) -> Design:
    metric, pairs, checks = experiment.metric, experiment.patching.pairs, experiment.checks
    share = experiment.quantity != "change"
    kind: Kind = (
        ("binary" if share else "continuous") if metric.kind == "binary" else "ratio" if share else "continuous"
    )
    own = (0.0, 1.0) if metric.kind == "binary" else metric.range
    width = None if own is None else own[1] - own[0]
    return Design(
        kind=kind,
        sizes=sizes_of(pairs.clusters, len(pairs)),
        # a difference of two values of the metric, but where right and wrong are counted
        range=(0.0, 1.0) if kind == "binary" else None if width is None else (-width, width),
        width=width,
        placebo="waived" if checks.waiver("placebo") else "measured" if experiment.placebo_draws else "none",
        wrong_places=len(checks.wrong_places),
    )


def of_difference(first: Design, second: Design) -> Design:
    """Of first - second, about the same pairs."""
    if first.arms is not None or second.arms is not None:
        raise JudgementError("A difference of differences is not foreseen: claim each difference by itself.")
    if first.kind != second.kind or first.sizes != second.sizes:
        raise JudgementError("The two effects of the difference are not about the same pairs with one metric.")
    spread = None
    if first.range is not None and second.range is not None:
        spread = (first.range[0] - second.range[1], first.range[1] - second.range[0])
    both = first.placebo == second.placebo == "measured"
    return Design(
        kind="ratio" if first.kind == "ratio" else "continuous",
        sizes=first.sizes,
        range=spread,
        width=first.width,
        arms="binary" if first.kind == "binary" else "other",
        # where an arm has no placebo, the other arm is the control
        placebo="measured" if both else "waived",
        wrong_places=min(first.wrong_places, second.wrong_places),
    )


def of_numbers(numbers: Numbers) -> Design:
    """Of values measured elsewhere: their spread is known too."""
    if len(numbers.values) < 2:
        raise JudgementError(f"{len(numbers.values)} values were given, and from fewer than two nothing can be told.")
    sample = sample_of(numbers)
    given = numbers.controls.placebo
    scale = float(sample.denominators.mean())
    residuals = sample.values - sample.estimate * sample.denominators
    spread = float(np.std(residuals, ddof=1)) / abs(scale) if scale else math.nan
    binary_arms = sample.binary_arms
    return Design(
        kind=numbers.kind,
        sizes=tuple(int(size) for size in sample.sizes),
        range=numbers.range,
        arms=None if sample.arms is None else "binary" if binary_arms else "other",
        placebo="measured" if isinstance(given, tuple) else "waived" if isinstance(given, Waived) else "none",
        wrong_places=len(numbers.controls.elsewhere),
        sd=spread if numbers.kind != "binary" and not binary_arms and spread > 0 else None,
    )


def sizes_of(clusters: tuple[str, ...] | None, pairs: int) -> tuple[int, ...]:
    """Pairs of each cluster, in the order in which the clusters come."""
    if clusters is None:
        return (1,) * pairs
    counts: dict[str, int] = {}
    for name in clusters:
        counts[name] = counts.get(name, 0) + 1
    return tuple(counts.values())
