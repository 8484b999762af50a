"""The warm run: `pytest claims/` where nothing has changed, as a whole process, and whether it imports torch.

A process is run as a person runs it: with Python's cache of bytecode, and with a report of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.result import Result

ROOT = Path(__file__).parents[2]
REPEATS = 5
LEAST_S, AIM_S = 3.0, 2.0
HEAVY = ("torch", "transformers", "scipy.stats", "matplotlib")
"""Each takes longer to import than it takes to judge a suite."""
WATCHED = (
    "import sys, pytest; status = pytest.main(sys.argv[1:]); "
    f"print(*[name for name in {HEAVY} if name in sys.modules], sep=','); sys.exit(status)"
)
CHANGES = ("runs", "seen", "status_reason")
"""What another run of the same claims says otherwise: where its numbers came from, and that there was one before."""


@dataclass(frozen=True)
class Ran:
    """One run of pytest, in a process of its own."""

    seconds: float
    heavy: tuple[str, ...]
    """Which of HEAVY it has imported."""
    report: str
    """The text of --causal-json, without what another run of the same claims says otherwise."""
    counts: dict[str, int]
    printed: str


def run() -> Sequence[Result]:
    """Cold once, then warm several times."""
    with tempfile.TemporaryDirectory() as place:
        cold, *warm = [pytest(ROOT / "claims", Path(place), root=ROOT, bytecode=True) for _ in range(1 + REPEATS)]
    seconds = sorted(one.seconds for one in warm)
    middle = statistics.median(seconds)
    without_torch = not any("torch" in one.heavy for one in warm)
    same = all(one.report == cold.report and one.counts["anew"] == 0 for one in warm)
    return [
        Result(
            "warm `pytest claims/`, whole process",
            f"{LEAST_S:.0f} s, no torch import",
            f"{AIM_S:.0f} s",
            f"{middle:.1f} s, {'no torch import' if without_torch else 'torch imported'}",
            held=middle <= LEAST_S and without_torch and same and "torch" in cold.heavy,
            how=f"the median of {REPEATS} processes, from {seconds[0]:.1f} to {seconds[-1]:.1f} s, after a cold one of "
            f"{cold.seconds:.0f} s; {'the same report' if same else 'another report'}",
        )
    ]


def pytest(claims: Path, place: Path, *options: str, root: Path | None = None, bytecode: bool = False) -> Ran:
    """Runs claims with everything that is kept between runs in `place`, Python's `bytecode` too where it is timed.

    Raises CalledProcessError unless all tests pass.
    """
    report = place / "report" / "report.json"
    words = [str(claims), "-q", "-p", "no:cacheprovider", f"--rootdir={root or claims}"]
    words += [f"--causal-cache-dir={place / 'store'}", f"--causal-json={report}", *options]
    kept = {
        "CAUSALTEST_CACHE_DIR": str(place / "cache"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    left_out = ["CAUSALTEST_NO_CACHE", "PYTEST_ADDOPTS"]
    if bytecode:
        kept["PYTHONPYCACHEPREFIX"] = str(place / "bytecode")
        left_out.append("PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in left_out} | kept
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *words], capture_output=True, text=True, env=environment, check=True
    )
    seconds = time.perf_counter() - start
    *printed, imported = ran.stdout.splitlines()
    told: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))
    counts = {name: sum(one["runs"].get(name, 0) for one in told) for name in ("stored", "anew", "patched_runs")}
    said = [{name: value for name, value in one.items() if name not in CHANGES} for one in told]
    return Ran(seconds, tuple(filter(None, imported.split(","))), json.dumps(said), counts, "\n".join(printed))
