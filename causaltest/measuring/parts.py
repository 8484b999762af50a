"""Parts: what the tasks of a plan have read, kept in the store until the plan is at its end.

A run that is interrupted loses what it has not kept, about a second's work; the next one reads the parts, and runs the
tasks that are missing. A part that is damaged is set aside, and the tasks in it are run again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from causaltest import errors
from causaltest.asking.experiment import canonical_metric
from causaltest.asking.metrics import Metric
from causaltest.errors import CausaltestError
from causaltest.measuring.kept_runs import raw_of, tensor_of
from causaltest.measuring.readings import Closing, Readings, Task
from causaltest.store.entry import Entry
from causaltest.store.journal import GAP, PART
from causaltest.store.kept import Kept
from causaltest.writing.raw_tensors import Raw

EVERY_S = 1.0


class Parts:
    """The tasks of one plan that were run."""

    def __init__(self, kept: Kept, members: Sequence[str], flags: dict[str, bool], how: Sequence[Any]) -> None:
        """`members` are the digests of the plan's experiments; `flags` what else is read of them.

        `how` is plain data that decide the plan's waves besides: the memory and the shortcuts. A part of other waves
        is another plan's: it is passed over.
        """
        self._kept, self._how = kept, list(how)
        self._plan = [sorted(members), {name: True for name in sorted(flags) if flags[name]}]
        self._waves: list[list[int]] = []
        self._tasks: list[list[int]] = []
        self._readings: list[dict[str, Any]] = []
        self._arrays: dict[str, Raw] = {}
        self._written = 0
        self._last = time.monotonic()

    def each(self, tasks: Collection[Task]) -> Iterator[dict[Task, Readings]]:
        """What was kept of an earlier run of this plan, of which `tasks` are all; part by part, so that nobody needs
        to hold what all pairs have given."""
        last: dict[int, int] = {}
        for task in tasks:
            last[task.chunk] = max(task.last, last.get(task.chunk, 0))
        self._waves = [list(each) for each in sorted(last.items())]
        mine, missing, n = frozenset(tasks), 0, 0
        while missing < GAP:
            entry = self._kept.get(PART, [*self._plan, n])
            n += 1
            missing = missing + 1 if entry is None else 0
            if entry is not None:
                self._written = n
                yield self._taken(entry, n - 1, mine)

    def ran(self, task: Task, readings: Readings) -> None:
        """Keeps what a task has read, together with others that took about a second.

        It is written down now: readings are merged with others, in place, as soon as they are handed on.
        """
        self._readings.append(written(readings, f"{len(self._tasks)}/", self._arrays))
        self._tasks.append([task.chunk, task.first, task.last])
        if time.monotonic() - self._last >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Keeps what was run since."""
        if self._tasks:
            said = {"how": self._how, "waves": self._waves, "tasks": self._tasks, "readings": self._readings}
            self._kept.put(PART, [*self._plan, self._written], Entry(said, self._arrays))
            self._written += 1
            self._tasks, self._readings, self._arrays = [], [], {}
            self._last = time.monotonic()

    def done(self) -> None:
        """The plan is at its end: once its effects are kept, its parts are not needed."""
        self._kept.passing.extend([(PART, [*self._plan, n]) for n in range(self._written)])

    def _taken(self, entry: Entry, n: int, tasks: Collection[Task]) -> dict[Task, Readings]:
        """The tasks of one part that are this plan's."""
        if [entry.said.get("how"), entry.said.get("waves")] != [self._how, self._waves]:
            return {}
        try:
            told = [Task(*place) for place in entry.said["tasks"]]
            return {
                task: readings_of(entry, f"{number}/", entry.said["readings"][number])
                for number, task in enumerate(told)
                if task in tasks
            }
        except (LookupError, TypeError, ValueError, AttributeError) as wrong:
            why = f"it holds no readings ({type(wrong).__name__}: {wrong})"
            self._kept.set_aside(PART, [*self._plan, n], entry, why)
            return {}


