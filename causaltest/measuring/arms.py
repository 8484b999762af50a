"""Arms: the runs that an experiment compares, each as where it is patched and what is written there."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.experiment import Patching
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.edges import Arrivals
from causaltest.measuring.patches import Spot, by_pair, from_pairs, read
from causaltest.measuring.placebo import Displacement, between, partners, placebo
from causaltest.measuring.planner import Ints
from causaltest.measuring.references import ChunkRuns, Side

Values = Callable[[int, int, Ints, ChunkRuns], Tensor]
"""Chunk, spot and pairs of the chunk, and its unpatched runs: to the vectors to write. [entry, width]"""


@dataclass(frozen=True)
class Arm:
    """One run of every pair, or of a few."""

    side: Side
    """The unpatched run that is changed."""
    spots: tuple[tuple[Spot, ...], ...]
    """Per chunk."""
    values: Values | None
    """None: the run begins and joins where the others do, and nothing is written."""
    new_tokens: int
    few: bool = False
    """Whether it is run for the first pair of each chunk alone."""

    def pairs(self, chunk: int) -> Ints:
        """The pairs of a chunk that it is run for."""
        return np.arange(1 if self.few else len(self.spots[chunk][0].where.positions))


def patched_side(patching: Patching) -> Side:
    return "corrupt" if patching.direction == "denoise" else "clean"


@dataclass
class Vectors:
    """A patching's vectors: read off the unpatched runs, chunk by chunk, before anything is patched."""

    model: LoadedModel
    patching: Patching
    spots: tuple[tuple[Spot, ...], ...]
    clusters: Sequence[str]
    """Of all pairs, in the order of the chunks."""
    keeps: bool = False
    """Whether every pair's vectors are kept, which a placebo needs."""
    arrivals: Arrivals | None = None
    """What is put there in place of the other run's vectors, where edges are patched."""
    widths: list[int] = field(default_factory=list)
    _base: list[Tensor] = field(default_factory=list)
    _source: list[Tensor] = field(default_factory=list)
    _sums: list[Tensor] = field(default_factory=list)
    _pairs: int = 0

    @property
    def side(self) -> Side:
        return patched_side(self.patching)

    @property
    def other_side(self) -> Side:
        return "clean" if self.side == "corrupt" else "corrupt"

    @property
    def first_pass(self) -> bool:
        """Whether the unpatched runs of all pairs must be seen before the first is patched."""
        return self.keeps or self.patching.intervention.kind == "mean"

    def take(self, chunk: int, runs: ChunkRuns) -> None:
        """Reads what a placebo or a mean needs."""
        spots = self.spots[chunk]
        own = [read(self.model, runs.side(self.side).activations, spot) for spot in spots]
        self.widths = [v.shape[-1] for v in own]
        if self.patching.intervention.kind == "mean":
            self.add(spots, own)
        if self.keeps:
            self._base += by_pair(own, spots)
            if self.patching.intervention.kind == "replace":
                self._source += by_pair([self.other(chunk, i, None, runs) for i in range(len(spots))], spots)

    def add(self, spots: Sequence[Spot], own: Sequence[Tensor]) -> None:
        counts = {int(n) for spot in spots for n in spot.where.counts}
        if len(counts | {len(s) for s in self._sums}) != 1:
            raise MeasurementError(
                f"by=mean needs as many positions in every pair, and this site has "
                f"{sorted(counts | {len(s) for s in self._sums})}. Name one position."
            )
        sums = [v.unflatten(0, (-1, next(iter(counts)))).sum(0) for v in own]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._pairs += len(spots[0].where.counts)

    @cached_property
    def means(self) -> list[Tensor]:
        """Per spot, the mean over all pairs. [entry of a pair, width]"""
        return [total / self._pairs for total in self._sums]

    @cached_property
    def displacement(self) -> Displacement:
        base = self._base
        if self.patching.intervention.kind == "replace":
            return Displacement(base, self._source, [s - b for s, b in zip(self._source, base, strict=True)])
        # An ablation has no other run: nature's difference is that between two pairs' clean runs.
        natural = [between(base, self.clusters, i) for i in range(len(base))]
        if self.patching.intervention.kind == "zero":
            return Displacement(base, [torch.zeros_like(b) for b in base], natural)
        mean = torch.cat([m.flatten() for m in self.means])
        return Displacement(base, [mean] * len(base), natural)

    # What is written, by kind of arm.

    def own(self, chunk: int, spot: int, pairs: Ints | None, runs: ChunkRuns) -> Tensor:
        """What the run has there by itself."""
        return self._read(chunk, spot, pairs, runs, self.side)

    def other(self, chunk: int, spot: int, pairs: Ints | None, runs: ChunkRuns) -> Tensor:
        """What the other run of the pair has there, or what arrives from it."""
        if self.arrivals is not None:
            return self.arrivals.values(chunk, spot, pairs, runs)
        return self._read(chunk, spot, pairs, runs, self.other_side)

    def asked(self, chunk: int, spot: int, pairs: Ints, runs: ChunkRuns) -> Tensor:
        """What the experiment puts there."""
        kind = self.patching.intervention.kind
        if kind == "replace":
            return self.other(chunk, spot, pairs, runs)
        if kind == "zero":
            return torch.zeros_like(self.own(chunk, spot, pairs, runs))
        return self.means[spot].repeat(len(pairs), 1)

    def placebo(self, seed: str) -> Values:
        """Other pairs' differences; each seed draws its own partners."""
        drawn: list[list[Tensor]] = []

        def values(chunk: int, spot: int, pairs: Ints, runs: ChunkRuns) -> Tensor:
            if not drawn:
                drawn.append(self._moved(seed))
            here = drawn[0][self.before(chunk) :]
            return from_pairs(here, pairs, self.spots[chunk], spot, self.widths)

        return values

    def _moved(self, seed: str) -> list[Tensor]:
        moves = self.displacement
        partner = partners(self.clusters, moves.sizes, moves.usable(), random.Random(seed))
        return placebo(moves, partner)

    def without_partner(self) -> list[bool]:
        """The pairs that the patch moves, and for which there is no placebo."""
        moves = self.displacement
        partner = partners(self.clusters, moves.sizes, moves.usable(), random.Random(0))
        return [p is None and far > 0 for p, far in zip(partner, moves.distances(), strict=True)]

    def distances(self, chunk: int, runs: ChunkRuns) -> Tensor:
        """Per pair of a chunk, the Euclidean distance of the patch. [pair]"""
        spots = self.spots[chunk]
        everyone = spots[0].where.everyone
        total = torch.zeros(len(everyone), dtype=torch.float64)
        for index, spot in enumerate(spots):
            away = self.asked(chunk, index, everyone, runs) - self.own(chunk, index, None, runs)
            squared = away.double().square().sum(-1).cpu()
            total.index_add_(0, torch.from_numpy(spot.where.rows), squared)
        return total.sqrt()

    def before(self, chunk: int) -> int:
        """How many pairs stand in the chunks before this one."""
        return sum(len(spots[0].where.positions) for spots in self.spots[:chunk])

    def _read(self, chunk: int, spot: int, pairs: Ints | None, runs: ChunkRuns, side: Side) -> Tensor:
        where = self.spots[chunk][spot]
        entries = None if pairs is None else where.where.entries(pairs)
        return read(self.model, runs.side(side).activations, where, entries)
