"""Sample: an effect's numbers in a canonical order, summed per independent unit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from causaltest.effect import Kind, Numbers, SelfPatch
from causaltest.errors import JudgementError

Floats = NDArray[np.float64]

RELATIVE_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Sample:
    """Numbers sorted by cluster and pair id, so that the order of the pairs decides nothing.

    A unit is what was drawn independently: a cluster, or a pair declared independent. The effect
    is `sum(totals) / sum(weights)`; for a mean the weights are the cluster sizes, and for a
    ratio of sums they are the denominators.
    """

    kind: Kind
    iid: bool
    """Declared independent, or every cluster holds one pair, which is the same."""
    values: Floats
    """[pair]"""
    denominators: Floats
    """[pair], ones for a mean"""
    unit_of: NDArray[np.int64]
    """[pair], the index of each pair's unit"""
    totals: Floats
    """[unit], sum of the values"""
    weights: Floats
    """[unit], sum of the denominators"""
    sizes: Floats
    """[unit], number of pairs"""
    range: tuple[float, float] | None
    """Of each pair's value; a ratio's denominators are differences of the same metric, so they share it."""
    placebo: Floats | None
    """[pair], or None when no placebo was measured"""
    arms: tuple[Floats, Floats] | None
    """[pair] each, when the effect is the difference of two"""
    rounding: float
    """How far a pair's value may move by floating-point rounding alone: what is no spread."""
    elsewhere: tuple[Floats, ...] = ()
    """[pair] each: the same patch at the wrong places"""
    measured_rounding: float = 0.0
    """The same as it was measured on unpatched runs; 0.0 where nothing was, and the values are taken as exact."""
    clipped: bool = False
    """Whether some value lay outside the metric's range: equal values may then stand for different ones."""

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def units(self) -> int:
        return len(self.totals)

    @cached_property
    def estimate(self) -> float:
        below = math.fsum(self.denominators.tolist()) if self.kind == "ratio" else float(self.n)
        return math.fsum(self.values.tolist()) / below if below else math.nan

    @property
    def binary_arms(self) -> bool:
        """Whether the effect is the difference of two right-or-wrong arms."""
        return self.arms is not None and all(bool(np.isin(arm, (0.0, 1.0)).all()) for arm in self.arms)

    @property
    def coarse_arms(self) -> bool:
        """Whether equal values are no sign of equal runs: they were clipped, or are right-or-wrong, or their change."""
        counted = self.arms is not None and all(bool(np.isin(arm, (-1.0, 0.0, 1.0)).all()) for arm in self.arms)
        return self.clipped or counted

    def residuals(self, threshold: float) -> Floats:
        """[unit], `sum(value - threshold * denominator)`: mean zero when the effect is the threshold.

        Testing this mean is Fieller's test of a ratio (Fieller 1954, J. R. Stat. Soc. B 16:175).
        """
        return self.totals - threshold * self.weights

    @cached_property
    def has_spread(self) -> bool:
        """Whether the units differ from the estimate by more than rounding.

        Rounding moves a unit's residual, and by its share of all of them the estimate in it.
        """
        estimate = self.estimate
        slack = self.slack(estimate)
        shared = np.abs(self.weights) * float(slack.sum() / self.weights.sum()) if self.weights.sum() > 0 else slack
        return bool((np.abs(self.residuals(estimate)) > slack + shared).any())

    def slack(self, threshold: float) -> Floats:
        """[unit], how far rounding may move the residuals; of a ratio, through the denominators too."""
        per_pair = self.rounding * (1 + abs(threshold) if self.kind == "ratio" else 1)
        return per_pair * self.sizes

    @cached_property
    def estimate_slack(self) -> float:
        """How far the rounding that was measured may have moved the estimate."""
        if not self.measured_rounding:
            return 0.0
        per_pair = self.measured_rounding * (1 + abs(self.estimate) if self.kind == "ratio" else 1)
        return per_pair * self.n / float(self.weights.sum())

    def totals_of(self, per_pair: Floats) -> Floats:
        """[unit], the sum of a per-pair column within each unit."""
        return summed(per_pair, self.unit_of, self.units)


