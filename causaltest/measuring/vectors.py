"""Vectors: what a patch writes for each pair, what stood there, and how far that moves it; a placebo or a mean needs
those of all pairs."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Hashable, Sequence
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
from causaltest.measuring.arms import Moves, Values
from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.draws import noise, resampled
from causaltest.measuring.edges import Arrivals
from causaltest.measuring.kept_vectors import KeptVectors, Room
from causaltest.measuring.moves import AlongFeatures, moved, wide
from causaltest.measuring.partners import Partners
from causaltest.measuring.patches import Spot, by_pair, from_pairs, read
from causaltest.measuring.placebo import Displacement, Seen
from causaltest.measuring.planner import Ints
from causaltest.measuring.spaces import ADDED, Spaces


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
    room: Room | None = None
    """Memory for the vectors of all pairs, shared with others; without it they are all held."""
    widths: Sequence[int] = ()
    _sums: list[Tensor] = field(default_factory=list)
    _pairs: int = 0

    def __post_init__(self) -> None:
        self._spaces = spaces = self.spaces or Spaces(self.model)
        by, spots = self.patching.intervention, self.spots[0]
        self.moves: Moves = tuple(spaces.move(spot, by) for spot in spots)
        self.own_moves: Moves = tuple(spaces.move(spot, replace) for spot in spots)
        self.added = [spaces.added(spot, by) for spot in spots] if self.kind == "add" else []
        room = self.room or Room(sys.maxsize)
        self._base, self._source = KeptVectors(room), KeptVectors(room)
        self.displacement: Displacement | None = None
        """What placebos need; known once all chunks were seen."""
        self._seen = Seen(self._base, self._source)
        self.befores = np.concatenate([[0], np.cumsum([len(some[0].where.positions) for some in self.spots])])
        """Per chunk, how many pairs stand in the chunks before it."""

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
        if not taken.base:
            return
        self._base.add(taken.base)
        if self.keeps and self.kind == "replace":
            self._seen.two_runs(taken.base, taken.source)
            self._seen.moved(taken.base, self._patched(self._seen.chunks, taken.base, taken.source))
        elif self.keeps:
            self._seen.one_run(taken.base)

    def settle(self) -> None:
        """After the last chunk: what can only be said of all pairs together."""
        if not self.keeps:
            return
        for chunk in range(self._seen.chunks, len(self.spots)):
            base = [self._base.row(pair) for pair in range(*self.befores[chunk : chunk + 2].tolist())]
            self._seen.moved(base, self._patched(chunk, base))
        self.displacement = self._seen.displacement(self.clusters, self.shapes)

    def averaged(self, spot: int, vectors: Tensor) -> Tensor:
        """What a mean is taken of: the vectors, or the features' activations."""
        move = self.moves[spot]
        return move.codec.activations(wide(vectors)) if isinstance(move, AlongFeatures) else vectors

    @cached_property
    def means(self) -> list[Tensor]:
        """Per spot, the mean over all pairs. [entry of a pair, width]"""
        return [total / self._pairs for total in self._sums]

    @cached_property
    def partners(self) -> Partners:
        """For each pair, the one whose activation it gets."""
        return resampled(self.seed, self.ids, self.clusters, self.shapes)

    @cached_property
    def shapes(self) -> list[tuple[Hashable, ...]]:
        """Per pair, its positions as far as another pair's vectors must have them too to be put there."""
        known: dict[tuple[Hashable, ...], tuple[Hashable, ...]] = {}
        shapes = (shape for spots in self.spots for shape in zip(*map(shapes_at, spots), strict=True))
        return [known.setdefault(shape, shape) for shape in shapes]

    def _patched(self, chunk: int, base: Sequence[Tensor], source: Sequence[Tensor] = ()) -> Sequence[Tensor]:
        """Per pair of a chunk, its vectors after the patch, as far as the unpatched runs tell. As `by_pair`."""
        if self.kind == "replace" and not self.is_move:
            return source
        spots, after = self.spots[chunk], []
        everyone = spots[0].where.everyone
        for spot in range(len(spots)):
            own = from_pairs(base, everyone, spots, spot, self.widths)
            if self.kind == "replace":
                values = from_pairs(source, everyone, spots, spot, self.widths)
            else:
                values = self._brought(chunk, spot, everyone, own)
            after.append(moved(own, values, self.moves[spot]))
        return by_pair(after, spots)

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
            begins, counts = self._stretch(chunk, spot, pairs)
            theirs = self.partners[self.before(chunk) + pairs]
            width = self.widths[spot]
            parts = self._base.parts(theirs.tolist(), begins.tolist(), (begins + counts * width).tolist())
            return parts.view(-1, width)
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
        drawn: list[Partners] = []

        def values(chunk: int, spot: int, pairs: Ints, runs: ChunkRuns) -> Tensor:
            moves = self.displacement
            assert moves is not None  # a batch settles its vectors before it runs an arm
            if not drawn:
                drawn.append(moves.partners(random.Random(seed)))
            begins, counts = self._stretch(chunk, spot, pairs)
            steps = moves.steps(self.before(chunk) + pairs, drawn[0], begins, counts, self.widths[spot])
            return steps if self.is_move else self.own(chunk, spot, pairs, runs) + steps

        return values

    def _stretch(self, chunk: int, spot: int, pairs: Ints) -> tuple[Ints, Ints]:
        """Where a spot begins in the rows of some pairs of a chunk, and how many entries it has there."""
        counts = [each.where.counts[pairs] for each in self.spots[chunk][: spot + 1]]
        begins = sum((c * w for c, w in zip(counts[:-1], self.widths, strict=False)), np.zeros_like(pairs))
        return begins, counts[-1]

    def let_go(self) -> None:
        """Forgets the vectors of all pairs; how far the patch moves each is still known."""
        self._base.let_go()
        self._source.let_go()

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
        return int(self.befores[chunk])

    def _read(self, chunk: int, spot: int, pairs: Ints | None, runs: ChunkRuns, side: Side) -> Tensor:
        where = self.spots[chunk][spot]
        entries = None if pairs is None else where.where.entries(pairs)
        return read(self.model, runs.side(side).activations, where, entries)


def shapes_at(spot: Spot) -> list[Hashable]:
    """Per pair, how many positions a spot has; of a pattern the positions, which say how many keys there are."""
    return [at if spot.width is not None else len(at) for at in spot.where.positions]
