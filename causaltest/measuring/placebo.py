"""The placebo: a patch that moves each pair as far as the real one does, in another pair's direction."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causaltest.measuring.kept_vectors import KeptVectors, bytes_of
from causaltest.measuring.partners import NOBODY, Partners, Pool, nearest_unlike, partners
from causaltest.measuring.planner import Ints


@dataclass(frozen=True)
class Nature:
    """Per pair, a difference that nature makes where it is patched, pairs of all chunks in one order.

    That between its two runs; or, where there is no other run, that between two pairs' runs.
    """

    base: KeptVectors
    """Per pair, all its entries of all spots in a row: the vectors before the patch."""
    source: KeptVectors | None
    """Those of its other run."""
    other: Partners | None = None
    """Or the pair whose run is the other one; NOBODY where there is no difference."""

    def parts(self, pairs: Sequence[int], begins: Sequence[int] = (), stops: Sequence[int] = ()) -> Tensor:
        """Of some pairs that have one, the difference between two places of their rows, one behind the other."""
        base = self.base.parts(pairs, begins, stops)
        if self.source is not None:
            return self.source.parts(pairs, begins, stops) - base
        assert self.other is not None
        return self.base.parts(self.other[np.asarray(pairs)].tolist(), begins, stops) - base

    def lengths(self, pairs: Sequence[int]) -> Tensor:
        """How long the difference of each pair is, and 0 where there is none. [pair]"""
        nobody = self.base.row(0).new_zeros(())
        return torch.stack(
            [
                torch.linalg.vector_norm(self.parts([pair]))
                if self.other is None or self.other[pair] != NOBODY
                else nobody
                for pair in pairs
            ]
        )


class Seen:
    """What placebos need of the unpatched runs of all pairs: seen chunk by chunk, and then a Displacement."""

    def __init__(self, base: KeptVectors, source: KeptVectors) -> None:
        """`source` is filled here, `base` by whoever has it."""
        self._base, self._source = base, source
        self._lengths: list[Tensor] = []
        self._far: list[Tensor] = []
        self._kinds: list[bytes | None] = []

    @property
    def chunks(self) -> int:
        """Of how many chunks it is known how far the patch moves their pairs."""
        return len(self._far)

    def two_runs(self, base: Sequence[Tensor], source: Sequence[Tensor]) -> None:
        """The rows of a chunk's pairs in both of their runs."""
        self._source.add(source)
        both = zip(base, source, strict=True)
        self._lengths.append(torch.stack([torch.linalg.vector_norm(theirs - own) for own, theirs in both]))

    def one_run(self, base: Sequence[Tensor]) -> None:
        """The rows of a chunk's pairs where there is no other run."""
        self._kinds += map(kind_of, base)

    def moved(self, base: Sequence[Tensor], patched: Sequence[Tensor]) -> None:
        """The rows of a chunk's pairs before the patch and after it."""
        self._far.append(torch.stack([torch.dist(own, there) for own, there in zip(base, patched, strict=True)]))

    def displacement(self, clusters: Sequence[str], shapes: Sequence[Hashable]) -> Displacement:
        """Of all pairs, once all chunks were seen."""
        if self._lengths:
            nature, lengths = Nature(self._base, self._source), torch.cat(self._lengths)
        else:
            # There is no other run: nature's difference is that between two pairs' runs.
            nature = Nature(self._base, None, nearest_unlike(clusters, shapes, self._kinds))
            lengths = nature.lengths(range(len(self._base)))
        return Displacement(nature, lengths, torch.cat(self._far), clusters, shapes)


@dataclass(frozen=True)
class Displacement:
    """What a patch does to each pair, and what nature does there."""

    nature: Nature
    lengths: Tensor
    """Of nature's differences. [pair]"""
    far: Tensor
    """The Euclidean distance of the patch. [pair]"""
    clusters: Sequence[str]
    shapes: Sequence[Hashable]
    """Per pair, what another one must have in common to be its partner."""

    @cached_property
    def pool(self) -> Pool:
        """The pairs whose differences have a direction."""
        return Pool(self.clusters, self.shapes, (self.lengths > 0).tolist())

    def partners(self, rng: random.Random) -> Partners:
        """For each pair one whose difference it is moved along."""
        return partners(self.pool, len(self.shapes), rng)

    @cached_property
    def alone(self) -> list[bool]:
        """The pairs that the patch moves, and for which there is no partner."""
        nobody = self.partners(random.Random(0)) == NOBODY
        alone: list[bool] = (nobody & (self.far > 0).cpu().numpy()).tolist()
        return alone

    def steps(self, pairs: Ints, partner: Partners, begins: Ints, counts: Ints, width: int) -> Tensor:
        """What a placebo adds to some pairs at a spot: `counts` entries of each, which begin in its row at `begins`.

        It is as long, over all spots, as the step of the patch, along the difference of the pair's partner. That is
        taken whole, also where the patch moves only a direction or a subspace: along one direction every pair's
        difference is the same but for its length (docs/decisions/0009). A pair without a partner, or that the patch
        does not move, stays as it is. [entry, width]
        """
        theirs, device = partner[pairs], self.far.device
        has = theirs != NOBODY
        mine, of = torch.from_numpy(pairs[has]).to(device), torch.from_numpy(theirs[has].astype(np.int64)).to(device)
        entries = np.repeat(np.arange(len(pairs)), counts)
        there = torch.from_numpy(has[entries]).to(device)
        if not len(mine):
            return self.lengths.new_zeros(len(entries), width)
        first = begins[has]
        directions = self.nature.parts(theirs[has].tolist(), first.tolist(), (first + counts[has] * width).tolist())
        shares = (self.far[mine] / self.lengths[of]).repeat_interleave(torch.from_numpy(counts[has]).to(device))
        steps = directions.view(-1, width) * shares[:, None]
        if has.all():
            return steps
        out = steps.new_zeros(len(entries), width)
        out[there] = steps
        return out


def kind_of(row: Tensor) -> bytes | None:
    """What rows have in common that differ by nothing; None for a row with a number that is not finite."""
    if not bool(torch.isfinite(row).all()):
        return None
    # There are two zeros, and they do not differ.
    return hashlib.sha256(bytes_of((row + 0.0).cpu())).digest()[:16]
