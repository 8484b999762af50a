"""Two workers of one core each, against one: the same 400 patched runs, by the clock and counted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.faults.ray_work import ask, one_machine, same, saved, serial, some_pairs, workers
from benchmarks.faults.result import Result
from causaltest.sweep import SweepMap

PAIRS, SITES, TOKENS, TIMES = 40, 10, 64, 3
AT_LEAST, AIM = 1.7, 1.9


@dataclass(frozen=True)
class Compared:
    """What two workers took against one."""

    speeds: tuple[float, ...]
    seconds: tuple[float, ...]
    """Of the one."""
    patched_runs: int
    twice: int
    """Unpatched runs that were computed by both."""
    different: int
    """Maps that were not those of one process, to the last bit."""


def compared(
    *, pairs: int = PAIRS, sites: int = SITES, tokens: int = TOKENS, times: int = TIMES, **sizes: int
) -> Compared:
    """Asks one worker and two in turns, each time of new pairs. Loading the model is not timed."""
    speeds, seconds, different = [], [], 0
    with saved(**sizes) as name, one_machine(3):
        one, two, plain = workers(name, 1), workers(name, 2), serial(name)
        before = [backend.counted() for backend in (one, two)]
        for n in range(times):
            mine, took, made_by = some_pairs(pairs, tokens, seed=n), list[float](), list[SweepMap]()
            for backend in (one, two):
                start = time.perf_counter()
                made = ask(backend, mine, sites)
                took.append(time.perf_counter() - start)
                made_by.append(made)
            wanted = ask(plain, mine, sites)
            different += sum(not same(made, wanted) for made in made_by)
            seconds.append(took[0])
            speeds.append(took[0] / took[1])
        after = [backend.counted() for backend in (one, two)]
    (by_one, by_two) = ({k: a[k] - b[k] for k in a} for a, b in zip(after, before, strict=True))
    twice = by_two["reference_runs"] - by_one["reference_runs"]
    return Compared(tuple(speeds), tuple(seconds), by_two["patched_runs"] // times, twice, different)


def run() -> Sequence[Result]:
    found = compared()
    speed = statistics.median(found.speeds)
    return [
        Result(
            figure="Ray, 2 workers with one core each, against one: speed on 400 patched runs",
            at_least=f"{AT_LEAST} x",
            aim=f"{AIM} x",
            measured=f"{speed:.2f} x",
            held=speed >= AT_LEAST and not found.twice and not found.different,
            how=f"a random model as large as GPT-2 small; {found.patched_runs} patched runs, "
            f"{statistics.median(found.seconds):.0f} s by one; median of {len(found.speeds)} in turns "
            f"({min(found.speeds):.2f} to {max(found.speeds):.2f}); {found.twice} clean runs computed twice; "
            f"{found.different} of {2 * len(found.speeds)} maps different from one process's",
        )
    ]
