"""Two things timed side by side: in turn, in one process, and compared repetition by repetition."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timed:
    """How long something took, and what it gave."""

    seconds: float
    gave: Any


@dataclass(frozen=True)
class Paired:
    """Repetitions of two things, the same number of each."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times as long theirs took, per repetition."""
        return tuple(b / a for a, b in zip(self.ours, self.theirs, strict=True))


def timed(work: Callable[[], Any]) -> Timed:
    gc.collect()
    start = time.perf_counter()
    gave = work()
    return Timed(time.perf_counter() - start, gave)


def paired(
    ours: Callable[[], Timed], theirs: Callable[[], Timed], *, repeats: int, check: Callable[[Any, Any], None]
) -> Paired:
    """Both in turn, the order turned round each time; `check` raises where what they gave differs."""
    seconds: list[tuple[float, float]] = []
    for n in range(repeats):
        if n % 2:
            b, a = theirs(), ours()
        else:
            a, b = ours(), theirs()
        check(a.gave, b.gave)
        seconds.append((a.seconds, b.seconds))
        print(f"    {a.seconds:.3f} s beside {b.seconds:.3f} s", file=sys.stderr, flush=True)
    first, second = zip(*seconds, strict=True)
    return Paired(first, second)


def median(values: tuple[float, ...]) -> float:
    return statistics.median(values)
