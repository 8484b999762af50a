"""Worker: a process that has the model, opens the plans it is told to, and runs the tasks it is given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from causaltest.asking.pairs import Pairs
from causaltest.asking.settings import Settings
from causaltest.effect import Effect, SelfPatch
from causaltest.errors import CausaltestError, RecordError, WorkersError
from causaltest.measuring.backend import ModelBackend, open_backend, out_of_memory
from causaltest.measuring.batch import Batch, Look, Task
from causaltest.measuring.budget import Budget
from causaltest.measuring.executors.packed import (
    Lent,
    borrowed,
    lent,
    packed_readings,
    packed_taken,
    unpacked_readings,
    unpacked_taken,
)
from causaltest.measuring.kept_shortcuts import said_of, shortcuts_of
from causaltest.measuring.plans import Plan
from causaltest.measuring.readings import Closing
from causaltest.measuring.study import Study
from causaltest.store.surroundings import surroundings_of
from causaltest.sweep import SweepMap


@dataclass(frozen=True)
class Outline:
    """A plan as a worker has worked it out from the experiments: alike on every worker."""

    tasks: tuple[Task, ...]
    looks: tuple[Look, ...]
    closing: Closing
    patched_runs: int
    parts_key: Any


@dataclass(frozen=True)
class Said:
    """What a worker says of a call beside its result."""

    error: BaseException | None = None
    """One that was raised on purpose; a pool says here, too, what nobody had in mind."""
    out_of_memory: bool = False
    model: str = ""
    """What the model that it is at was called by whoever had it loaded."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What it has computed with that model so far."""


@dataclass(frozen=True)
class Opened:
    """The plan that a worker is at."""

    plan: Plan
    batch: Batch
    studies: Sequence[Study]


