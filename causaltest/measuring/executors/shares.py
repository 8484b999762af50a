"""Shares: which worker does which task of a plan, so that a chunk's unpatched runs are computed once.

A worker goes on with the chunk that it has begun, then begins another that it has seen, or that nobody has. One that
finds none left helps with a chunk of somebody else, whose unpatched runs it is lent: they were computed once, and
travel once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from causaltest.measuring.batch import Look, Task
from causaltest.measuring.executors.crew import Job


class Looks:
    """What is read of the unpatched runs before anything is patched; remembers who has seen which chunk."""

    def __init__(self, looks: Collection[Look]) -> None:
        self._looks = tuple(looks)
        self._waiting = deque(self._looks)
        self._jobs: dict[Job, Look] = {}
        self._results: dict[Look, Any] = {}
        self.seen: dict[int, Any] = {}
        """Per chunk of the batch's own, the worker that has its runs, if it has kept them."""

    @property
    def finished(self) -> bool:
        return len(self._results) == len(self._looks)

    @property
    def results(self) -> list[Any]:
        return [self._results[look] for look in self._looks]

    def choose(self, worker: Any) -> Job | None:
        if not self._waiting:
            return None
        look = self._waiting.popleft()
        job = Job("taken", (look,), f"the unpatched runs of chunk {look.chunk}")
        self._jobs[job] = look
        return job

    def done(self, worker: Any, job: Job, result: Any) -> None:
        look = self._jobs[job]
        self._results[look] = result
        if look.other is None:
            self.seen[look.chunk] = worker

    def lost(self, worker: Any, job: Job | None) -> None:
        self.seen = {chunk: whose for chunk, whose in self.seen.items() if whose != worker}
        if job is not None:
            self._waiting.appendleft(self._jobs[job])


class Shares:
    """The tasks of a plan."""

    def __init__(
        self, tasks: Collection[Task], workers: int, seen: Mapping[int, Any], heard: Callable[[Task, Any], None]
    ) -> None:
        """`seen`: who has a chunk's unpatched runs already; `heard` is told what each task has read."""
        self._waiting: dict[int, deque[Task]] = {}
        for task in sorted(tasks):
            self._waiting.setdefault(task.chunk, deque()).append(task)
        self._workers, self._heard = workers, heard
        self._left = len(tasks)
        self._seen = dict(seen)
        self._begun: dict[int, Any] = {}
        """Per chunk, the worker that has its runs."""
        self._lent: dict[int, Any] = {}
        """Per chunk, where its runs lie for others; None while they are asked for."""
        self._wanted: set[int] = set()
        """Chunks whose runs others wait for."""
        self._holds: dict[Any, set[int]] = {}
        self._jobs: dict[Job, Task | int] = {}

    @property
    def finished(self) -> bool:
        return self._left == 0

    def choose(self, worker: Any) -> Job | None:
        mine = [chunk for chunk, whose in self._begun.items() if whose == worker]
        for chunk in (*mine, *self._free(worker)):
            if chunk in self._wanted and chunk not in self._lent and self._waiting[chunk]:
                self._begun[chunk] = worker
                return self._lend(chunk)
        held = self._holds.setdefault(worker, set())
        for chunk in (*mine, *sorted(held - set(mine))):
            if self._waiting[chunk]:
                return self._task(chunk)
        free = [*self._free(worker), *self._free(None)]
        if free:
            new = free[0]
            self._begun[new] = worker
            held.add(new)
            # Others will soon find nothing else to begin.
            if len(free) < self._workers and len(self._waiting[new]) > 1:
                self._wanted.add(new)
                return self._lend(new)
            return self._task(new)
        return self._help(worker, held)

    def _free(self, seen_by: Any) -> list[int]:
        """Chunks that nobody has begun, and that this worker alone has seen, or none."""
        free = (chunk for chunk, tasks in self._waiting.items() if tasks and chunk not in self._begun)
        return [chunk for chunk in free if self._seen.get(chunk) == seen_by]

    def _help(self, worker: Any, held: set[int]) -> Job | None:
        """A task of somebody else's chunk: one that was not begun, or with most tasks waiting."""
        full = [chunk for chunk, tasks in self._waiting.items() if tasks]
        full.sort(key=lambda chunk: (chunk in self._begun, -len(self._waiting[chunk])))
        for chunk in full:
            if self._lent.get(chunk) is not None:
                held.add(chunk)
                return self._task(chunk, self._lent[chunk])
        # Of a single task that is begun nobody else can take a part.
        self._wanted.update(c for c in full[:1] if c not in self._begun or len(self._waiting[c]) > 1)
        return None

    def _task(self, chunk: int, lent: Any = None) -> Job:
        task = self._waiting[chunk].popleft()
        place = f"waves {task.first} to {task.last} of chunk {chunk}"
        job = Job("run", (task,) if lent is None else (task, lent), place)
        self._jobs[job] = task
        return job

    def _lend(self, chunk: int) -> Job:
        self._lent[chunk] = None
        place = f"the unpatched runs of chunk {chunk}"
        job = Job("lend", (chunk,), place, stays=True)
        self._jobs[job] = chunk
        return job

    def done(self, worker: Any, job: Job, result: Any) -> None:
        of = self._jobs.pop(job)
        if not isinstance(of, Task):
            self._lent[of] = result
            return
        self._left -= 1
        self._heard(of, result)
        if not self._waiting[of.chunk]:
            self._lent.pop(of.chunk, None)

    def lost(self, worker: Any, job: Job | None) -> None:
        """What it had begun, another begins; what it has lent may be lost with it, and is not lent again."""
        self._holds.pop(worker, None)
        self._seen = {chunk: whose for chunk, whose in self._seen.items() if whose != worker}
        for chunk in [chunk for chunk, whose in self._begun.items() if whose == worker]:
            del self._begun[chunk]
            self._lent.pop(chunk, None)
            self._wanted.discard(chunk)
        if job is not None:
            of = self._jobs.pop(job)
            if isinstance(of, Task):
                self._waiting[of.chunk].appendleft(of)
