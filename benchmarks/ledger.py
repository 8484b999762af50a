"""The ledger under many writers, and what reading it takes.

    python benchmarks/ledger.py [PROCESSES] [LINES]

Prints the lines that came back of those written, whether their hashes hold, and seconds.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from causaltest.recording.clock import now
from causaltest.recording.ledger import NAME, Ledger, broken
from causaltest.recording.versions import versions


def write(file: Path, name: int, count: int) -> None:
    ledger = Ledger(file)
    for n in range(count):
        line = {
            "kind": "look",
            "at": now(),
            "claim": f"test_claims.py::test_{name}",
            "spec": "5" * 64,
            "data": "d" * 64,
            "seed": str(n),
            "status": "EXPLORATORY",
            "reason": "not registered",
            "verdict": "SUPPORTED",
            "estimate": 0.5,
            "lower": 0.4,
            "upper": 0.6,
            "n": 256,
            "alpha": 0.05,
            "versions": versions(),
        }
        ledger.append(lambda _, line=line: line)  # type: ignore[misc]


def main(processes: int = 16, count: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        begun = time.perf_counter()
        writers = [multiprocessing.Process(target=write, args=(file, name, count)) for name in range(processes)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        written = time.perf_counter() - begun
        begun = time.perf_counter()
        lines = Ledger(file).lines
        read = time.perf_counter() - begun
        begun = time.perf_counter()
        problems = broken(lines)
        checked = time.perf_counter() - begun
        begun = time.perf_counter()
        command = [sys.executable, "-m", "causaltest.cli", "ledger", "--folder", folder]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        listed = time.perf_counter() - begun
        different = len({(line["claim"], line["seed"]) for line in lines})
        print(f"{processes} processes x {count} lines: {len(lines)} lines, {different} of them different")
        print(f"hashes that do not hold: {len(problems)}; {file.stat().st_size / 1e6:.1f} MB")
        print(f"written in {written:.1f} s, read in {read:.2f} s, checked in {checked:.2f} s")
        print(f"causaltest ledger, the whole command: {listed:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
