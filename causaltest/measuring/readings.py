"""Readings: what the arms of a batch gave, gathered as its tasks are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causaltest.asking.metrics import Metric
from causaltest.errors import CausaltestError
from causaltest.measuring.chunk_runs import Side
from causaltest.measuring.planner import Ints
from causaltest.measuring.scores import Floats


@dataclass(frozen=True)
class Apart:
    """How far answer logits of three arms are apart, over some pairs."""

    largest: float
    """The largest logit of the unpatched run, in size."""
    off: float
    """The most that the same unpatched run is off where it is computed as patched ones are."""
    moved: float
    """The most that a patch moves a logit of that."""

    def __or__(self, other: Apart) -> Apart:
        """Over the pairs of both. What is no number stays none."""
        return Apart(
            *(float(np.maximum(getattr(self, n), getattr(other, n))) for n in ("largest", "off", "moved")),
        )


@dataclass(frozen=True)
class Comparison:
    """Which arms are compared: one that is patched, the unpatched one beside it, and the unpatched run."""

    own: int | Side
    unpatched: int | Side
    side: Side

    def apart(self, logits: dict[int | Side, Tensor], pairs: Tensor, own: Tensor) -> Apart:
        """Over the pairs of a chunk for which `unpatched` was run, and of these those for which the patched one was."""
        there = logits[self.unpatched]
        whole = logits[self.side][:, : there.shape[1]]
        return Apart(
            largest=float(whole[pairs].abs().max()),
            off=float((there[pairs] - whole[pairs]).abs().max()),
            moved=float((logits[self.own][own] - there[own]).abs().max()),
        )


@dataclass
class Readings:
    """What the arms of a batch gave, pairs of all chunks in one order."""

    scores: dict[tuple[int | Side, Metric], Floats] = field(default_factory=dict)
    """Per arm, or unpatched run, and metric: [pair], without the metric's range."""
    finite: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    logits: dict[int | Side, Tensor] = field(default_factory=dict)
    """[pair, step, column], of the arms whose logits are compared; NaN for a pair that was not run."""
    apart: dict[int, Apart] = field(default_factory=dict)
    """Per comparison of a batch, in place of the logits, once all of them are in."""
    distances: dict[int, Floats] = field(default_factory=dict)
    """Per Vectors whose distances were asked for: [pair]"""
    missed: dict[int, Floats] = field(default_factory=dict)
    """Per Meeting: [pair]"""
    owned: dict[Metric, Floats] = field(default_factory=dict)
    """Per metric, whether the corrupt run gives its own answer: [pair]"""
    refused: dict[tuple[int | Side, Metric], CausaltestError] = field(default_factory=dict)
    """Metrics that could not be read."""
    ran: dict[int, list[Ints]] = field(default_factory=dict)
    """Per arm, the pairs of its chunk that were run, wave by wave."""

    @property
    def patched_runs(self) -> int:
        """How many were made for them."""
        return sum(len(pairs) for waves in self.ran.values() for pairs in waves)


@dataclass(frozen=True, order=True)
class Task:
    """Waves of one chunk, counted through all sides and steps of it, that are run one after the other."""

    chunk: int
    first: int
    last: int
    """The first that is not its."""


