"""Keys and values of many runs: the prefix comes from an unpatched run, the rest is the run's own.

transformers asks a cache for one thing: given the new positions' keys and values, all of them so
far. So each forward gets a cache of its own, whose layers answer from here. Every position is kept
in every layer, those with a sliding window too: the mask hides what has left a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

LayerKeys = tuple[Tensor, Tensor]
"""Keys and values of one layer. [row, head, position, width]"""


@dataclass
class Kept:
    """Keys and values of all rows of a wave, filled as its forwards go."""

    rows: int
    positions: int
    layers: list[LayerKeys | None]

    @classmethod
    def empty(cls, rows: int, positions: int, layers: int) -> Kept:
        return cls(rows, positions, [None] * layers)

    def layer(self, index: int, like: Sequence[Tensor]) -> LayerKeys:
        """A layer's tensors, made when the first keys show their shape."""
        kept = self.layers[index]
        if kept is None:
            shapes = [(self.rows, t.shape[1], self.positions, t.shape[3]) for t in like]
            kept = like[0].new_empty(shapes[0]), like[1].new_empty(shapes[1])
            self.layers[index] = kept
        return kept

    def prefill(self, slots: slice, base: Sequence[LayerKeys], pairs: Tensor, stop: int) -> None:
        """Gives rows the unpatched run's keys up to `stop`, in every layer."""
        for index, source in enumerate(base):
            for mine, theirs in zip(self.layer(index, source), source, strict=True):
                mine[slots, :, :stop] = chosen(theirs, pairs)[:, :, :stop]

    def full(self) -> tuple[LayerKeys, ...]:
        return tuple(layer for layer in self.layers if layer is not None)


class ForwardLayer(DynamicLayer):
    """One layer of one forward's cache."""

    def __init__(self, index: int, keys: ForwardKeys) -> None:
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
        mine = self.pairs[:rows]
        keys, values = (
            torch.cat([chosen(before[:, :, : self.start], mine), after], dim=2)
            for before, after in zip(self.base[index], new, strict=True)
        )
        return keys, values


def chosen(tensor: Tensor, rows: Tensor) -> Tensor:
    """tensor[rows], without a copy where there is but one row to choose from."""
    return tensor.expand(len(rows), *tensor.shape[1:]) if len(tensor) == 1 else tensor[rows]
