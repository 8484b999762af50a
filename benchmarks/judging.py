"""What judging costs: `python benchmarks/judging.py` prints the seconds for 1,000 claims of 634 pairs.

Each claim is judged at its own alpha of .05 by 10,000 resamples: the whole verdict, not the bootstrap
alone. Run it in processes of their own for one thread and for two, beside `scipy.stats.bootstrap`
on five of the same claims, scaled.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

CLAIMS, PAIRS, RESAMPLES, REPEATS, SCIPY_CLAIMS = 1_000, 634, 10_000, 5, 5
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
KINDS = ("continuous", "ratio", "binary", "continuous, single precision", "continuous, with a placebo", "with a range")


def effects(kind: str):
    import numpy as np

    from causaltest import Effect, Waived

    rng = np.random.default_rng(0)
    for _ in range(CLAIMS):
        values = np.clip(rng.normal(0.5, 0.2, PAIRS), 0, 1)
        below = rng.uniform(1, 3, PAIRS) if kind == "ratio" else None
        if kind == "binary":
            values = (values > 0.4).astype(float)
        if kind == "ratio":
            values = values * below
        if kind == "continuous, single precision":
            values = values.astype(np.float32)
        yield Effect.from_values(
            values,
            kind="binary" if kind == "binary" else "ratio" if kind == "ratio" else "continuous",
            iid=True,
            denominators=below,
            range=(0.0, 1.0) if kind == "with a range" else None,
            placebo=rng.normal(0, 0.1, PAIRS) if kind == "continuous, with a placebo" else Waived("a benchmark"),
        )


def seconds(work: Callable[[], object], repeats: int, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """The median time of some work; by `time.process_time` steadier where others share the machine."""
    took = []
    for _ in range(repeats):
        start = clock()
        work()
        took.append(clock() - start)
    return statistics.median(took)


def scipy_seconds(sample: list) -> float:
    """scipy.stats.bootstrap of a few effects, scaled to all."""
    import numpy as np
    from scipy import stats

    def ratio(above, below, axis=-1):
        return above.sum(axis=axis) / below.sum(axis=axis)

    def work() -> None:
        for effect in sample:
            values, below = effect.measured.values, effect.measured.denominators
            data, statistic = ((values,), np.mean) if below is None else ((values, below), ratio)
            stats.bootstrap(
                data, statistic, paired=below is not None, n_resamples=RESAMPLES, rng=np.random.default_rng(0)
            )

    return seconds(work, 3) * CLAIMS / len(sample)


def measure() -> None:
    from causaltest import at_least
    from causaltest.judging.judge import judge, judge_family

    for kind in KINDS:
        family = list(effects(kind))
        predictions = [at_least(0.3)] * CLAIMS
        repeats = 1 if kind == "with a range" else REPEATS

        def work(family: list = family, predictions: list = predictions) -> None:
            judge_family(family, predictions, family_size=1, resamples=RESAMPLES)

        work()
        took = seconds(work, repeats)
        processor = seconds(work, repeats, clock=time.process_time)
        alone = seconds(lambda effect=family[0]: judge(effect, at_least(0.3), resamples=RESAMPLES), REPEATS)
        line = f"  {kind + ':':<31}{took:6.2f} s   processor {processor:6.2f} s   one alone {1000 * alone:5.1f} ms"
        if kind in ("continuous", "ratio"):
            theirs = scipy_seconds(family[:SCIPY_CLAIMS])
            line += f"   scipy's bootstrap alone {theirs:6.1f} s, {theirs / took:.0f} times as long"
        print(line, flush=True)


def main() -> None:
    if "--measure" in sys.argv:
        measure()
        return
    print(f"{CLAIMS:,} claims of {PAIRS} pairs, {RESAMPLES:,} resamples")
    for threads in (1, 2):
        print(f"{threads} thread{'s' if threads > 1 else ''}:", flush=True)
        settings = os.environ | dict.fromkeys(THREADS, str(threads))
        subprocess.run([sys.executable, __file__, "--measure"], env=settings, check=True)


if __name__ == "__main__":
    main()