class Resumed:
    """A plan's readings: those that an earlier run has kept, and those of its tasks as they are run.

    Used in a `with`: what was run is kept however it ends, by Ctrl-C too.
    """

    def __init__(self, closing: Closing, tasks: Sequence[Task], parts: Parts | None) -> None:
        """`parts` is where what was run is kept until all of it was; None: nowhere."""
        self._gathering, self._parts = closing.gathering(tasks), parts
        known: set[Task] = set()
        self.known_runs = 0
        """Patched runs that were kept."""
        for some in () if parts is None else parts.each(tasks):
            for task in [task for task in some if task not in known]:
                self.known_runs += some[task].patched_runs
                self._gathering.add(task, some[task])
                known.add(task)
        self.missing = [task for task in tasks if task not in known]

    def __enter__(self) -> Resumed:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._parts is not None:
            self._parts.flush()

    def ran(self, task: Task, readings: Readings) -> None:
        """What a task has read, which from here is nobody else's: it is merged with others in place."""
        if self._parts is not None:
            self._parts.ran(task, readings)
        self._gathering.add(task, readings)

    def together(self) -> Readings:
        """What all tasks have read."""
        return self._gathering.together()


def written(readings: Readings, prefix: str, arrays: dict[str, Raw]) -> dict[str, Any]:
    """What can be said of readings in JSON; their numbers go to `arrays`."""

    def kept(name: str, values: Any) -> str:
        tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))
        arrays[f"{prefix}{name}"] = raw_of(tensor.clone())
        return name

    return {
        "scores": [
            [arm, plain(metric), kept(f"scores/{n}", v)] for n, ((arm, metric), v) in enumerate(readings.scores.items())
        ],
        "owned": [[plain(metric), kept(f"owned/{n}", v)] for n, (metric, v) in enumerate(readings.owned.items())],
        "refused": [
            [arm, plain(metric), type(error).__name__, str(error)] for (arm, metric), error in readings.refused.items()
        ],
        "ran": [[arm, kept(f"ran/{arm}", np.concatenate(waves))] for arm, waves in readings.ran.items()],
        **{
            name: [[key, kept(f"{name}/{key}", v)] for key, v in getattr(readings, name).items()]
            for name in ("finite", "logits", "distances", "missed")
        },
    }


def readings_of(entry: Entry, prefix: str, said: Any) -> Readings:
    """The inverse of `written`."""

    def tensor(name: str) -> torch.Tensor:
        return tensor_of(entry.arrays[f"{prefix}{name}"], torch.device("cpu"))

    return Readings(
        scores={(arm, metric_of(metric)): tensor(name).numpy() for arm, metric, name in said["scores"]},
        owned={metric_of(metric): tensor(name).numpy() for metric, name in said["owned"]},
        refused={(arm, metric_of(metric)): error_of(kind, text) for arm, metric, kind, text in said["refused"]},
        ran={arm: [tensor(name).numpy()] for arm, name in said["ran"]},
        finite={arm: tensor(name).numpy() for arm, name in said["finite"]},
        logits={arm: tensor(name) for arm, name in said["logits"]},
        distances={n: tensor(name).numpy() for n, name in said["distances"]},
        missed={n: tensor(name).numpy() for n, name in said["missed"]},
    )


def plain(metric: Metric) -> dict[str, Any]:
    return canonical_metric(metric) | {"kind": metric.kind}


def metric_of(said: dict[str, Any]) -> Metric:
    """The inverse of `plain`."""
    span = said["range"]
    return Metric(**{**said, "range": None if span is None else (float(span[0]), float(span[1]))})


def error_of(kind: str, text: str) -> CausaltestError:
    made = getattr(errors, kind)
    if not (isinstance(made, type) and issubclass(made, CausaltestError)):
        raise ValueError(f"{kind} is no error of a measurement")
    return made(text)