@dataclass(frozen=True, eq=False)
class Layout:
    """The pairs in canonical order, and the unit that each belongs to."""

    order: NDArray[np.int64]
    unit_of: NDArray[np.int64]
    sizes: Floats


Layouts = dict[tuple[tuple[str, ...], tuple[str, ...] | None], Layout]


def sample_of(numbers: Numbers, layouts: Layouts | None = None) -> Sample:
    """The canonical sample. Raises JudgementError when a pair id occurs twice.

    Effects about the same pairs have the same layout: kept in `layouts`, it is found once for all of them.
    """
    layouts = {} if layouts is None else layouts
    pairs = (numbers.pair_ids, numbers.clusters)
    layout = layouts[pairs] = layouts.get(pairs) or layout_of(*pairs)
    order, unit_of, units = layout.order, layout.unit_of, len(layout.sizes)
    values = column(numbers.values, order)
    denominators = np.ones(len(order)) if numbers.denominators is None else column(numbers.denominators, order)
    placebo = numbers.controls.placebo
    return Sample(
        kind=numbers.kind,
        iid=units == len(order),
        values=values,
        denominators=denominators,
        unit_of=unit_of,
        totals=summed(values, unit_of, units),
        weights=summed(denominators, unit_of, units),
        sizes=layout.sizes,
        range=numbers.range,
        placebo=column(placebo, order) if isinstance(placebo, tuple) else None,
        arms=arms_of(numbers, order),
        rounding=rounding_of(numbers),
        elsewhere=tuple(column(place.values, order) for place in numbers.controls.elsewhere),
        measured_rounding=numbers.rounding,
        clipped=numbers.clipped > 0,
    )


def layout_of(pair_ids: tuple[str, ...], clusters: tuple[str, ...] | None) -> Layout:
    if len(set(pair_ids)) != len(pair_ids):
        twice = next(p for p in pair_ids if pair_ids.count(p) > 1)
        raise JudgementError(f"pair id {twice!r} occurs more than once: give every pair its own id.")
    order = canonical_order(pair_ids, clusters)
    labels = [(pair_ids if clusters is None else clusters)[i] for i in order]
    names, unit_of = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(unit_of, minlength=len(names)).astype(np.float64)
    return Layout(np.array(order, dtype=np.int64), unit_of.astype(np.int64), sizes)


def canonical_order(pair_ids: tuple[str, ...], clusters: tuple[str, ...] | None) -> list[int]:
    if clusters is None:
        return sorted(range(len(pair_ids)), key=pair_ids.__getitem__)
    return sorted(range(len(pair_ids)), key=lambda i: (clusters[i], pair_ids[i]))


def column(entries: tuple[float, ...], order: NDArray[np.int64]) -> Floats:
    # adding zero turns -0.0 into 0.0, so that equal columns have equal bytes
    return np.array(entries, dtype=np.float64)[order] + 0.0


def summed(per_pair: Floats, unit_of: NDArray[np.int64], units: int) -> Floats:
    return np.bincount(unit_of, weights=per_pair, minlength=units).astype(np.float64)


def arms_of(numbers: Numbers, order: NDArray[np.int64]) -> tuple[Floats, Floats] | None:
    if "first" not in numbers.references or "second" not in numbers.references:
        return None
    return column(numbers.references["first"], order), column(numbers.references["second"], order)


def rounding_of(numbers: Numbers) -> float:
    """The rounding that was measured, by itself or by the self-patch; at least a billionth of the largest value."""
    own = numbers.controls.self_patch
    tolerance = own.tolerance if isinstance(own, SelfPatch) else 0.0
    largest = max(largest_of(numbers.values), largest_of(numbers.denominators or ()))
    return max(numbers.rounding, tolerance, RELATIVE_ROUNDING * largest)


def largest_of(entries: Iterable[float]) -> float:
    return max(map(abs, filter(math.isfinite, entries)), default=0.0)