class Worker:
    """Models in one process, and the plan that it is at."""

    def __init__(self) -> None:
        self._backends: dict[str, ModelBackend] = {}
        self._model = ""
        self._opened: Opened | None = None
        self._lent: Counter[str] = Counter()

    def call(self, method: str, arguments: Sequence[Any]) -> tuple[Said, Any]:
        """What a method gives. Errors that are raised on purpose, and memory that ran out, are told; any other is
        raised."""
        error, full, result = None, False, None
        try:
            result = getattr(self, method)(*arguments)
        except CausaltestError as raised:
            error = raised
        except (MemoryError, RuntimeError) as raised:
            if not out_of_memory(raised):
                raise
            full = True
        return Said(error, full, self._model, self.counts()), result

    @property
    def backend(self) -> ModelBackend:
        return self._backends[self._model]

    @property
    def opened(self) -> Opened:
        assert self._opened is not None
        return self._opened

    def _close(self) -> None:
        """Forgets the plan that it was at."""
        if self._opened is not None:
            self._opened.batch.let_go()
            self._opened = None

    def counts(self) -> dict[str, int]:
        counted = self.backend.counted() if self._model in self._backends else {}
        return {**counted, "lent_bytes": self._lent[self._model]}

    # What every worker is told before it is asked for anything, in this order.

    def up(self) -> None:
        """Says that it is there."""

    def load(self, model: str, name: str, settings: Settings, here: Here) -> dict[str, str]:
        """Loads a model, once; from here, what is asked is asked of it. `model` is what it is called.

        Raises WorkersError where this machine would measure something else than the one that asks; gives what all
        workers must have in common.
        """
        if os.path.isdir(here.folder):
            os.chdir(here.folder)
        torch.set_num_threads(here.threads)
        self._close()
        self._model = model
        if model not in self._backends:
            refuse_unlike(name, here, surrounded(name, settings))
            self._backends[model] = open_backend(name, None, None, settings)
        loaded = self.backend.loaded
        gpu = torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else ""
        return {
            "device": gpu or loaded.device.type,
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
        }

    def within(self, budget: Budget) -> None:
        """From here, measures within another budget."""
        self._close()
        if self.backend.references.budget != budget:
            self.backend.within(budget)

    def proven(self, said: Mapping[str, Any]) -> None:
        """From here, the shortcuts hold that one of the workers has proven, or one of an earlier run."""
        self._close()
        self.backend.proven(shortcuts_of(said, self.backend.loaded))

    def begin(self, plan: Plan) -> Outline:
        """Opens a plan in place of the one before."""
        self._close()
        batch, studies = self.backend.opened(plan)
        self._opened = Opened(plan, batch, studies)
        references = self.backend.references
        return Outline(
            tasks=batch.tasks(whole_chunks=plan.arms is not None),
            looks=batch.looks(),
            closing=batch.closing,
            patched_runs=batch.patched_runs,
            parts_key=plan.parts_key(references.shortcuts, references.budget.bytes),
        )

    def put(self, taken: Sequence[Sequence[Any]]) -> None:
        """Keeps what all workers together have taken of the unpatched runs, look by look."""
        batch = self.opened.batch
        for look, some in zip(batch.looks(), taken, strict=True):
            batch.put(look, unpacked_taken(some, self.backend.loaded.device))
        batch.settle()

    # What any one of them is asked.

    def prove(self, pairs: Pairs) -> Mapping[str, Any]:
        """Which shortcuts hold for the model: what all are told then."""
        self.backend.prove(pairs)
        return said_of(self.backend.references.shortcuts)

    def taken(self, look: Look) -> list[Any]:
        """What the plan needs of a chunk before anything is patched."""
        return packed_taken(self.opened.batch.taken(look))

    def lend(self, chunk: int) -> Lent:
        """A chunk's unpatched runs, for another worker."""
        out = lent(self.opened.batch.lend(chunk))
        self._lent[self._model] += out.nbytes
        return out

    def run(self, task: Task, runs: Lent | None = None) -> dict[str, Any]:
        """What a task has read; `runs` are its chunk's, where another worker has computed them."""
        opened, backend = self.opened, self.backend
        if runs is not None:
            opened.batch.borrow(task.chunk, borrowed(runs, backend.loaded.device))
        return packed_readings(opened.batch.run_task(task, backend.counting(lambda _: None), opened.plan.arms))

    def effects(self, readings: Mapping[str, Any]) -> list[Effect | CausaltestError]:
        """Per experiment of the plan, what was measured, or why nothing was."""
        return self.backend.effects(self.opened.plan, self.opened.studies, unpacked_readings(readings))

    def mapped(self, rows: Sequence[str], columns: Sequence[str], readings: Mapping[str, Any]) -> SweepMap:
        """The map that the cells of the plan make."""
        opened = self.opened
        return self.backend.mapped(opened.plan, rows, columns, opened.studies, unpacked_readings(readings))

    def neutral(self, readings: Mapping[str, Any]) -> SelfPatch:
        """How far the patch of the plan moves any answer logit."""
        (study,) = self.opened.studies
        return study.neutral(unpacked_readings(readings), study.patched.arm)

    def ask(self, method: str, arguments: Sequence[Any]) -> Any:
        """What the model's own backend answers."""
        return getattr(self.backend, method)(*arguments)


@dataclass(frozen=True)
class Here:
    """The process that asks: what a worker must be like, so that it measures the same."""

    folder: str
    """Where it works; names of models may be paths from there."""
    threads: int
    """How many torch computes with: another number may give other last bits."""
    surrounded: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, settings: Settings) -> Here:
        return cls(os.getcwd(), torch.get_num_threads(), surrounded(name, settings))


def surrounded(name: str, settings: Settings) -> Mapping[str, Any]:
    """The model by its files, the versions and the source; not the devices, which are the workers' own."""
    try:
        plain = surroundings_of(name, settings).plain
    except RecordError:
        return {}
    return {field: value for field, value in plain.items() if field != "devices"}


def refuse_unlike(name: str, here: Here, there: Mapping[str, Any]) -> None:
    """Raises WorkersError where a worker would measure something else than the process that asks."""
    unlike = sorted(field for field in {*here.surrounded, *there} if here.surrounded.get(field) != there.get(field))
    if unlike:
        raise WorkersError(
            f"A worker on {os.uname().nodename} would measure something else than this process: {', '.join(unlike)} of "
            f"{name} differ there. Give every machine the same files under the same paths, and the same versions of "
            "Python's packages."
        )
