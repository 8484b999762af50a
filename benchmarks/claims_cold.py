"""`pytest claims/` from nothing: `python benchmarks/claims_cold.py` prints its time and peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cold:
    """One run of the worked example in a process of its own."""

    seconds: float
    peak_gib: float
    said: str
    """pytest's last line."""
    code: int


def measured() -> Cold:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "claims"],
        cwd=ROOT,
        # One thread, as `make claims`: the shipped models are too small to gain from more. And nothing from the store.
        env=os.environ | {"OMP_NUM_THREADS": "1", "CAUSALTEST_NO_CACHE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    said = (done.stdout.splitlines() or [done.stderr[-500:]])[-1]
    return Cold(took, peak, said, done.returncode)


def main() -> None:
    cold = measured()
    print(cold.said)
    print(f"claims, cold: {cold.seconds:.0f} s, peak memory {cold.peak_gib:.2f} GiB")
    sys.exit(cold.code)


if __name__ == "__main__":
    main()
