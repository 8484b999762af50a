"""The placebo: a patch that moves each pair as far as the real one does, in another pair's direction."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Displacement:
    """What a patch does to each pair, pairs of all chunks in one order."""

    base: list[Tensor]
    """Per pair, all its entries of all spots in a row: the vectors before the patch."""
    patched: list[Tensor]
    natural: list[Tensor]
    """Per pair, a difference that nature makes there: between its two runs, or between two pairs."""
    shapes: Sequence[Hashable] = ()
    """Per pair, what another one must have in common to be its partner; none: as many numbers."""

    def distances(self) -> tuple[float, ...]:
        """Per pair, the Euclidean distance of the patch."""
        return tuple(float(torch.dist(b, p)) for b, p in zip(self.base, self.patched, strict=True))

    @property
    def sizes(self) -> Sequence[Hashable]:
        return self.shapes or [len(vector) for vector in self.base]

    def usable(self) -> list[bool]:
        """Which pairs' differences have a direction."""
        return [bool(torch.linalg.vector_norm(v) > 0) for v in self.natural]


def partners(
    clusters: Sequence[str], sizes: Sequence[Hashable], usable: Sequence[bool], rng: random.Random
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
    return [base + step for base, step in zip(displacement.base, displaced(displacement, partner), strict=True)]


def displaced(displacement: Displacement, partner: Sequence[int | None]) -> list[Tensor]:
    """Per pair, the step of its placebo: as long as that of the patch, along another pair's difference.

    The difference is taken whole, also where the patch moves only a direction or a subspace: along one direction
    every pair's difference is the same but for its length (docs/decisions/0009).
    """
    steps = []
    for i, j in enumerate(partner):
        if j is None:
            steps.append(torch.zeros_like(displacement.base[i]))
            continue
        direction = displacement.natural[j]
        length = torch.linalg.vector_norm(direction)
        far = torch.dist(displacement.base[i], displacement.patched[i])
        steps.append(direction * (far / length))
    return steps


def between(vectors: Sequence[Tensor], clusters: Sequence[str], i: int, shapes: Sequence[Hashable] = ()) -> Tensor:
    """The difference to another pair of the same shape, from another cluster where one differs; else zero."""
    shapes = shapes or [vector.shape for vector in vectors]
    others = [j for j in (*range(i + 1, len(vectors)), *range(i)) if shapes[j] == shapes[i]]
    others.sort(key=lambda j: clusters[j] == clusters[i])
    differences = (vectors[j] - vectors[i] for j in others)
    return next((d for d in differences if bool(d.any())), torch.zeros_like(vectors[i]))
