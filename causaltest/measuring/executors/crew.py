"""Crew: workers who are told the same, and share jobs. Who is lost is replaced, and their jobs are done again.

A new worker is told all that the others were told before it is given a job. Which worker does which job, and how
often, changes no number: a job's answer follows from what all were told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from causaltest.errors import WorkersError
from causaltest.measuring.executors.pool import Answer, Call, Pool
from causaltest.measuring.executors.worker import Said

MOST_DEATHS = 3
"""Workers that one job may end, one after the other."""
PATIENCE_S = 900.0
"""How long nothing may be heard of any worker while none is up: a cluster that grows takes minutes."""


class OutOfMemory(Exception):
    """A worker's memory ran out."""


@dataclass(eq=False)
class Job:
    """A call of any worker."""

    method: str
    arguments: tuple[Any, ...] = ()
    name: str = ""
    """What errors call it."""
    stays: bool = False
    """Whether its result stays where it is, to be lent."""


@dataclass(eq=False)
class Step(Job):
    """A call that every worker gets."""

    answers: list[Any] = field(default_factory=list)
    """The first worker's answer, which every other's must be."""


class Jobs(Protocol):
    """What is to be done, and in which order."""

    @property
    def finished(self) -> bool: ...
    def choose(self, worker: Any) -> Job | None:
        """A job for a worker who has none; None: there is none for it now."""
        ...

    def done(self, worker: Any, job: Job, result: Any) -> None: ...
    def lost(self, worker: Any, job: Job | None) -> None:
        """A worker is lost, and with it the job that it had."""
        ...


class Crew:
    """The workers of one model."""

    def __init__(self, pool: Pool, count: int) -> None:
        self.pool, self.count = pool, count
        self.up = Step("up", name="coming up")
        """The first step of all: who has taken it has a place, however long the next one takes."""
        self.steps: list[Step] = [self.up]
        self.counts: dict[tuple[Any, str], Mapping[str, int]] = {}
        """Per worker, those lost too, and model, what it has computed."""
        self.replaced = 0
        self._told: dict[Any, int] = {}
        """Per worker, how many steps it has taken."""
        self._calls: dict[Call, tuple[Any, Job, Jobs | None]] = {}

    @property
    def ready(self) -> list[Any]:
        """The workers that are up, and were told all there is to tell."""
        return [worker for worker, told in self._told.items() if told == len(self.steps)]

    def tell(self, steps: Sequence[Step], *, after: int) -> None:
        """From here, all workers are told these in place of all behind the first `after`."""
        self.steps[after:] = steps
        self._told = {worker: min(told, after) for worker, told in self._told.items()}

    def run(self, jobs: Jobs) -> None:
        """Has all jobs done. Raises what a worker raised, OutOfMemory, and WorkersError."""
        deaths: Counter[tuple[str, str]] = Counter()
        while not jobs.finished:
            while len(self._told) < self.count:
                self._told[self.pool.begin()] = 0
            at_work = {worker for worker, _, _ in self._calls.values()}
            for worker in [worker for worker in self._told if worker not in at_work]:
                self._occupy(worker, jobs)
            heard = self.pool.next(list(self._calls), PATIENCE_S)
            if heard is None:
                self._refuse_silence()
                continue
            call, answer = heard
            worker, job, whose = self._calls.pop(call)
            if answer.said is None:
                deaths[job.method, job.name] += 1
                self._replace(worker)
                jobs.lost(worker, job if whose is jobs else None)
                # Workers of one machine are lost together, and all may be at one step.
                most = MOST_DEATHS * (self.count if isinstance(job, Step) else 1)
                refuse_deadly(job, deaths[job.method, job.name], most)
            else:
                self._hear(worker, job, answer, answer.said, jobs if whose is jobs else None)
                del deaths[job.method, job.name]

    def _occupy(self, worker: Any, jobs: Jobs) -> None:
        told = self._told[worker]
        job = self.steps[told] if told < len(self.steps) else jobs.choose(worker)
        if job is not None:
            call = self.pool.call(worker, job.method, job.arguments, stays=job.stays)
            self._calls[call] = worker, job, None if isinstance(job, Step) else jobs

    def _hear(self, worker: Any, job: Job, answer: Answer, said: Said, jobs: Jobs | None) -> None:
        self.counts[worker, said.model] = said.counts
        if isinstance(job, Step):
            if self.steps[self._told[worker] :][:1] != [job]:
                return  # the others have gone on to something else
        elif jobs is None:
            return
        if said.error is not None:
            raise said.error
        if said.out_of_memory:
            raise OutOfMemory
        if not isinstance(job, Step):
            assert jobs is not None
            jobs.done(worker, job, answer.result)
            return
        if job.answers and job.answers[0] != answer.result:
            raise WorkersError(
                f"Two workers are not alike: asked to {job.method}, one says {answer.result}, and another "
                f"{job.answers[0]}. Their numbers would differ. Use machines of one kind."
            )
        job.answers[:] = [answer.result]
        self._told[worker] += 1

    def _replace(self, worker: Any) -> None:
        """Forgets a worker that was lost; another will take its place."""
        del self._told[worker]
        self.pool.end(worker)
        self.replaced += 1

    def _refuse_silence(self) -> None:
        if not any(self._told.values()):
            raise WorkersError(
                f"No worker came up within {PATIENCE_S:.0f} s: the cluster has no room for one. `ray status` says what "
                "it has and what is asked for; lower --causal-gpus-per-worker, or OMP_NUM_THREADS, of which each "
                "worker takes as many processors."
            )


def refuse_deadly(job: Job, deaths: int, most: int) -> None:
    """Raises WorkersError where a job has ended one worker after the other."""
    if deaths >= most:
        raise WorkersError(
            f"{deaths} workers ended one after the other at {job.name or job.method}, and not by an error: as by a "
            "machine that kills what takes too much memory. Look at the workers' logs, lower --causal-memory, or give "
            "each worker more room."
        )


class Each:
    """Some jobs, in any order, each with its result."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._count = len(jobs)
        self.results: dict[Job, Any] = {}

    @property
    def finished(self) -> bool:
        return len(self.results) == self._count

    def choose(self, worker: Any) -> Job | None:
        return self._waiting.pop(0) if self._waiting else None

    def done(self, worker: Any, job: Job, result: Any) -> None:
        self.results[job] = result

    def lost(self, worker: Any, job: Job | None) -> None:
        if job is not None:
            self._waiting.insert(0, job)
