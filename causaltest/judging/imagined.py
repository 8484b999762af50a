"""Imagined samples: numbers drawn from a supposed truth, as an experiment of some design would give them.

Units come in blocks, each from a seed of its own, so that the first units of a large sample are those of
a small one: power at two numbers of pairs then differs by what the pairs do, and hardly by chance
(common random numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from causaltest.effect import Controls, Effect, Elsewhere, Numbers, Waived
from causaltest.judging.designs import Design
from causaltest.judging.sample import Floats
from causaltest.judging.supposing import DENOMINATOR_SPREAD, Truth

UNITS_PER_BLOCK = 32
PLACEBO_DRAWS = 8
FARTHEST = 8.0


@dataclass(frozen=True, eq=False)
class Columns:
    """[sample, pair] each."""

    values: Floats
    denominators: Floats | None = None
    placebo: Floats | None = None
    elsewhere: Floats | None = None
    """[sample, pair, wrong place]"""
    first: Floats | None = None
    second: Floats | None = None


def imagined(design: Design, truth: Truth, *, units: int, samples: int, seed: int) -> list[Effect]:
    """So many samples of so many units; sizes of clusters repeat those of the design."""
    sizes = design.sizes_of(units)
    drawn = columns_of(design, truth, sizes, samples, seed)
    clusters = tuple(f"cluster {i:06d}" for i, size in enumerate(sizes) for _ in range(size))
    ids = tuple(f"pair {i:07d}" for i in range(len(clusters)))
    return [effect_of(design, drawn, row, ids, None if design.iid else clusters) for row in range(samples)]


def effect_of(
    design: Design, drawn: Columns, row: int, ids: tuple[str, ...], clusters: tuple[str, ...] | None
) -> Effect:
    def column(of: Floats | None) -> tuple[float, ...]:
        return () if of is None else tuple(of[row].tolist())

    placebo = column(drawn.placebo) if drawn.placebo is not None else Waived("not part of what is supposed")
    waived = Waived("nothing was run")
    numbers = Numbers(
        values=column(drawn.values),
        pair_ids=ids,
        clusters=clusters,
        kind=design.kind,
        range=design.range,
        denominators=None if drawn.denominators is None else column(drawn.denominators),
        controls=Controls(
            self_patch=waived,
            placebo=placebo,
            positive=waived,
            elsewhere=() if drawn.elsewhere is None else places_of(drawn.elsewhere[row]),
        ),
        pairs_total=len(ids),
        references={} if drawn.first is None else {"first": column(drawn.first), "second": column(drawn.second)},
    )
    return Effect(None, numbers)


def places_of(drawn: Floats) -> tuple[Elsewhere, ...]:
    """Of a sample's [pair, wrong place]."""
    return tuple(Elsewhere(f"wrong place {i}", tuple(drawn[:, i].tolist()), ()) for i in range(drawn.shape[1]))


def columns_of(design: Design, truth: Truth, sizes: tuple[int, ...], samples: int, seed: int) -> Columns:
    """Block after block of units."""
    blocks = [
        block_of(
            design, truth, sizes[start : start + UNITS_PER_BLOCK], np.random.default_rng((seed, 4, start)), samples
        )
        for start in range(0, len(sizes), UNITS_PER_BLOCK)
    ]

    def joined(name: str) -> Floats | None:
        parts = [getattr(block, name) for block in blocks]
        return None if parts[0] is None else np.concatenate(parts, axis=1)

    values = joined("values")
    assert values is not None  # every block has values
    return Columns(values, *(joined(name) for name in ("denominators", "placebo", "elsewhere", "first", "second")))


def block_of(design: Design, truth: Truth, sizes: tuple[int, ...], rng: np.random.Generator, samples: int) -> Columns:
    unit_of = np.repeat(np.arange(len(sizes)), sizes)
    # A block is always drawn whole, so that a block cut short holds the same units.
    table = Table(samples, max(design.sizes), unit_of, places_in(sizes), truth.icc, rng)
    if design.kind == "binary":
        values = table.outcomes(truth.effect, draws=1)
        return with_controls(Columns(values), design, lambda draws: table.outcomes(truth.placebo, draws=draws))
    if design.arms == "binary":
        first, second = (table.outcomes(share, draws=1) for share in truth.arms())

        def control(draws: int) -> Floats:
            return table.outcomes(truth.placebo, draws=draws) - table.outcomes(truth.placebo, draws=draws)

        return with_controls(Columns(first - second, first=first, second=second), design, control)
    return continuous(design, truth, table)


def with_controls(columns: Columns, design: Design, control: Callable[[int], Floats]) -> Columns:
    """A placebo is the mean of its draws; a wrong place is patched once, and is supposed to do no more than it."""
    placebo = control(PLACEBO_DRAWS) if design.placebo == "measured" else None
    places = [control(1) for _ in range(design.wrong_places)]
    return replace(columns, placebo=placebo, elsewhere=np.stack(places, axis=2) if places else None)


