"""Several processes on one cold store: every clean run and every patched run is computed once, and the reports agree.

Each process logs what it computes, where it computes it (`WATCH`, a plugin); the logs together are held against that
of one process alone. Answers that came from the store leave no line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.faults.result import Result

ROOT = Path(__file__).parents[2]

WATCH = '''
"""Logs every clean run and every plan that this process computes."""
import hashlib, inspect, json, os

def log(**line):
    handle = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, (json.dumps({"pid": os.getpid(), **line}) + "\\n").encode())
    os.close(handle)

def watch_references(inner, rounding):
    signature = inspect.signature(inner)
    def _run(self, *args, **options):
        given = signature.bind(self, *args, **options).arguments
        pairs, chunk, forced, tokens, recorded = map(given.get, ("pairs", "chunk", "forced", "new_tokens", "wanted"))
        before, told = self.runs, [self._told(pairs, chunk, forced), rounding(tokens, recorded, forced)]
        made = inner(self, *args, **options)
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        log(kind="clean", key=key, tokens=tokens, recorded=sorted(recorded), runs=self.runs - before)
        return made
    return _run

def watch_plans(inner):
    def _run(self, plan, *args, **options):
        before = self.counts.patched_runs
        made = inner(self, plan, *args, **options)
        digests = sorted(e.digest for e in getattr(plan, "experiments", plan))
        log(kind="patched", key=" ".join(digests), runs=self.counts.patched_runs - before)
        return made
    return _run

def pytest_configure(config):
    if getattr(config.option, "numprocesses", None):
        return  # who only hands out work opens no model
    from causaltest.measuring.backend import ModelBackend
    from causaltest.measuring.references import References, rounding

    References._run = watch_references(References._run, rounding)
    ModelBackend._run = watch_plans(ModelBackend._run)
'''

CONFTEST = """
import pytest
from causaltest import accuracy, last, resid_post
from causaltest.organisms import {organism}

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:{organism}")

@pytest.fixture(scope="session")
def pairs():
    return {pairs}

@pytest.fixture(scope="session")
def halves(pairs):
    return pairs.split(discovery=0.5, seed=0)

@pytest.fixture(scope="module")
def found(lab, halves):
    return lab.search(halves[0], at=resid_post({layers}, last())).recovery(accuracy)
"""

CLAIMS = """
import pytest
from causaltest import accuracy, at_least, claim, last, logit_diff, negligible, resid_post

@claim("The last token holds it.", at_least(0.5))
@pytest.mark.parametrize("layer", {layers})
def test_last(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)

@claim("File {n} asks something of its own.", at_least(0.2))
def test_own(lab, pairs):
    return lab.denoise(pairs, at=resid_post({own}, last())).recovery(logit_diff(range=(-20, {n} + 20)))

@claim("What was found holds.", at_least(0.5))
def test_found(lab, halves, found):
    return lab.denoise(halves[1], at=found).recovery(accuracy)

@claim("In looks.", at_least(0.3), stopping="obrien-fleming", looks=2)
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post({own}, last())).recovery(accuracy)

@claim("The model answers.", negligible(within=0.1))
def test_reads_a_number(lab, pairs):
    assert lab.clean(pairs).eligible
    return lab.noise(pairs, at=resid_post({own}, last())).drop(accuracy)
