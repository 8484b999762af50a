"""Disks that fill up, stores that cannot be written, clocks that are set back: no verdict may be lost or another.

The same suite runs beside each fault, twice, so that the second run meets whatever the first has left.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.faults.result import Result
from causaltest.store.layout import lying

ROOT = Path(__file__).parents[2]
YEAR_S = 365 * 86400
CLAIMS = """
import pytest
from causaltest import *
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@pytest.fixture(scope="module")
def pairs():
    return planted.pairs(per_cluster=1)

@pytest.mark.parametrize("layer", [1, 2, 3])
@claim("The reader holds the value.", at_least(0.5))
def test_reader(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)

@claim("A decoy holds it.", at_least(0.3), stopping="anytime", looks=3)
def test_decoy(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, span("value"))).recovery(accuracy)

def test_map(lab, pairs):
    swept = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)
    assert swept.best is not None
"""
TOLD = "told.txt"
"""What the stores of all runs beside a fault had to tell."""
Verdicts = Mapping[str, tuple[object, ...]]
Suite = Callable[[Path], Verdicts]
"""Runs the suite over a store; what it says of each claim."""
Fault = Callable[[Path, Path], AbstractContextManager[Path]]
"""Makes a store, in a folder, that has a fault while the suite runs; perhaps of one that a run has filled."""


def run() -> Sequence[Result]:
    """Every fault, and the whole of pytest in a process of its own."""
    from tests.warm import Warm  # late: the short form has it as a fixture

    with tempfile.TemporaryDirectory() as name, Warm() as server:
        folder = Path(name)
        pytest_on = Runs(server)
        warm = folder / "undisturbed" / "store"
        undisturbed = pytest_on.suite(warm.parent)(warm)
        mounts = can_mount(folder)
        faults = FAULTS | (MOUNTED if mounts else {})
        missed = {
            fault: verdicts_lost(faults[fault], folder / str(n), warm, undisturbed, pytest_on)
            for n, fault in enumerate(faults)
        }
        if mounts:
            missed["a ledger on a full disk"] = ledger_lost(folder / "ledger", undisturbed, pytest_on)
    told = ", ".join(missed) + ("" if mounts else "; not those that take a mount, which only root may make")
    return [
        Result(
            "disk full, read-only store, clock set back: verdicts lost",
            "0",
            "0",
            str(sum(missed.values())),
            held=not any(missed.values()) and len(undisturbed) == 4,
            how=f"4 claims and a map, two runs each: {told}",
        )
    ]


class Server(Protocol):
    """Where commands run that would each take seconds to import torch."""

    def run(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], output: Path) -> int: ...


@dataclass(frozen=True)
class Runs:
    """Makes suites, each run of which is a process of its own."""

    server: Server

    def suite(self, folder: Path, *options: str, claims: Path | None = None) -> Suite:
        """Pytest on the claims; `folder` is where nothing fails."""
        claims = claims or folder / "claims"
        for place in (folder, claims):
            place.mkdir(parents=True, exist_ok=True)
        (claims / "test_claims.py").write_text(CLAIMS)
        (folder / "run.py").write_text(PYTEST)
        report, output = folder / "report.json", folder / "output.txt"

        def suite(store: Path) -> Verdicts:
            report.unlink(missing_ok=True)
            words = ["python", str(folder / "run.py"), "-q", "-p", "no:cacheprovider", f"--rootdir={claims}"]
            words += [f"--causal-json={report}", f"--causal-cache-dir={store}", *options, str(claims)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAUSALTEST_NO_CACHE": ""}
            # what was seen, and the hashes of weights, lie on the same disk
            environment |= {"CAUSALTEST_CACHE_DIR": f"{store}/beside", "PYTHONDONTWRITEBYTECODE": "1"}
            self.server.run(words, folder, environment, output)
            with (folder / TOLD).open("a") as told:
                told.writelines(f"{line}\n" for line in output.read_text().splitlines() if line.startswith("store: "))
            if not report.exists() or "INTERNALERROR" in output.read_text():
                return {"": (output.read_text(),)}
            return {one["id"]: verdict_of(one) for one in json.loads(report.read_text())}

        return suite


PYTEST = f"""
import os, resource, sys, time

