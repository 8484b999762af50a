"""Patches: the vectors that an experiment puts at its sites, as functions of recorded activations."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from causaltest.asking.sites import Component, Site
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Patch, Place


@dataclass(frozen=True)
class Spot:
    """One component at one layer (and head), for some rows of one chunk: where vectors are read and written."""

    component: Component
    layer: int
    head: int | None
    positions: tuple[tuple[int, ...], ...]
    """Per row, absolute."""

    @cached_property
    def rows(self) -> Tensor:
        return torch.tensor([row for row, at in enumerate(self.positions) for _ in at], dtype=torch.long)

    @cached_property
    def flat(self) -> Tensor:
        return torch.tensor([p for at in self.positions for p in at], dtype=torch.long)


def spots(site: Site, positions: Sequence[tuple[int, ...]]) -> tuple[Spot, ...]:
    """The spots of a site: one per layer and head."""
    layers: tuple[int, ...] = site.layers or (0,)
    heads: tuple[int | None, ...] = site.heads or (None,)
    return tuple(Spot(site.component, layer, head, tuple(positions)) for layer in layers for head in heads)


def place_of(spot: Spot) -> Place:
    """Where a spot's activations are recorded: a block's input is the output of the block before."""
    if spot.component == "resid_pre" and spot.layer > 0:
        return ("resid_post", spot.layer - 1)
    return (spot.component, spot.layer)


def read(model: LoadedModel, activations: Mapping[Place, Tensor], spot: Spot) -> Tensor:
    """A run's own vectors at a spot. [entry, width]"""
    whole = activations[place_of(spot)]
    vectors = whole[spot.rows.to(whole.device), spot.flat.to(whole.device)]
    if spot.head is None:
        return vectors
    width = whole.shape[-1] // model.heads
    return vectors[:, spot.head * width : (spot.head + 1) * width]


def write(spot: Spot, values: Tensor) -> Patch:
    """The patch that puts vectors [entry, width] at a spot."""
    device = values.device
    return Patch(spot.component, spot.layer, spot.head, spot.rows.to(device), spot.flat.to(device), values)


Vectors = tuple[tuple[Tensor, ...], ...]
"""Per chunk, per spot: [entry, width]."""


def means(sources: Vectors, spots_of: Sequence[Sequence[Spot]]) -> Vectors:
    """The mean over all pairs' vectors, entry by entry of a pair, in every chunk.

    Raises MeasurementError when pairs have different numbers of positions there.
    """
    counts = {len(at) for chunk in spots_of for spot in chunk for at in spot.positions}
    if len(counts) != 1:
        raise MeasurementError(
            f"by=mean needs as many positions in every pair, and this site has {sorted(counts)}. Name one position."
        )
    per_pair = counts.pop()
    averages = [
        torch.cat([chunk[i].unflatten(0, (-1, per_pair)) for chunk in sources]).mean(0) for i in range(len(spots_of[0]))
    ]
    return tuple(
        tuple(average.repeat(len(spot.positions), 1) for average, spot in zip(averages, chunk, strict=True))
        for chunk in spots_of
    )


@dataclass(frozen=True)
class Displacement:
    """What a patch does to each pair, pairs of all chunks in one order."""

    base: list[Tensor]
    """Per pair, all its entries of all spots in a row: the vectors before the patch."""
    patched: list[Tensor]
    natural: list[Tensor]
    """Per pair, a difference that nature makes there: between its two runs, or between two pairs."""

    def distances(self) -> tuple[float, ...]:
        """Per pair, the Euclidean distance of the patch."""
        return tuple(float(torch.dist(b, p)) for b, p in zip(self.base, self.patched, strict=True))


def partners(
    clusters: Sequence[str], sizes: Sequence[int], usable: Sequence[bool], rng: random.Random
) -> list[int | None]:
    """For each pair another pair of the same shape, from another cluster where there is one."""
    chosen: list[int | None] = []
    for i, (cluster, size) in enumerate(zip(clusters, sizes, strict=True)):
        same_shape = [j for j in range(len(sizes)) if j != i and sizes[j] == size and usable[j]]
        elsewhere = [j for j in same_shape if clusters[j] != cluster]
        pool = elsewhere or same_shape
        chosen.append(rng.choice(pool) if pool else None)
    return chosen


def placebo(displacement: Displacement, partner: Sequence[int | None]) -> list[Tensor]:
    """Per pair, its own vectors moved as far as the patch moves them, in another pair's direction.

    A pair without a partner, or that the patch does not move, stays as it is.
    """
    moved = []
    for i, j in enumerate(partner):
        base = displacement.base[i]
        if j is None:
            moved.append(base)
            continue
        direction = displacement.natural[j]
        length = torch.linalg.vector_norm(direction)
        far = torch.dist(base, displacement.patched[i])
        moved.append(base + direction * (far / length))
    return moved


def by_pair(vectors: Vectors, spots_of: Sequence[Sequence[Spot]]) -> list[Tensor]:
    """Per pair, its entries of all spots flattened into one row."""
    pairs: list[Tensor] = []
    for chunk, chunk_spots in zip(vectors, spots_of, strict=True):
        for row in range(len(chunk_spots[0].positions)):
            pairs.append(torch.cat([v[spot.rows == row].flatten() for v, spot in zip(chunk, chunk_spots, strict=True)]))
    return pairs


def by_chunk(pairs: Sequence[Tensor], like: Vectors, spots_of: Sequence[Sequence[Spot]]) -> Vectors:
    """The inverse of `by_pair`: rows per pair back to vectors per chunk and spot."""
    out, at = [], 0
    for chunk, chunk_spots in zip(like, spots_of, strict=True):
        filled = [torch.empty_like(v) for v in chunk]
        for row in range(len(chunk_spots[0].positions)):
            start = 0
            for vectors, spot in zip(filled, chunk_spots, strict=True):
                mine = spot.rows == row
                count = int(mine.sum()) * vectors.shape[1]
                vectors[mine] = pairs[at][start : start + count].view(-1, vectors.shape[1])
                start += count
            at += 1
        out.append(tuple(filled))
    return tuple(out)
