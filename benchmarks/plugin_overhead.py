"""What the plugin adds to a suite without claims: `python benchmarks/plugin_overhead.py`.

Runs one empty test in a process of its own, with the plugin and without it, in turn, and prints
the median of the paired differences.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PAIRS = 40


def seconds(folder: Path, *options: str) -> float:
    """Processor time of one run: steadier than the clock where others share the machine."""
    start = used()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return used() - start


def used() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        runs = [(seconds(folder), seconds(folder, "-p", "no:causaltest")) for _ in range(PAIRS)]
    added = statistics.median(1000 * (a - b) for a, b in runs)
    whole = statistics.median(1000 * b for _, b in runs)
    print(f"plugin: adds {added:.1f} ms to {whole:.0f} ms (median of {PAIRS} pairs)")


if __name__ == "__main__":
    main()