class Gathering:
    """Readings of all pairs, from those of tasks in any order. What is read of a chunk is closed with its last task."""

    def __init__(self, sizes: Sequence[int], tasks: Sequence[Task], close: Callable[[int, Readings], None]) -> None:
        """`sizes`: the pairs of each chunk; `close`: puts comparisons in the place of a chunk's logits."""
        self._begins = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self._close = close
        self._missing: dict[int, set[Task]] = {}
        for task in tasks:
            self._missing.setdefault(task.chunk, set()).add(task)
        self._open: dict[int, dict[Task, Readings]] = {}
        self._refused: dict[int, dict[tuple[int | Side, Metric], CausaltestError]] = {}
        self._out = Readings()

    def add(self, task: Task, readings: Readings) -> None:
        """What a task has read."""
        self._open.setdefault(task.chunk, {})[task] = readings
        self._missing[task.chunk].discard(task)
        if not self._missing[task.chunk]:
            parts = self._open.pop(task.chunk)
            whole = merged([parts[task] for task in sorted(parts)])
            self._close(task.chunk, whole)
            self._take(task.chunk, whole)

    def together(self) -> Readings:
        """What all tasks have read, pairs of all chunks in one order."""
        out = self._out
        for number in sorted(self._refused):
            out.refused.update(self._refused[number])
        for key in out.refused:
            out.scores.pop(key, None)
            if key[0] == "corrupt":
                out.owned.pop(key[1], None)
        return out

    def _take(self, number: int, readings: Readings) -> None:
        """Puts a chunk in its place among all pairs."""
        if readings.refused:
            self._refused[number] = readings.refused
        begin, end, total = self._begins[number], self._begins[number + 1], self._begins[-1]
        for name in ("scores", "owned", "finite", "distances", "missed"):
            into = getattr(self._out, name)
            for key, values in getattr(readings, name).items():
                if key not in into:
                    into[key] = np.zeros(total, dtype=values.dtype)
                into[key][begin:end] = values
        for index, apart in readings.apart.items():
            known = self._out.apart.get(index)
            self._out.apart[index] = apart if known is None else known | apart


@dataclass(frozen=True)
class Closing:
    """What becomes of a chunk's logits when its last task is done: those of all pairs would not fit."""

    sizes: tuple[int, ...]
    """The pairs of each chunk."""
    comparisons: tuple[Comparison, ...]
    few: frozenset[int]
    """Arms that are run for the first pair of each chunk alone."""

    def gathering(self, tasks: Sequence[Task]) -> Gathering:
        """Where what these tasks have read is put together."""
        return Gathering(self.sizes, tasks, self.close)

    def close(self, number: int, readings: Readings) -> None:
        """Compares a chunk's logits, and lets go of them."""
        for index, comparison in enumerate(self.comparisons):
            pairs, own = (self._ran(number, arm) for arm in (comparison.unpatched, comparison.own))
            readings.apart[index] = comparison.apart(readings.logits, pairs, own)
        readings.logits.clear()

    def _ran(self, number: int, arm: int | Side) -> Tensor:
        return torch.arange(1 if arm in self.few else self.sizes[number])


def merged(parts: Sequence[Readings]) -> Readings:
    """The readings of one chunk's tasks, of which each has some pairs of some arms. They stay as they are: a part that
    is to be kept may not have been written yet."""
    out = copied(parts[0])
    for part in parts[1:]:
        for arm, waves in part.ran.items():
            pairs = np.concatenate(waves)
            out.ran.setdefault(arm, []).extend(waves)
            for key in [key for key in part.scores if key[0] == arm]:
                put(out.scores, key, part.scores[key], pairs)
            if arm in part.finite:
                put(out.finite, arm, part.finite[arm], pairs)
            if arm in part.logits:
                put(out.logits, arm, part.logits[arm], torch.from_numpy(pairs))
        for key, error in part.refused.items():
            out.refused.setdefault(key, error)
    return out


def copied(readings: Readings) -> Readings:
    """The same, to be written into."""
    out = replace(readings)
    for name in ("scores", "finite"):
        setattr(out, name, {key: values.copy() for key, values in getattr(readings, name).items()})
    for name in ("apart", "distances", "missed", "owned", "refused"):
        setattr(out, name, dict(getattr(readings, name)))
    out.logits = {arm: logits.clone() for arm, logits in readings.logits.items()}
    out.ran = {arm: list(waves) for arm, waves in readings.ran.items()}
    return out


def put(into: dict[Any, Any], key: object, values: Any, pairs: Any) -> None:
    """Some pairs' values in place of those that are there, or all where there are none."""
    if key in into:
        into[key][pairs] = values[pairs]
    else:
        into[key] = values
