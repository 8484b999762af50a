"""Sample: an effect's numbers in a canonical order, summed per independent unit."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causaltest.effect import Kind, Numbers, SelfPatch
from causaltest.errors import JudgementError

Floats = NDArray[np.float64]

SEED_BYTES = 4
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
    """How far a pair's value may move by floating-point rounding alone."""

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def units(self) -> int:
        return len(self.totals)

    @property
    def estimate(self) -> float:
        below = math.fsum(self.denominators)
        return math.fsum(self.values) / below if below else math.nan

    @property
    def binary_arms(self) -> bool:
        """Whether the effect is the difference of two right-or-wrong arms."""
        return self.arms is not None and all(bool(np.isin(arm, (0.0, 1.0)).all()) for arm in self.arms)

    def residuals(self, threshold: float) -> Floats:
        """[unit], `sum(value - threshold * denominator)`: mean zero when the effect is the threshold.

        Testing this mean is Fieller's test of a ratio (Fieller 1954, J. R. Stat. Soc. B 16:175).
        """
        return self.totals - threshold * self.weights

    @property
    def has_spread(self) -> bool:
        """Whether the units differ from the estimate by more than rounding."""
        apart = np.abs(self.residuals(self.estimate))
        return bool((apart > self.rounding * self.sizes).any())

    def totals_of(self, per_pair: Floats) -> Floats:
        """[unit], the sum of a per-pair column within each unit."""
        return summed(per_pair, self.unit_of, self.units)


def sample_of(numbers: Numbers) -> Sample:
    """The canonical sample. Raises JudgementError when a pair id occurs twice."""
    if len(set(numbers.pair_ids)) != len(numbers.pair_ids):
        twice = next(p for p in numbers.pair_ids if numbers.pair_ids.count(p) > 1)
        raise JudgementError(f"pair id {twice!r} occurs more than once: give every pair its own id.")
    order = canonical_order(numbers)
    values = column(numbers.values, order)
    denominators = np.ones(len(order)) if numbers.denominators is None else column(numbers.denominators, order)
    labels = [numbers.pair_ids[i] if numbers.clusters is None else numbers.clusters[i] for i in order]
    names, unit_of = np.unique(np.array(labels, dtype=np.str_), return_inverse=True)
    units = len(names)
    placebo = numbers.controls.placebo
    return Sample(
        kind=numbers.kind,
        iid=units == len(order),
        values=values,
        denominators=denominators,
        unit_of=unit_of.astype(np.int64),
        totals=summed(values, unit_of, units),
        weights=summed(denominators, unit_of, units),
        sizes=np.bincount(unit_of, minlength=units).astype(np.float64),
        range=numbers.range,
        placebo=column(placebo, order) if isinstance(placebo, tuple) else None,
        arms=arms_of(numbers, order),
        rounding=rounding_of(numbers),
    )


def canonical_order(numbers: Numbers) -> list[int]:
    clusters = numbers.clusters if numbers.clusters is not None else ("",) * len(numbers.pair_ids)
    return sorted(range(len(numbers.pair_ids)), key=lambda i: (clusters[i], numbers.pair_ids[i]))


def column(entries: tuple[float, ...], order: list[int]) -> Floats:
    # adding zero turns -0.0 into 0.0, so that the two cannot give different seeds
    return np.array([entries[i] for i in order], dtype=np.float64) + 0.0


def summed(per_pair: Floats, unit_of: NDArray[np.int64], units: int) -> Floats:
    return np.bincount(unit_of, weights=per_pair, minlength=units).astype(np.float64)


def arms_of(numbers: Numbers, order: list[int]) -> tuple[Floats, Floats] | None:
    if "first" not in numbers.references or "second" not in numbers.references:
        return None
    return column(numbers.references["first"], order), column(numbers.references["second"], order)


def rounding_of(numbers: Numbers) -> float:
    """The rounding measured by the self-patch; without one, a billionth of the largest value."""
    finite = [abs(v) for v in (*numbers.values, *(numbers.denominators or ())) if math.isfinite(v)]
    measured = numbers.controls.self_patch
    tolerance = measured.tolerance if isinstance(measured, SelfPatch) else 0.0
    return max(tolerance, RELATIVE_ROUNDING * max(finite, default=0.0))


def seed_of(numbers: Numbers) -> int:
    """A seed from the SHA-256 of the values and their pair ids, whatever their order."""
    clusters = numbers.clusters or ("",) * len(numbers.values)
    denominators = numbers.denominators or (1.0,) * len(numbers.values)
    rows = sorted(
        f"{pair_id}\0{cluster}\0{(value + 0.0).hex()}\0{(below + 0.0).hex()}"
        for pair_id, cluster, value, below in zip(numbers.pair_ids, clusters, numbers.values, denominators, strict=True)
    )
    digest = hashlib.sha256("\n".join((numbers.kind, *rows)).encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big")