if limit := int(os.environ.get("FILE_LIMIT", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
if os.environ.get("SET_BACK"):
    told = time.time
    time.time = lambda: told() - {YEAR_S}
sys.path.insert(0, {str(ROOT)!r})
import pytest

sys.exit(pytest.main(sys.argv[1:]))
"""
"""Pytest, by a clock that may have been set back, and with a limit to what may be written to a file."""


def verdicts_lost(fault: Fault, folder: Path, warm: Path, undisturbed: Verdicts, pytest_on: Runs) -> int:
    """Verdicts of two runs beside a fault that are missing, or others than those of the run that has filled `warm`."""
    suite = pytest_on.suite(folder)
    with fault(folder, warm) as store:
        return sum(lost(undisturbed, suite(store)) for _ in range(2))


def lost(undisturbed: Verdicts, found: Verdicts) -> int:
    return sum(found.get(claim) != verdict for claim, verdict in undisturbed.items())


def verdict_of(one: Mapping[str, object]) -> tuple[object, ...]:
    # Which experiments are measured together moves the last bits, and a fault decides which are.
    numbers = (one[name] for name in ("estimate", "lower", "upper"))
    return (one["verdict"], *(None if n is None else round(float(str(n)), 9) for n in numbers))


# Faults that any user can have


@contextmanager
def with_variable(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextmanager
def file_limit(folder: Path, warm: Path) -> Iterator[Path]:
    """No file may become larger than a few kilobytes: writing fails in its midst, as on a disk that fills up."""
    # The report is one, too.
    with with_variable("FILE_LIMIT", "30000"):
        yield folder / "store"


@contextmanager
def file_in_its_place(folder: Path, warm: Path) -> Iterator[Path]:
    """Nobody can write or read there, root neither."""
    (folder / "store").write_text("a file")
    yield folder / "store"


@contextmanager
def folders_in_the_place_of_entries(folder: Path, warm: Path) -> Iterator[Path]:
    store = shutil.copytree(warm, folder / "store")
    for one in list(lying(store)):
        os.unlink(one.path)
        os.mkdir(one.path)
    yield store


@contextmanager
def wrongly_dated(folder: Path, warm: Path) -> Iterator[Path]:
    """What is kept is dated a year ahead, as after a clock was set back, or as of 1970; half of it is gone."""
    store = shutil.copytree(warm, folder / "store")
    for n, one in enumerate(sorted(lying(store), key=str)):
        at = time.time() + YEAR_S if n % 2 else 0.0
        os.utime(one.path, (at, at))
        if n % 4 < 2:
            os.unlink(one.path)
    yield store


@contextmanager
def set_back(folder: Path, warm: Path) -> Iterator[Path]:
    """A run, and then the clock goes a year back."""
    store = shutil.copytree(warm, folder / "store")
    with with_variable("SET_BACK", "1"):
        yield store


FAULTS: dict[str, Fault] = {
    "a limit to files": file_limit,
    "a file in the store's place": file_in_its_place,
    "folders in the place of entries": folders_in_the_place_of_entries,
    "entries of 1970 and of the next year": wrongly_dated,
    "a clock set back by a year": set_back,
}

# Faults that take a mount of their own


def mount(place: Path, *how: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *how, str(place)], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, *, size: str, more: str = "", filled: bool = False) -> Iterator[Path]:
    place = folder / "disk"
    mount(place, "-t", "tmpfs", "-o", f"size={size}{more}", "tmpfs")
    try:
        if filled:
            fill(place)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    """Writes until nothing more fits."""
    handle = os.open(place / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(handle, bytes(4096))
    except OSError:
        os.close(handle)


@contextmanager
def full(folder: Path, warm: Path) -> Iterator[Path]:
    with small_disk(folder, size="64k", filled=True) as place:
        yield place / "store"


@contextmanager
def filling_up(folder: Path, warm: Path) -> Iterator[Path]:
    with small_disk(folder, size="128k") as place:
        yield place / "store"


@contextmanager
def without_inodes(folder: Path, warm: Path) -> Iterator[Path]:
    with small_disk(folder, size="64m", more=",nr_inodes=12") as place:
        yield place / "store"


@contextmanager
def read_only(folder: Path, warm: Path, *, filled: bool = False) -> Iterator[Path]:
    store, seen = folder / "store", folder / "seen"
    if filled:
        shutil.copytree(warm, store)
    else:
        store.mkdir(parents=True)
    mount(seen, "--bind", str(store))
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(seen)], check=True, capture_output=True)
        yield seen
    finally:
        subprocess.run(["umount", "-l", str(seen)], check=True)


@contextmanager
def read_only_and_warm(folder: Path, warm: Path) -> Iterator[Path]:
    with read_only(folder, warm, filled=True) as store:
        yield store


MOUNTED: dict[str, Fault] = {
    "a full disk": full,
    "a disk that fills up": filling_up,
    "a disk without inodes": without_inodes,
    "an empty read-only store": read_only,
    "a warm read-only store": read_only_and_warm,
}


def ledger_lost(folder: Path, undisturbed: Verdicts, pytest_on: Runs) -> int:
    """Verdicts lost where the claims are registered, and the disk of their ledger is full."""
    with small_disk(folder, size="256k") as place:
        claims = place / "claims"
        pytest_on.suite(folder, "--causal-register", claims=claims)(folder / "store")
        if not (claims / "claims.lock").exists():
            raise AssertionError("the claims were not registered")
        suite = pytest_on.suite(folder, claims=claims)
        fill(place)
        return sum(lost(undisturbed, suite(folder / "store")) for _ in range(2))


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder / "tried", size="64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
