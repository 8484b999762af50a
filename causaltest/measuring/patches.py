"""Spots: where an experiment reads and writes vectors, for all pairs of a chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.directions import Direction
from causaltest.asking.features import Features
from causaltest.asking.sites import Component, Site
from causaltest.errors import MeasurementError, SiteError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.attention import as_wide
from causaltest.measuring.engine import Patch, Place
from causaltest.measuring.moves import Added, Move
from causaltest.measuring.planner import EMBEDDING, Ints


@dataclass(frozen=True)
class Where:
    """Absolute positions, some for every pair of a chunk. Entry n is the n-th of them, pair by pair."""

    positions: tuple[tuple[int, ...], ...]

    @cached_property
    def counts(self) -> Ints:
        return np.array([len(at) for at in self.positions], dtype=np.int64)

    @cached_property
    def first(self) -> Ints:
        """The first position of each pair."""
        return np.array([min(at) for at in self.positions], dtype=np.int64)

    @cached_property
    def flat(self) -> Ints:
        """The position of each entry."""
        return np.array([p for at in self.positions for p in at], dtype=np.int64)

    # What is quickly worked out is not kept: there is one of it for every pair.

    @property
    def offsets(self) -> Ints:
        """The first entry of each pair."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(np.int64)

    @property
    def rows(self) -> Ints:
        """The pair of each entry."""
        return np.repeat(self.everyone, self.counts)

    @property
    def everyone(self) -> Ints:
        return np.arange(len(self.positions))

    def entries(self, pairs: Ints) -> Ints:
        """The entries of some pairs, in their order."""
        counts = self.counts[pairs]
        begin = np.repeat(self.offsets[pairs] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        entries: Ints = begin + np.arange(int(counts.sum()))
        return entries


@dataclass(frozen=True)
class Spot:
    """One component at one layer, and one head or neuron where it has such, in a chunk."""

    component: Component
    layer: int
    part: int | None
    where: Where
    within: Direction | Features | None = None
    width: int | None = None
    """Of a pattern, how many keys its vectors have room for: one number for all chunks."""

    @property
    def place(self) -> Place:
        """Where its activations are recorded, and written: a block's output is the input of the next."""
        if self.component == "resid_pre" and self.layer > 0:
            return ("resid_post", self.layer - 1)
        return (self.component, self.layer)

    def join(self, layers: int) -> int:
        """The block at whose input a run that is patched here joins its batch."""
        if self.component == "embed":
            return EMBEDDING
        if self.component in ("final_norm", "logits"):
            return layers
        return min(self.layer + 1, layers) if self.component == "resid_post" else self.layer


def spots(site: Site, where: Where, keys: int | None = None) -> tuple[Spot, ...]:
    """The spots of a site: one per layer and part. `keys`: the positions of the longest run, for patterns."""
    width = keys if site.component == "pattern" else None
    layers: tuple[int, ...] = site.layers or (0,)
    parts: tuple[int | None, ...] = site.parts or (None,)
    return tuple(Spot(site.component, layer, part, where, site.within, width) for layer in layers for part in parts)


def read(model: LoadedModel, activations: Mapping[Place, Tensor], spot: Spot, entries: Ints | None = None) -> Tensor:
    """A run's own vectors at a spot, of all its entries or of some. [entry, width]"""
    whole = held(model, activations, spot)
    rows, flat = spot.where.rows, spot.where.flat
    if entries is not None:
        rows, flat = rows[entries], flat[entries]
    if spot.part is not None:
        width = whole.shape[-1] // len(model.blocks[spot.layer].taps[spot.component].parts)
        whole = whole[..., spot.part * width : (spot.part + 1) * width]
    return whole[torch.from_numpy(rows).to(whole.device), torch.from_numpy(flat).to(whole.device)]


def held(model: LoadedModel, activations: Mapping[Place, Tensor], spot: Spot) -> Tensor:
    """All that a run holds at a spot's place, as wide as the spot has it. [row, position, width]"""
    whole = activations[spot.place]
    return (
        whole if spot.width is None else as_wide(whole, len(model.blocks[spot.layer].taps["pattern"].parts), spot.width)
    )


def write(spot: Spot, slots: Ints, positions: Ints, values: Tensor, layers: int, move: Move | None = None) -> Patch:
    """The patch that brings vectors [entry, width] to a spot, for rows of a wave.

    The stream between two blocks is written at the input of the upper one, where rows join.
    """
    component, layer = spot.component, spot.layer
    if component == "pattern" and (move is None or isinstance(move, Added)):
        refuse_ahead(positions, values)
    if component == "resid_post" and layer + 1 < layers:
        component, layer = "resid_pre", layer + 1
    return Patch(component, layer, spot.part, torch.from_numpy(slots), torch.from_numpy(positions), values, move)


def refuse_ahead(positions: Ints, values: Tensor) -> None:
    """Raises MeasurementError where a pattern [entry, key] weighs a key behind its query."""
    keys = torch.arange(values.shape[-1], device=values.device)
    ahead = (values != 0) & (keys > torch.from_numpy(positions).to(values.device)[:, None])
    if bool(ahead.any()):
        entry, key = ahead.nonzero()[0].tolist()
        raise MeasurementError(
            f"A pattern that is written for position {positions[entry]} attends to position {key}, which comes after "
            "it: it was taken from a query that stands further back. Patch a position that is the same in all pairs."
        )


def by_pair(vectors: Sequence[Tensor], spots_of: Sequence[Spot]) -> list[Tensor]:
    """Per pair of a chunk, its entries of all spots flattened into one row."""
    split = [torch.split(v, spot.where.counts.tolist()) for v, spot in zip(vectors, spots_of, strict=True)]
    if len(split) == 1:
        return [mine.flatten() for mine in split[0]]
    return [torch.cat([mine.flatten() for mine in parts]) for parts in zip(*split, strict=True)]


def from_pairs(
    flat: Sequence[Tensor], pairs: Ints, spots_of: Sequence[Spot], index: int, widths: Sequence[int]
) -> Tensor:
    """The inverse of `by_pair` for one spot and some pairs, `widths` being those of all spots. [entry, width]"""
    out = []
    for pair in pairs.tolist():
        begin = sum(int(s.where.counts[pair]) * w for s, w in zip(spots_of[:index], widths, strict=False))
        count = int(spots_of[index].where.counts[pair]) * widths[index]
        out.append(flat[pair][begin : begin + count].view(-1, widths[index]))
    return torch.cat(out)


def refuse_overlap(spots_of_chunks: Sequence[Sequence[Spot]], what: str) -> None:
    """Raises SiteError where one patch changes a vector twice: which of the two comes first, nobody has said."""
    for spots_of in spots_of_chunks:
        for pair in range(len(spots_of[0].where.positions)):
            named = [(s.place, s.part, at) for s in spots_of for at in s.where.positions[pair]]
            if len(set(named)) < len(named):
                _, _, twice = next(name for name in named if named.count(name) > 1)
                raise SiteError(
                    f"{what} changes one vector twice, at position {twice}. Name each place once; several directions "
                    "of one place are rows of one subspace."
                )
