"""Attention heads: how many, how wide, and which columns of a projection belong to which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from torch import nn

Projected = Literal["q", "k", "v"]


@dataclass(frozen=True)
class Heads:
    """A block's attention heads: how many ask, how many are asked, and how wide each is."""

    queries: int
    keys: int
    width: int

    def count(self, which: Projected) -> int:
        return self.queries if which == "q" else self.keys

    @property
    def columns(self) -> int:
        """Of q, k and v together."""
        return (self.queries + 2 * self.keys) * self.width


Parts = tuple[range, ...]
Layout = Callable[[Heads, Projected], Parts]
"""Each head's columns of the one projection that gives q, k and v."""


def stacked(heads: Heads, which: Projected) -> Parts:
    """All q, then all k, then all v."""
    before = {"q": 0, "k": heads.queries, "v": heads.queries + heads.keys}[which]
    return side_by_side(heads.count(which), heads.width, first=before * heads.width)


def interleaved(heads: Heads, which: Projected) -> Parts:
    """q, k and v of the first head, then of the second. [head, 3, width]"""
    first = get_args(Projected).index(which) * heads.width
    return side_by_side(heads.queries, heads.width, first=first, stride=3 * heads.width)


def grouped(heads: Heads, which: Projected) -> Parts:
    """Each group's queries, then the key and the value that they share. [group, queries + 2, width]"""
    shared, width = heads.queries // heads.keys, heads.width
    group = (shared + 2) * width
    if which != "q":
        return side_by_side(heads.keys, width, first=(shared + (which == "v")) * width, stride=group)
    starts = (g * group + n * width for g in range(heads.keys) for n in range(shared))
    return tuple(range(start, start + width) for start in starts)


QUARTERS = 4


def quartered(heads: Heads, which: Projected) -> Parts:
    """As CodeGen was trained, on four devices: each quarter's q, then its v, then its k. [quarter, 3, head, width]"""
    each, width = heads.queries // QUARTERS, heads.width
    before = ("q", "v", "k").index(which) * each
    starts = ((quarter * 3 * each + before + n) * width for quarter in range(QUARTERS) for n in range(each))
    return tuple(range(start, start + width) for start in starts)


def layouts(heads: Heads) -> Iterator[Layout]:
    """The ways in which one projection may hold q, k and v. Which it is, is seen from what they move."""
    yield stacked
    if heads.queries == heads.keys:
        yield interleaved
        if heads.queries % QUARTERS == 0:
            yield quartered
    elif heads.queries % heads.keys == 0:
        yield grouped


@cache
def side_by_side(count: int, width: int, *, first: int = 0, stride: int | None = None) -> Parts:
    """`count` ranges of one width; made once, since an MLP has ten thousand neurons in every layer."""
    starts = (first + n * (width if stride is None else stride) for n in range(count))
    return tuple(range(start, start + width) for start in starts)


def width_in(module: nn.Module) -> int | None:
    """What a projection reads; GPT-2's own kind of linear map has other names for its widths."""
    width: int | None = getattr(module, "in_features", getattr(module, "nx", None))
    return width


def width_out(module: nn.Module) -> int | None:
    width: int | None = getattr(module, "out_features", getattr(module, "nf", None))
    return width
