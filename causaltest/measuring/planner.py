"""The planner: patched runs as rows, rows into few forwards.

A patch at block l and position t of a causal model changes nothing before t and nothing below l.
So a row begins at its first patched position, with the unpatched run's keys and values before it,
and joins the batch at the block of its lowest patch, with the unpatched run's residual stream. Rows
that begin together share one forward, which grows on the way up; later segments (thoughts,
generated tokens) carry on all rows of a wave at once.

A plan is plain numbers. How it is cut depends on the rows and the limits only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from causaltest.measuring.timeline import Segment

Ints = NDArray[np.int64]

EMBEDDING = -1
"""Joins before the first block, with an embedding of its own."""


@dataclass(frozen=True)
class Limits:
    """How large a forward and a wave may be."""

    tokens: int
    """Most tokens of one forward."""
    rows: int
    """Most rows whose keys are kept for later segments."""
    forward_costs: int
    """What a forward costs beside its tokens, in tokens: starts this close share one."""


@dataclass(frozen=True)
class Rows:
    """Patched runs of one chunk. Each array has an entry per row."""

    arm: Ints
    pair: Ints
    start: Ints
    join: Ints
    """The block at whose input a row joins; EMBEDDING; or the number of blocks: after the last."""

    def __len__(self) -> int:
        return len(self.pair)

    def at(self, index: Ints | slice) -> Rows:
        return Rows(self.arm[index], self.pair[index], self.start[index], self.join[index])


@dataclass(frozen=True)
class Step:
    """One forward: which positions, and which slots of the wave, in the order in which they join."""

    segment: int
    start: int
    stop: int
    first: int
    joins: tuple[tuple[int, int], ...]
    """(block, rows), ascending."""

    @property
    def rows(self) -> int:
        return sum(count for _, count in self.joins)

    @property
    def last(self) -> int:
        return self.first + self.rows

    def token_layers(self, layers: int) -> int:
        """Tokens times the blocks that compute them."""
        return (self.stop - self.start) * sum(count * (layers - max(block, 0)) for block, count in self.joins)


@dataclass(frozen=True)
class Wave:
    """Rows that run to their end together; slot n of every forward is row n."""

    rows: Rows
    steps: tuple[Step, ...]
    whole: bool = False
    """Every forward computes all positions so far, and no keys are kept."""


def plan(rows: Rows, segments: Sequence[Segment], layers: int, limits: Limits, *, whole: bool = False) -> list[Wave]:
    """The waves of a chunk's rows. `whole`: no shortcut holds for the model, all is computed."""
    if whole:
        zero = np.zeros_like(rows.start)
        rows = Rows(rows.arm, rows.pair, zero, zero + EMBEDDING)
        size = max(1, limits.tokens // segments[-1].stop)
        return [whole_wave(part, segments) for part in blocks_of(rows.at(order(rows.pair)), size)]
    rows = floored(rows, segments)
    if len(segments) == 1:
        groups = merged(rows.start, limits)
        begin, stop = begins(rows.start, groups), segments[0].stop
        # By all that tells rows apart, so that the order in which they were given cuts nothing differently.
        rows, begin = sorted_by(rows, begin, begin, rows.pair, rows.join, rows.start)
        edges = np.searchsorted(begin, [*groups, stop])
        return [
            Wave(part, (Step(0, start, stop, 0, counted(part.join)),))
            for start, low, high in zip(groups, edges[:-1], edges[1:], strict=True)
            for some in even(rows.at(slice(low, high)), max(1, limits.tokens // (stop - start)))
            for part in [some.at(order(some.join))]
        ]
    rows = rows.at(order(rows.pair, rows.start, rows.join))
    # All rows of a wave share each later forward, so those are held to the limit here.
    together = limits.tokens // max(s.stop - s.start for s in segments[1:])
    return [wave(part, segments, limits) for part in even(rows, max(1, min(limits.rows, together)))]


def wave(rows: Rows, segments: Sequence[Segment], limits: Limits) -> Wave:
    """Rows in the order in which they join, and the forwards that carry them."""
    number = np.searchsorted([s.start for s in segments], rows.start, side="right") - 1
    groups = merged(rows.start[number == 0], limits)
    begin = np.where(number == 0, begins(rows.start, groups), rows.start)
    slots = order(begin, rows.join)
    rows, begin, number = rows.at(slots), begin[slots], number[slots]
    steps: list[Step] = []
    for start in groups:
        inside = np.flatnonzero(begin == start)
        size = max(1, limits.tokens // (segments[0].stop - start))
        for part in np.array_split(inside, -(-len(inside) // size)):
            steps.append(Step(0, start, segments[0].stop, int(part[0]), counted(rows.join[part])))
    for index, segment in enumerate(segments[1:], start=1):
        before, now = int((number < index).sum()), rows.join[number == index]
        joins = np.concatenate([np.full(before, EMBEDDING), now])
        if len(joins):
            steps.append(Step(index, segment.start, segment.stop, 0, counted(joins)))
    return Wave(rows, tuple(steps))


def from_start(rows: Rows, segments: Sequence[Segment]) -> Wave:
    """Rows that begin at their embedding, at the first position: unpatched runs."""
    return Wave(rows, tuple(Step(n, s.start, s.stop, 0, ((EMBEDDING, len(rows)),)) for n, s in enumerate(segments)))


def whole_wave(rows: Rows, segments: Sequence[Segment]) -> Wave:
    """The rows from their first position, each forward over everything so far."""
    return Wave(
        rows, tuple(Step(n, 0, s.stop, 0, ((EMBEDDING, len(rows)),)) for n, s in enumerate(segments)), whole=True
    )


def floored(rows: Rows, segments: Sequence[Segment]) -> Rows:
    """Rows begin at any token of the prompt, and at the first token of a later segment."""
    starts = np.array([s.start for s in segments])
    number = np.searchsorted(starts, rows.start, side="right") - 1
    return Rows(rows.arm, rows.pair, np.where(number == 0, rows.start, starts[number]), rows.join)


def merged(starts: Ints, limits: Limits) -> list[int]:
    """The positions at which forwards begin: a start joins the one before it where that costs less than a forward."""
    present, counts = np.unique(starts, return_counts=True)
    groups: list[int] = []
    behind = 0
    for place in range(len(present) - 1, -1, -1):
        behind += int(counts[place])
        gap = int(present[place] - present[place - 1]) if place else None
        if gap is None or behind * gap > limits.forward_costs:
            groups.append(int(present[place]))
            behind = 0
    return groups[::-1]


def begins(starts: Ints, groups: Sequence[int]) -> Ints:
    """For each start, the group that it is in: the last one that begins no later."""
    if not len(groups):
        return starts
    edges = np.array(groups)
    return edges[np.maximum(np.searchsorted(edges, starts, side="right") - 1, 0)]


def even(rows: Rows, size: int) -> Iterator[Rows]:
    """The rows in parts of nearly equal length, none above `size`."""
    parts = -(-len(rows) // size)
    for part in range(parts):
        yield rows.at(slice(part * len(rows) // parts, (part + 1) * len(rows) // parts))


def blocks_of(rows: Rows, size: int) -> Iterator[Rows]:
    for at in range(0, len(rows), size):
        yield rows.at(np.arange(at, min(at + size, len(rows))))


def counted(joins: Ints) -> tuple[tuple[int, int], ...]:
    """(block, rows) of those that join, ascending."""
    counts = np.bincount(joins - EMBEDDING).tolist()
    return tuple((block + EMBEDDING, count) for block, count in enumerate(counts) if count)


def sorted_by(rows: Rows, beside: Ints, *keys: Ints) -> tuple[Rows, Ints]:
    """Rows, and an array beside them, in the order of keys."""
    index = order(*keys)
    return rows.at(index), beside[index]


def order(*keys: Ints) -> Ints:
    """The stable order by the first key, then the second, ..."""
    return np.lexsort(keys[::-1])
