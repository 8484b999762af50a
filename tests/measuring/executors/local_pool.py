"""A cluster without processes: workers in this one, answered in a drawn order, and lost where the test says."""

from __future__ import annotations

import pickle
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from causaltest.measuring.executors.pool import Answer
from causaltest.measuring.executors.worker import Said, Worker


class LocalPool:
    """Everything that travels is pickled, so that nobody can write into what another has."""

    def __init__(
        self, seed: int = 0, dies: Callable[[int, str, int], bool] = lambda worker, method, call: False
    ) -> None:
        """`dies` is asked before each call is answered: worker, method, and how many calls there were before."""
        self.random, self.dies = random.Random(seed), dies
        self.workers: dict[int, Worker] = {}
        self.queues: dict[int, deque[tuple[int, str, bytes, bool]]] = {}
        self.begun = self.called = self.answered = 0
        self.log: list[tuple[int, str, Any]] = []

    def begin(self) -> int:
        self.begun += 1
        self.workers[self.begun], self.queues[self.begun] = Worker(), deque()
        return self.begun

    def end(self, worker: int) -> None:
        self.workers.pop(worker, None)

    def call(self, worker: int, method: str, arguments: Sequence[Any], *, stays: bool = False) -> int:
        self.called += 1
        self.queues[worker].append((self.called, method, pickle.dumps(list(arguments)), stays))
        return self.called

    def next(self, calls: Sequence[int], seconds: float) -> tuple[int, Answer] | None:
        waiting = [worker for worker, queue in self.queues.items() if queue and queue[0][0] in calls]
        assert waiting, "nobody is at work, so that nothing will ever be heard"
        worker = self.drawn(waiting)
        call, method, arguments, _ = self.queues[worker].popleft()
        self.answered += 1
        if worker not in self.workers or self.dies(worker, method, self.answered):
            self.workers.pop(worker, None)
            return call, Answer(None)
        given = pickle.loads(arguments)
        self.log.append((worker, method, given[0] if given else None))
        try:
            said, result = self.workers[worker].call(method, given)
        except Exception as error:
            return call, Answer(Said(error=error))
        return call, Answer(*pickle.loads(pickle.dumps((said, result))))

    def drawn(self, waiting: list[int]) -> int:
        """Which worker is answered next."""
        return self.random.choice(waiting)

    def share(self, value: Any) -> Any:
        return value