"""
"""Files that share pairs, a search and some of their questions; the last claim reads a number in rehearsal."""


@dataclass(frozen=True)
class Organism:
    """On which model, with which pairs, and at which layers."""

    name: str
    pairs: str
    layers: tuple[int, ...]


SMALL = Organism("planted", "planted.pairs(per_cluster=1)", (1, 2))
LARGE = Organism("ducks", "ducks.twins(sentence=1, clusters=24, per_cluster=4, seed=7)", (3, 6, 7))


@dataclass(frozen=True)
class Computed:
    """What processes have computed together, and what each of them has reported."""

    runs: Mapping[str, int]
    """Clean and patched runs of a pair."""
    twice: Mapping[str, int]
    """Those of them that had been computed before."""
    processes: int
    """How many have computed anything."""
    reports: tuple[list[dict[str, Any]], ...]
    """Their claims, without what was computed for each."""
    tables: tuple[list[str], ...]
    """What each has printed of all claims together: the table, and how much was computed."""


def suite(folder: Path, organism: Organism, files: int) -> None:
    """Writes files of claims that share most of what they ask."""
    folder.mkdir()
    said = {"organism": organism.name, "pairs": organism.pairs, "layers": list(organism.layers)}
    (folder / "conftest.py").write_text(CONFTEST.format(**said))
    (folder / "watch.py").write_text(WATCH)
    for n in range(files):
        own = organism.layers[n % len(organism.layers)]
        (folder / f"test_{n}.py").write_text(CLAIMS.format(n=n, own=own, layers=list(organism.layers)))


def computed(folder: Path, name: str, *options: str, store: bool = True, processes: int = 1) -> Computed:
    """Runs the suite in so many processes at once, with a store of their own that is empty."""
    log, reports, started = folder / f"{name}.log", [], []
    for n in range(processes):
        reports.append(folder / f"{name}-{n}.json")
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "watch", *options]
        words += [f"--rootdir={folder}", f"--causal-json={reports[-1]}"]
        words += [f"--causal-cache-dir={folder / name}" if store else "--causal-no-cache", str(folder)]
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CAUSALTEST_CACHE_DIR": str(folder / f"{name}-{n}-cache"),
            "WATCHED": str(log),
        }
        out = (folder / f"{name}-{n}.txt").open("w")
        started.append(subprocess.Popen(words, stdout=out, stderr=out, env=environment, cwd=folder))
        out.close()
    for n, process in enumerate(started):
        if process.wait() not in (0, 1) or not log.exists():
            raise RuntimeError((folder / f"{name}-{n}.txt").read_text())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = tuple([without_runs(one) for one in json.loads(report.read_text())] for report in reports)
    tables = tuple(table_of((folder / f"{name}-{n}.txt").read_text().splitlines()) for n in range(processes))
    return Computed(counted(lines), repeated(lines), len({line["pid"] for line in lines}), told, tables)


def table_of(printed: Sequence[str]) -> list[str]:
    """The section on claims of what pytest has printed, but for how long it has waited for other processes."""
    begin = next(n for n, line in enumerate(printed) if line.strip("= ") == "causal claims")
    end = next((n for n, line in enumerate(printed) if n > begin and line.startswith("==")), None)
    return [line for line in printed[begin + 1 : end] if not line.startswith("store: waited ")]


def without_runs(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claim.items() if name != "runs"}


def counted(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {kind: sum(line["runs"] for line in lines if line["kind"] == kind) for kind in ("clean", "patched")}


def repeated(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Runs of a chunk of which an earlier line went as far and recorded as much; of experiments measured before."""
    clean, seen, twice = list[Mapping[str, Any]](), Counter[str](), {"clean": 0, "patched": 0}
    for line in lines:
        if line["kind"] == "patched":
            again = any(seen[digest] for digest in line["key"].split())
            seen.update(line["key"].split())
        else:
            again = any(
                line["key"] == one["key"]
                and line["tokens"] <= one["tokens"]
                and set(line["recorded"]) <= set(one["recorded"])
                for one in clean
            )
            clean.append(line)
        twice[line["kind"]] += line["runs"] if again else 0
    return twice


def run() -> Sequence[Result]:
    """Four workers of pytest-xdist, and four runs of pytest at once, each on a cold store, against one process."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "claims"
        suite(folder, LARGE, files=8)
        alone = computed(folder, "alone")
        workers = computed(folder, "workers", "-n", "4")
        beside = computed(folder, "beside", processes=4)
    results = []
    for kind in ("clean", "patched"):
        twice = workers.twice[kind] + beside.twice[kind]
        more = max(workers.runs[kind], beside.runs[kind]) - alone.runs[kind]
        results.append(
            Result(
                f"4 processes, one cold store: {kind} runs computed twice",
                "0",
                "0",
                str(max(twice, more)),
                held=twice == 0
                and workers.runs[kind] == beside.runs[kind] == alone.runs[kind]
                and min(workers.processes, beside.processes) > 1,
                how=f"8 files of claims that share pairs, `pytest -n 4` and 4 runs of pytest at once: "
                f"{workers.runs[kind]} and {beside.runs[kind]} {kind} runs in all, by {workers.processes} and "
                f"{beside.processes} of the processes, and {alone.runs[kind]} in one process alone",
            )
        )
    different = sum(
        a != b for report in (*workers.reports, *beside.reports) for a, b in zip(alone.reports[0], report, strict=True)
    )
    results.append(
        Result(
            "The same 4 processes: claims whose report differs from that of one process alone",
            "0",
            "0",
            str(different),
            held=different == 0,
            how=f"every field of {len(alone.reports[0])} claims in {len(workers.reports) + len(beside.reports)} "
            "reports, but for what was computed for each",
        )
    )
    return results
