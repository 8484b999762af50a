"""Arms: the runs that an experiment compares, each as where it is patched and what is written there."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.experiment import Patching
from causaltest.asking.interventions import replace
from causaltest.asking.pairs import Pairs
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.draws import noise, resampled
from causaltest.measuring.edges import Arrivals
from causaltest.measuring.moves import AlongFeatures, Move, moved, wide
from causaltest.measuring.patches import Spot, by_pair, from_pairs, read
from causaltest.measuring.placebo import Displacement, between, displaced, partners
from causaltest.measuring.planner import Ints
from causaltest.measuring.spaces import ADDED, Spaces

Values = Callable[[int, int, Ints, ChunkRuns], Tensor]
"""Chunk, spot and pairs of the chunk, and its unpatched runs: to the vectors to write. [entry, width]"""
Moves = tuple[Move | None, ...]
"""Per spot, how its values are brought there; None: they take the place of what is there."""


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
    moves: Moves = ()
    """As many as spots; none where all values take the place of what is there."""

    def move(self, spot: int) -> Move | None:
        return self.moves[spot] if self.moves else None

    def pairs(self, chunk: int) -> Ints:
        """The pairs of a chunk that it is run for."""
        return np.arange(1 if self.few else len(self.spots[chunk][0].where.positions))


@dataclass(frozen=True)
class Elsewhere:
    """Other pairs, over whose clean runs a mean is taken, and the same sites in them."""

    pairs: Pairs
    spots: tuple[tuple[Spot, ...], ...]
    """Per chunk of those pairs."""


def patched_side(patching: Patching) -> Side:
    return "corrupt" if patching.direction == "denoise" else "clean"


@dataclass(frozen=True)
class Taken:
    """What was read off the unpatched runs of one chunk."""

    widths: Sequence[int] = ()
    """Per spot."""
    base: Sequence[Tensor] = ()
    """Per pair, as `by_pair`."""
    source: Sequence[Tensor] = ()
    counts: Sequence[Sequence[int]] = ()
    """Per spot, how many positions a pair has there; where a mean is taken."""
    sums: Sequence[Tensor] = ()
    """Per spot, the vectors added up. [entry of a pair, width]"""
    pairs: int = 0
    """How many pairs were added up."""


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
    ids: Sequence[str] = ()
    """Of all pairs, as the clusters."""
    seed: str = ""
    """What noise and partners are drawn from."""
    spaces: Spaces | None = None
    """Directions and features; made here where it is not shared with others."""
    elsewhere: Elsewhere | None = None
    arrivals: Arrivals | None = None
    """What is put there in place of the other run's vectors, where edges are patched."""
    widths: Sequence[int] = ()
    _base: list[Tensor] = field(default_factory=list)
    _source: list[Tensor] = field(default_factory=list)
    _sums: list[Tensor] = field(default_factory=list)
    _pairs: int = 0

    def __post_init__(self) -> None:
        self._spaces = spaces = self.spaces or Spaces(self.model)
        by, spots = self.patching.intervention, self.spots[0]
        self.moves: Moves = tuple(spaces.move(spot, by) for spot in spots)
        self.own_moves: Moves = tuple(spaces.move(spot, replace) for spot in spots)
        self.added = [spaces.added(spot, by) for spot in spots] if self.kind == "add" else []

    @property
    def kind(self) -> str:
        return self.patching.intervention.kind

    @property
    def side(self) -> Side:
        return patched_side(self.patching)

    @property
    def other_side(self) -> Side:
        return "clean" if self.side == "corrupt" else "corrupt"

    @property
    def is_move(self) -> bool:
        """Whether anything is changed by what it is, and not replaced."""
        return any(move is not None for move in self.moves)

    @property
    def placebo_moves(self) -> Moves:
        """A placebo moves what is there where the patch does."""
        return (ADDED,) * len(self.moves) if self.is_move else ()

    @property
    def first_pass(self) -> bool:
        """Whether the unpatched runs of all pairs must be seen before the first is patched."""
        return self.keeps or self.kind in ("mean", "resample")

    def take(self, chunk: int, runs: ChunkRuns) -> None:
        """Reads what a placebo, a mean or another pair's activation needs."""
        self.put(self.taken(chunk, runs))

    def taken(self, chunk: int, runs: ChunkRuns) -> Taken:
        """What `take` reads off a chunk: from here it may go to whoever has not seen these runs."""
        spots = self.spots[chunk]
        own = [read(self.model, runs.side(self.side).activations, spot) for spot in spots]
        out = Taken(widths=[v.shape[-1] for v in own])
        if self.kind == "mean":
            out = self.summed(out, spots, () if self.elsewhere else own)
        if self.keeps or self.kind == "resample":
            out = dataclasses.replace(out, base=by_pair(own, spots))
        if self.keeps and self.kind == "replace":
            others = [self.other(chunk, i, None, runs) for i in range(len(spots))]
            out = dataclasses.replace(out, source=by_pair(others, spots))
        return out

    def taken_elsewhere(self, chunk: int, runs: ChunkRuns) -> Taken:
        """A chunk of the other pairs, as a part of their mean."""
        assert self.elsewhere is not None
        spots = self.elsewhere.spots[chunk]
        return self.summed(Taken(), spots, [read(self.model, runs.clean.activations, spot) for spot in spots])

    def summed(self, taken: Taken, spots: Sequence[Spot], own: Sequence[Tensor]) -> Taken:
        """With vectors as a part of their mean; with none, only with what says whether the mean fits these spots."""
        counts = [sorted(set(spot.where.counts.tolist())) for spot in spots]
        if not own or any(len(several) > 1 for several in counts):
            return dataclasses.replace(taken, counts=counts)
        own = [self.averaged(index, v) for index, v in enumerate(own)]
        if any(spot.width not in (None, mine.width) for spot, mine in zip(spots, self.spots[0], strict=True)):
            raise MeasurementError(
                "by=mean(over=...) needs patterns with as many keys, and the longest of those pairs is not as long as "
                "the longest of these. Give pairs of one length."
            )
        sums = [v.unflatten(0, (-1, count)).sum(0) for v, (count,) in zip(own, counts, strict=True)]
        return dataclasses.replace(taken, counts=counts, sums=sums, pairs=len(spots[0].where.counts))

    def put(self, taken: Taken) -> None:
        """Keeps what was taken of a chunk. Called for chunk after chunk: sums are added in this order."""
        self.widths = taken.widths or self.widths
        counts = [set(some) for some in taken.counts]
        for some, known in zip(counts, self._sums, strict=False):
            some.add(len(known))
        odd = next((sorted(several) for several in counts if len(several) > 1), None)
        if odd is not None:
            raise MeasurementError(
                f"by=mean needs as many positions in every pair, and this site has {odd}. Name one position."
            )
        if taken.sums:
            summed = zip(self._sums, taken.sums, strict=True)
            self._sums = [a + b for a, b in summed] if self._sums else list(taken.sums)
            self._pairs += taken.pairs
        self._base += taken.base
        self._source += taken.source

    def averaged(self, spot: int, vectors: Tensor) -> Tensor:
        """What a mean is taken of: the vectors, or the features' activations."""
        move = self.moves[spot]
        return move.codec.activations(wide(vectors)) if isinstance(move, AlongFeatures) else vectors

    @cached_property
    def means(self) -> list[Tensor]:
        """Per spot, the mean over all pairs. [entry of a pair, width]"""
        return [total / self._pairs for total in self._sums]

    @cached_property
    def partners(self) -> list[int]:
        """For each pair, the one whose activation it gets."""
        return resampled(self.seed, self.ids, self.clusters, self.shapes)

    @cached_property
    def shapes(self) -> list[tuple[Hashable, ...]]:
        """Per pair, its positions as far as another pair's vectors must have them too to be put there."""
        return [shape for spots in self.spots for shape in zip(*map(shapes_at, spots), strict=True)]

    @cached_property
    def displacement(self) -> Displacement:
        base = self._base
        if self.kind == "replace":
            natural = [s - b for s, b in zip(self._source, base, strict=True)]
        else:
            # There is no other run: nature's difference is that between two pairs' clean runs.
            natural = [between(base, self.clusters, i, self.shapes) for i in range(len(base))]
        return Displacement(
            base, self._patched() if self.kind != "replace" or self.is_move else self._source, natural, self.shapes
        )

    def _patched(self) -> list[Tensor]:
        """Per pair, its vectors after the patch, as far as the unpatched runs tell. As `by_pair`."""
        out = []
        for chunk, spots in enumerate(self.spots):
            everyone, before, after = spots[0].where.everyone, self.before(chunk), []
            for spot in range(len(spots)):
                own = from_pairs(self._base[before:], everyone, spots, spot, self.widths)
                if self.kind == "replace":
                    values = from_pairs(self._source[before:], everyone, spots, spot, self.widths)
                else:
                    values = self._brought(chunk, spot, everyone, own)
                after.append(moved(own, values, self.moves[spot]))
            out += by_pair(after, spots)
        return out

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
        """What the experiment brings there."""
        if self.kind == "replace":
            return self.other(chunk, spot, pairs, runs)
        return self._brought(chunk, spot, pairs, self.own(chunk, spot, pairs, runs))

    def _brought(self, chunk: int, spot: int, pairs: Ints, own: Tensor) -> Tensor:
        """What an intervention without another run brings to pairs whose own vectors are these. [entry, ...]"""
        move, amount = self.moves[spot], self.patching.intervention.amount
        if self.kind == "mean":
            return self.means[spot].repeat(len(pairs), 1)
        if self.kind == "resample":
            before = self.before(chunk)
            theirs = [self._base[j] for j in self.partners[before : before + len(self.spots[chunk][spot].where.counts)]]
            return from_pairs(theirs, pairs, self.spots[chunk], spot, self.widths)
        if self.kind == "gaussian":
            return self._noise(chunk, spot, pairs, own)
        own = wide(own) if move is not None else own
        if self.kind == "add":
            return self.added[spot].expand(len(own), -1)
        activations = own.new_zeros(len(own), len(move.codec.decoder)) if isinstance(move, AlongFeatures) else own
        return (
            torch.zeros_like(activations) if self.kind == "zero" else torch.full_like(activations, float(amount or 0))
        )

    def _noise(self, chunk: int, spot: int, pairs: Ints, own: Tensor) -> Tensor:
        where, before = self.spots[chunk][spot], self.before(chunk)
        drawn = [
            noise(self.seed, self.ids[before + pair], where, where.where.positions[pair], own.shape[-1])
            for pair in pairs.tolist()
        ]
        sd = float(self.patching.intervention.amount or 0.0) * self._spaces.embedding_sd
        return (sd * torch.cat(drawn)).to(own.device)

    def placebo(self, seed: str) -> Values:
        """Other pairs' differences; each seed draws its own partners."""
        drawn: list[list[Tensor]] = []

        def values(chunk: int, spot: int, pairs: Ints, runs: ChunkRuns) -> Tensor:
            if not drawn:
                drawn.append(self._displaced(seed))
            here = drawn[0][self.before(chunk) :]
            return from_pairs(here, pairs, self.spots[chunk], spot, self.widths)

        return values

    def _displaced(self, seed: str) -> list[Tensor]:
        """Per pair, what its placebo adds, or what it puts there."""
        moves = self.displacement
        partner = partners(self.clusters, moves.sizes, moves.usable(), random.Random(seed))
        steps = displaced(moves, partner)
        return steps if self.is_move else [base + step for base, step in zip(moves.base, steps, strict=True)]

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
            own = self.own(chunk, index, None, runs)
            away = moved(own, self.asked(chunk, index, everyone, runs), self.moves[index]) - own
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


def shapes_at(spot: Spot) -> list[Hashable]:
    """Per pair, how many positions a spot has; of a pattern the positions, which say how many keys there are."""
    return [at if spot.width is not None else len(at) for at in spot.where.positions]