def continuous(design: Design, truth: Truth, table: Table) -> Columns:
    """A normal effect per pair, clipped to the range and placed so that its mean is the truth all the same."""
    if design.kind != "ratio":
        values = table.amounts(truth.effect, truth.sd, design.range, draws=1)
        denominators, low_high = None, design.range
    else:
        denominators, low_high = denominators_of(design, truth, table)
        values = table.amounts(truth.effect, truth.sd, low_high, draws=1) * denominators
    columns = Columns(values, denominators)
    if design.arms is not None:
        columns = replace(columns, first=values, second=np.zeros_like(values))

    def control(draws: int) -> Floats:
        amounts = table.amounts(truth.placebo, truth.sd, low_high, draws=draws)
        return amounts if denominators is None else amounts * denominators

    return with_controls(columns, design, control)


def denominators_of(design: Design, truth: Truth, table: Table) -> tuple[Floats, tuple[float, float] | None]:
    """Clean - corrupt of each pair, half of the largest or less, and the shares of it that keep a value in range."""
    apart = 1 + DENOMINATOR_SPREAD * np.clip(table.normal(), -2, 2)
    if design.range is None:
        return apart, None
    reach = max(abs(end) for end in design.range) / (2 if design.arms is not None else 1)
    typical = reach / (2 * max(1.0, abs(truth.effect)))
    most = max(abs(end) for end in design.range) / (typical * (1 + 2 * DENOMINATOR_SPREAD))
    return apart * typical, (-most, most)


@dataclass(frozen=True, eq=False)
class Table:
    """A block's room: [sample, unit] and [sample, unit, place] draws, of which the block's pairs are taken."""

    samples: int
    largest: int
    unit_of: np.ndarray[tuple[int], np.dtype[np.int64]]
    place_of: np.ndarray[tuple[int], np.dtype[np.int64]]
    icc: float
    rng: np.random.Generator

    def of_pairs(self, drawn: Floats) -> Floats:
        """[sample, pair]"""
        taken: Floats = drawn[:, self.unit_of, self.place_of]
        return taken

    def normal(self) -> Floats:
        return self.of_pairs(self.rng.standard_normal((self.samples, UNITS_PER_BLOCK, self.largest)))

    def outcomes(self, share: float, *, draws: int) -> Floats:
        """Right or wrong with a share of its own in each cluster (beta-binomial), as the mean of so many draws."""
        share = min(1.0, max(0.0, share))
        own = np.full((self.samples, UNITS_PER_BLOCK), share)
        if self.icc > 0 and 0 < share < 1:
            weight = (1 - self.icc) / self.icc
            own = self.rng.beta(share * weight, (1 - share) * weight, own.shape)
        shape = (self.samples, UNITS_PER_BLOCK, self.largest)
        return self.of_pairs(self.rng.binomial(draws, own[:, :, None], shape) / draws)

    def amounts(self, mean: float, sd: float, low_high: tuple[float, float] | None, *, draws: int) -> Floats:
        """Normal within and between clusters, of which the part within is averaged over so many draws; clipped."""
        between = self.rng.standard_normal((self.samples, UNITS_PER_BLOCK))[:, self.unit_of]
        parts = math.sqrt(self.icc), math.sqrt((1 - self.icc) / draws)
        spread = sd * math.hypot(*parts)
        middle = mean if low_high is None else before_clipping(mean, spread, low_high)
        values: Floats = middle + sd * (parts[0] * between + parts[1] * self.normal())
        return values if low_high is None else np.clip(values, *low_high)


def places_in(sizes: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([np.arange(size) for size in sizes])


def before_clipping(mean: float, sd: float, low_high: tuple[float, float]) -> float:
    """The mean of the normal that has this mean once it is clipped to the range; as near as it comes at the ends."""
    low, high = low_high
    ends = low - FARTHEST * sd, high + FARTHEST * sd
    if not clipped_mean(ends[0], sd, low_high) < mean < clipped_mean(ends[1], sd, low_high):
        return ends[0] if mean < (low + high) / 2 else ends[1]
    return float(optimize.brentq(lambda middle: clipped_mean(middle, sd, low_high) - mean, *ends))


def clipped_mean(middle: float, sd: float, low_high: tuple[float, float]) -> float:
    """Of a normal whose tails are moved to the ends of the range."""
    low, high = ((end - middle) / sd for end in low_high)
    below, above = float(special.ndtr(low)), float(special.ndtr(-high))
    bend = (math.exp(-low * low / 2) - math.exp(-high * high / 2)) / math.sqrt(2 * math.pi)
    return low_high[0] * below + low_high[1] * above + middle * (1 - below - above) + sd * bend
