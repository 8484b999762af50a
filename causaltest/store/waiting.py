"""Waiting for a lock that another process holds: without burning a processor, and not in silence for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

SHORTEST_S, LONGEST_S, GROWTH = 0.01, 0.5, 1.3
"""Pauses between two looks: a chunk is run in milliseconds, a plan may take hours."""
LONG_S = 10.0
"""Nobody is told of a wait that is shorter."""
WORK = {"runs": "is running the clean prompts of some of these pairs", "plans": "is measuring the same pairs"}


def patiently(lock: BaseFileLock, kind: str, notice: Callable[[str], None]) -> float:
    """Takes a lock, and gives the seconds that it took. `notice` hears once what is waited for, if it takes long.

    Raises OSError and NotImplementedError where it cannot be locked.
    """
    from filelock import Timeout  # late: nobody who only reads waits for its import

    begun, pause, told = time.monotonic(), SHORTEST_S, False
    while True:
        try:
            lock.acquire(blocking=False)
            return time.monotonic() - begun
        except Timeout:
            waited = time.monotonic() - begun
        if waited >= LONG_S and not told:
            told = True
            notice(f"waiting: another process {work_of(kind)}, and what it finds is read here ({lock.lock_file})")
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_S)


def work_of(kind: str) -> str:
    """What a process does that holds a lock, in the middle of a sentence."""
    return WORK.get(kind, "is answering the same question")
