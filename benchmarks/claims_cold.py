"""`pytest claims/` from nothing: `python benchmarks/claims_cold.py` prints its time and peak memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    root = Path(__file__).parent.parent
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "claims"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(done.stdout.splitlines()[-1])
    print(f"claims, cold: {took:.0f} s, peak memory {peak:.2f} GiB")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
