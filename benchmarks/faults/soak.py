"""Thousands of claims in one session: what a process holds after the first two hundred must not grow with them.

The claims are about the wired organism, on a new set of pairs every 16 claims, so that plans, clean runs and effects
come and go as they do in a long suite. The resident memory is read after every claim.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.result import Result

CLAIMS, FIRST, TOGETHER = 2_000, 200, 16
"""Claims in all, those that memory may be filled by, and those on one set of pairs."""
MEMORY = "16MB"
"""Declared for measuring: clean runs fill a share of it, and what comes on top is what grows."""
MOST_MB = 50
CONFTEST = """
import os
import pytest

PAGE = os.sysconf("SC_PAGE_SIZE")

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

def pytest_runtest_logfinish(nodeid, location):
    with open("/proc/self/statm") as statm, open("memory", "a") as kept:
        print(int(statm.read().split()[1]) * PAGE, file=kept)
"""
SUITE = """
import functools
import itertools
import pytest
from causaltest import Pairs, accuracy, at_least, claim, logit_diff, resid_post, span
from causaltest.organisms import planted

@functools.lru_cache(2)
def pairs(seed):
    return planted.pairs(per_cluster=1, seed=seed)

SITES = list(itertools.product(range(4), ["value", "rest"], [accuracy, logit_diff(range=(-40, 40))]))

@claim("The value is there.", at_least(0.1))
@pytest.mark.parametrize("n", range({claims}))
def test_value(lab, n):
    layer, name, metric = SITES[n % len(SITES)]
    return lab.denoise(pairs(n // len(SITES)), at=resid_post(layer, span(name))).recovery(metric)
"""


@dataclass(frozen=True)
class Soaked:
    """Resident memory of a session, after each of its claims, in bytes."""

    resident: tuple[int, ...]
    patched_runs: int

    def growth_mb(self, first: int = FIRST) -> float:
        """How much more the session holds at most while the last plan is measured than while that of its first claims
        was: what is held rises and falls with each plan."""
        before, after = self.resident[first - TOGETHER : first], self.resident[-TOGETHER:]
        return (max(after) - max(before)) / 1e6


def run() -> Sequence[Result]:
    found = soaked(CLAIMS)
    growth = found.growth_mb()
    figure = f"soak: {CLAIMS:,} claims in one session: growth of memory after the first {FIRST}"
    how = (
        f"the wired organism, new pairs every {TOGETHER} claims, with a store, --causal-memory={MEMORY}; "
        f"{found.patched_runs:,} patched runs; resident memory, the most of {TOGETHER} claims"
    )
    return [Result(figure, f"under {MOST_MB} MB", "0", f"{growth:.0f} MB", growth < MOST_MB, how)]


def soaked(claims: int) -> Soaked:
    """Runs a session of so many claims."""
    with tempfile.TemporaryDirectory(prefix="causaltest-soak-") as place:
        folder = Path(place)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_soak.py").write_text(SUITE.format(claims=claims))
        (folder / "pytest.ini").write_text("[pytest]\n")
        words = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "--rootdir=."]
        words += [f"--causal-memory={MEMORY}", f"--causal-cache-dir={folder / 'store'}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CAUSALTEST_CACHE_DIR": str(folder / "cache")}
        environment.pop("CAUSALTEST_NO_CACHE", None)
        environment |= {"PYTHONPATH": str(Path(__file__).parents[2])}
        ran = subprocess.run([*words, "."], cwd=folder, env=environment, capture_output=True, text=True)
        numbers = tuple(map(int, (folder / "memory").read_text().split()))
        runs = re.search(r"([0-9,]+) patched runs", ran.stdout)
        if len(numbers) != claims or runs is None or " error" in ran.stdout.splitlines()[-1]:
            raise RuntimeError(f"{len(numbers)} of {claims} claims ran: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        return Soaked(numbers, int(runs[1].replace(",", "")))
