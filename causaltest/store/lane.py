"""Lane: questions to an address, asked in threads of their own, so that nobody waits for one that hangs."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from causaltest.store.address import opened

AT_ONCE = 8
Place = tuple[Any, str]
"""A file system, and the path on it."""


@dataclass(order=True)
class Task:
    """Something to do at an address."""

    urgency: int
    number: int
    do: Callable[[Any, str], Any] = field(compare=False)
    done: threading.Event = field(compare=False, default_factory=threading.Event)
    result: Any = field(compare=False, default=None)
    error: Exception | None = field(compare=False, default=None)


class Lane:
    """A client of an address. One that computes asynchronously is asked several things at once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._place: Place | None = None
        self._opening = threading.Lock()
        self._todo: queue.PriorityQueue[Task] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._threads = 0

    def ask(self, do: Callable[[Any, str], Any], *, urgency: int = 0) -> Task:
        """Has something done with the file system and the path on it; what is least urgent comes last."""
        task = Task(urgency, next(self._numbers), do)
        self._todo.put(task)
        if not self._threads:
            self._start()
        return task

    def _start(self) -> None:
        self._threads += 1
        # Not waited for at the end of the process: what hangs there hangs alone.
        threading.Thread(target=self._work, name="causaltest store", daemon=True).start()

    def _work(self) -> None:
        while True:
            task = self._todo.get()
            try:
                task.result = task.do(*self._opened())
            except Exception as error:
                # Every kind of address has errors of its own.
                task.error = error
            task.done.set()

    def _opened(self) -> Place:
        """Opened by the first who needs it, for that may take long."""
        with self._opening:
            if self._place is None:
                self._place = opened(self._address)
                for _ in range(AT_ONCE - 1 if getattr(self._place[0], "async_impl", False) else 0):
                    self._start()
            return self._place
