"""Keys and values of many runs: the prefix comes from an unpatched run, the rest is the run's own.

transformers asks a cache for one thing: given the new positions' keys and values, all of them so
far. So each forward gets a cache of its own, whose layers answer from here. Every position is kept
in every layer, those with a sliding window too: the mask hides what has left a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

LayerKeys = tuple[Tensor, Tensor]
"""Keys and values of one layer. [row, head, position, width]"""


@dataclass
class Buffers:
    """Memory for waves that run one after the other: each writes over what the one before is done with.

    Fresh memory is mapped page by page as it is first written, which takes longer than the writing.
    """

    held: dict[int, Tensor] = field(default_factory=dict)

    def get(self, number: int, shape: Sequence[int], like: Tensor) -> Tensor:
        """The buffer of a number in some shape; made, or made larger, where it does not suffice."""
        size = math.prod(shape)
        held = self.held.get(number)
        if held is None or len(held) < size:
            # What is too small goes first, so that both are never there.
            self.held.pop(number, None)
            held = None
            held = self.held[number] = like.new_empty(size)
        return held[:size].view(*shape)


@dataclass
class Kept:
    """Keys and values of all rows of a wave, filled as its forwards go."""

    rows: int
    positions: int
    layers: list[LayerKeys | None]
    buffers: Buffers = field(default_factory=Buffers)

    @classmethod
    def empty(cls, rows: int, positions: int, layers: int, buffers: Buffers | None = None) -> Kept:
        return cls(rows, positions, [None] * layers, buffers or Buffers())

    def layer(self, index: int, like: Sequence[Tensor]) -> LayerKeys:
        """A layer's tensors, made when the first keys show their shape."""
        kept = self.layers[index]
        if kept is None:
            shapes = [(self.rows, t.shape[1], self.positions, t.shape[3]) for t in like]
            kept = self.buffers.get(2 * index, shapes[0], like[0]), self.buffers.get(2 * index + 1, shapes[1], like[1])
            self.layers[index] = kept
        return kept

    def prefill(self, slots: slice, base: Sequence[LayerKeys], pairs: Tensor, stop: int) -> None:
        """Gives rows the unpatched run's keys up to `stop`, in every layer."""
        for index, source in enumerate(base):
            for mine, theirs in zip(self.layer(index, source), source, strict=True):
                take(mine[slots, :, :stop], theirs[:, :, :stop], pairs)

    def full(self) -> tuple[LayerKeys, ...]:
        return tuple(layer for layer in self.layers if layer is not None)


class ForwardLayer(DynamicLayer):
    """One layer of one forward's cache."""

    def __init__(self, index: int, keys: ForwardKeys | GrowingKeys) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.index = index
        self.source = keys

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> LayerKeys:
        return self.source.extended(self.index, (key_states, value_states))

    def get_seq_length(self, *_: Any) -> int:
        return self.source.start


@dataclass
class ForwardKeys:
    """Where one forward takes its prefix from, and where its own keys go.

    `pairs` says for each row which row of `base` it forked off. With `kept` everything is written
    there, for the forwards to come; without, it lives as long as the layer is computed.
    """

    start: int
    stop: int
    first: int
    pairs: Tensor
    base: Sequence[LayerKeys] = ()
    kept: Kept | None = None

    def cache(self, layers: int) -> Cache:
        return Cache(layers=[ForwardLayer(index, self) for index in range(layers)])

    def extended(self, index: int, new: LayerKeys) -> LayerKeys:
        rows = len(new[0])
        if self.kept is not None:
            slots = slice(self.first, self.first + rows)
            keys, values = self.kept.layer(index, new)
            keys[slots, :, self.start : self.stop], values[slots, :, self.start : self.stop] = new
            return keys[slots, :, : self.stop], values[slots, :, : self.stop]
        if self.start == 0:
            return new
        keys, values = (self.behind(before, after) for before, after in zip(self.base[index], new, strict=True))
        return keys, values

    def behind(self, before: Tensor, after: Tensor) -> Tensor:
        """A row's own keys behind those of the run that it forked off."""
        out = after.new_empty(len(after), after.shape[1], self.start + after.shape[2], after.shape[3])
        take(out[:, :, : self.start], before[:, :, : self.start], self.pairs[: len(after)])
        out[:, :, self.start :] = after
        return out


@dataclass
class GrowingKeys:
    """All keys of runs that a gradient goes back through: each forward's are joined to those before it, and nothing
    is written over."""

    start: int = 0
    layers: dict[int, LayerKeys] = field(default_factory=dict)

    def cache(self, layers: int) -> Cache:
        return Cache(layers=[ForwardLayer(index, self) for index in range(layers)])

    def extended(self, index: int, new: LayerKeys) -> LayerKeys:
        if index in self.layers:
            keys, values = (torch.cat(both, dim=2) for both in zip(self.layers[index], new, strict=True))
            new = keys, values
        self.layers[index] = new
        return new


def take(into: Tensor, source: Tensor, rows: Tensor) -> None:
    """into[n] = source[rows[n]], without the copy between that an index makes."""
    if len(source) == 1:
        into.copy_(source.expand_as(into))
    else:
        torch.index_select(source, 0, rows, out=into)


def chosen(tensor: Tensor, rows: Tensor) -> Tensor:
    """tensor[rows], without a copy where there is but one row to choose from."""
    return tensor.expand(len(rows), *tensor.shape[1:]) if len(tensor) == 1 else tensor[rows]
