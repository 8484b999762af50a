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
from unittest import mock

from benchmarks.faults.result import Result
from causaltest.recording.ledger import NAME, parse_ledger
from causaltest.store.layout import file_of, lying
from tests.kinds import PLANTED
from tests.records import commit, repository

ROOT = Path(__file__).parents[2]
YEAR_S = 365 * 86400
CLAIMS = f"""
{PLANTED}
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
"""What all runs beside a fault had to tell, and what else shows that it struck."""
TELLING = ("store: ", "clock: ", "EXPLORATORY: ")
"""How the lines of an output begin that tell of a fault."""
SMALL = "--causal-cache-size=2MB"
"""Less than the suite keeps, so that what was used longest ago goes."""
Verdicts = Mapping[str, tuple[object, ...]]
Suite = Callable[[Path], Verdicts]
"""Runs the suite over a store; what it says of each claim, its standing last."""
CLOCK, LEDGER = "a clock set back by a year", "a ledger on a full disk"
"""Faults of the record, for which the claims are registered."""
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
        came = {
            fault: beside(fault, faults[fault], folder / str(n), warm, undisturbed, pytest_on)
            for n, fault in enumerate(faults)
        }
        came[CLOCK] = clock_set_back(folder / "clock", undisturbed, pytest_on)
        if mounts:
            came[LEDGER] = ledger_on_a_full_disk(folder / "ledger", undisturbed, pytest_on)
    told = ", ".join(came) + ("" if mounts else "; not those that take a mount, which only root may make")
    told += "".join(f"; {fault}: {sentence}" for fault, one in came.items() for sentence in one.problems)
    return [
        Result(
            "disk full, read-only store, clock set back: verdicts lost",
            "0",
            "0",
            str(sum(one.lost for one in came.values())),
            held=not any(one.lost or one.problems for one in came.values()) and len(undisturbed) == 4,
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
            tell(folder, *(line for line in output.read_text().splitlines() if line.startswith(TELLING)))
            if not report.exists() or "INTERNALERROR" in output.read_text():
                return {"": (output.read_text(),)}
            return {one["id"]: verdict_of(one) for one in json.loads(report.read_text())}

        return suite

    def verify(self, folder: Path) -> None:
        """Has causaltest say whether the record of a folder's claims holds."""
        output = folder / "verified.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.server.run(["causaltest", "verify", str(folder / "claims")], folder, environment, output)
        tell(folder, *output.read_text().splitlines())


PYTEST = f"""
import collections, datetime, os, resource, sys, time

if limit := int(os.environ.get("FILE_LIMIT", 0)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
asked = collections.Counter()
if os.environ.get("SET_BACK"):
    seconds, right = time.time, datetime.datetime

    def set_back(told, by):
        asked[sys._getframe(2).f_globals.get("__name__", "")] += 1
        return told - by

    class SetBack(right):
        @classmethod
        def now(cls, tz=None):
            return set_back(right.now(tz), datetime.timedelta(seconds={YEAR_S}))

    time.time = lambda: set_back(seconds(), {YEAR_S})
    datetime.datetime = SetBack
sys.path.insert(0, {str(ROOT)!r})
import pytest

status = pytest.main(sys.argv[1:])
for name, times in asked.items():
    if name.startswith("causaltest."):
        print(f"clock: {{name}} asked {{times}} times")
sys.exit(status)
"""
"""Pytest, by clocks that may have been set back, and with a limit to what may be written to a file."""


@dataclass(frozen=True)
class Beside:
    """What two runs beside a fault came to."""

    lost: int
    """Verdicts that are missing, or others than the undisturbed run's."""
    problems: tuple[str, ...]
    """What shows that the fault did not strike, or struck otherwise: a fault without effect loses nothing."""


def beside(fault: str, make: Fault, folder: Path, warm: Path, undisturbed: Verdicts, pytest_on: Runs) -> Beside:
    """Two runs beside a fault; `undisturbed` is of the run that has filled `warm`."""
    suite = pytest_on.suite(folder)
    with make(folder, warm) as store:
        missing = sum(lost(undisturbed, suite(store)) for _ in range(2))
    return Beside(missing, problems(fault, folder))


def lost(undisturbed: Verdicts, found: Verdicts) -> int:
    return sum(found.get(claim) != verdict for claim, verdict in undisturbed.items())


def verdict_of(one: Mapping[str, object]) -> tuple[object, ...]:
    # Which experiments are measured together moves the last bits, and a fault decides which are.
    numbers = (one[name] for name in ("estimate", "lower", "upper"))
    return (one["verdict"], *(None if n is None else round(float(str(n)), 9) for n in numbers), one["status"])


def tell(folder: Path, *lines: str) -> None:
    with (folder / TOLD).open("a") as told:
        told.writelines(f"{line}\n" for line in lines)


NO_SPACE = "cannot be written (No space left on device)"
TOLD_OF = {
    "a limit to files": ("cannot be written (File too large)",),
    "a file in the store's place": ("cannot be read (Not a directory)", "cannot be written (File exists)"),
    "folders in the place of entries": ("was damaged (it is no file)", "more like these"),
    "entries of 1970 and of the next year": (
        "fault: 3 of 3 abandoned files are gone",
        "fault: 3 of 3 effects are kept again",
    ),
    CLOCK: (
        "clock: causaltest.store.room asked",
        "clock: causaltest.recording.clock asked",
        "fault: 2 of 2 abandoned files are gone",
        "fault: 2 of 2 effects are kept again",
        "fault: the last line of the ledger is dated before the first",
        "claims.lock holds: 4 claims",
        "claims.ledger holds: 4 looks, 1 sweep",
    ),
    "a full disk": (NO_SPACE,),
    "a disk that fills up": (NO_SPACE, "fault: some was kept before the disk was full"),
    "a disk without inodes": (NO_SPACE,),
    "an empty read-only store": ("cannot be written (Read-only file system)",),
    "a warm read-only store": ("fault: no entry is dated anew",),
    LEDGER: ("EXPLORATORY: the look could not be written down", "No space left on device"),
}
"""What must be told beside each fault, or it has not struck; of stores, nothing else may be told."""


def problems(fault: str, folder: Path) -> tuple[str, ...]:
    """What must be told beside a fault and is not, and what stores tell beside it that they should not."""
    told, wanted = (folder / TOLD).read_text(), TOLD_OF[fault]
    missing = [f"{one!r} was not told" for one in wanted if one not in told]
    lines = [line for line in told.splitlines() if line.startswith("store: ")]
    return (*missing, *(f"{line!r} was told" for line in lines if not any(one in line for one in wanted)))


# Faults that any user can have


@contextmanager
def file_limit(folder: Path, warm: Path) -> Iterator[Path]:
    """No file may become larger than a few kilobytes: writing fails in its midst, as on a disk that fills up."""
    # The report is one, too.
    with mock.patch.dict(os.environ, FILE_LIMIT="30000"):
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
    store, dates = shutil.copytree(warm, folder / "store"), (0.0, time.time() + YEAR_S)
    taken = half_gone(store)
    for n, path in enumerate(sorted(one.path for one in lying(store))):
        os.utime(path, (dates[n % 2],) * 2)
    left = abandoned(store, *dates)
    with mock.patch.dict(os.environ, PYTEST_ADDOPTS=SMALL):
        yield store
    tell(folder, *left_and_taken(left, taken))


FAULTS: dict[str, Fault] = {
    "a limit to files": file_limit,
    "a file in the store's place": file_in_its_place,
    "folders in the place of entries": folders_in_the_place_of_entries,
    "entries of 1970 and of the next year": wrongly_dated,
}


def clock_set_back(folder: Path, undisturbed: Verdicts, pytest_on: Runs) -> Beside:
    """Registered claims, some of which are looked at; then the clock goes a year back, and all are looked at twice.

    Half of the store is gone, and there is little room for it, so that the clock is asked what may go.
    """
    claims, store = folder / "claims", folder / "store"
    pytest_on.suite(folder, "--causal-register")(store)
    commit(repository(claims))
    looked = pytest_on.suite(folder, "-k", "reader")(store)
    taken, left = half_gone(store), abandoned(store, time.time())
    suite = pytest_on.suite(folder, SMALL)
    with mock.patch.dict(os.environ, SET_BACK="1"):
        found = [suite(store) for _ in range(2)]
    first = {
        claim: (*verdict[:-1], "REPRODUCED" if claim in looked else "CONFIRMATORY")
        for claim, verdict in undisturbed.items()
    }
    again = {claim: (*verdict[:-1], "REPRODUCED") for claim, verdict in undisturbed.items()}
    looks = parse_ledger((claims / NAME).read_text())
    if looks[-1]["at"] < looks[0]["at"]:
        tell(folder, "fault: the last line of the ledger is dated before the first")
    tell(folder, *left_and_taken(left, taken))
    pytest_on.verify(folder)
    return Beside(sum(map(lost, (first, again), found)), problems(CLOCK, folder))


def half_gone(store: Path) -> list[Path]:
    """Takes away half of the entries of each kind, so that something is measured and kept again; the effects of it."""
    found: dict[str, list[Path]] = {}
    for one in lying(store):
        found.setdefault(one.kind, []).append(Path(one.path))
    taken = [file for files in found.values() for file in sorted(files)[::2]]
    for file in taken:
        file.unlink()
    return [file for file in taken if file in found["effects"]]


def abandoned(store: Path, *dates: float) -> list[Path]:
    """What nobody comes back to: a file begun on each date, and an entry of 1970, the first to go for want of room."""
    entry = file_of(store, "runs", "0" * 64)
    files = [entry, *(entry.with_name(f".{n:016x}.partial") for n in range(len(dates)))]
    entry.parent.mkdir(parents=True, exist_ok=True)
    for file, date in zip(files, (0.0, *dates), strict=True):
        file.write_bytes(bytes(1000))
        os.utime(file, (date, date))
    return files


def left_and_taken(left: Sequence[Path], taken: Sequence[Path]) -> tuple[str, str]:
    """What has become of files that nobody comes back to, and of those that were taken away."""
    return (
        f"fault: {sum(not file.exists() for file in left)} of {len(left)} abandoned files are gone",
        f"fault: {sum(file.exists() for file in taken)} of {len(taken)} effects are kept again",
    )


# Faults that take a mount of their own


@contextmanager
def mounted(place: Path, *how: str) -> Iterator[Path]:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *how, str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def small_disk(folder: Path, *, size: str, more: str = "") -> AbstractContextManager[Path]:
    return mounted(folder / "disk", "-t", "tmpfs", "-o", f"size={size}{more}", "tmpfs")


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
    with small_disk(folder, size="64k") as place:
        fill(place)
        yield place / "store"


@contextmanager
def filling_up(folder: Path, warm: Path) -> Iterator[Path]:
    with small_disk(folder, size="128k") as place:
        yield place / "store"
        if any(lying(place / "store")):
            tell(folder, "fault: some was kept before the disk was full")


@contextmanager
def without_inodes(folder: Path, warm: Path) -> Iterator[Path]:
    with small_disk(folder, size="64m", more=",nr_inodes=12") as place:
        yield place / "store"


@contextmanager
def read_only(folder: Path, warm: Path, *, filled: bool = False) -> Iterator[Path]:
    store = folder / "store"
    if filled:
        shutil.copytree(warm, store)
    else:
        store.mkdir(parents=True)
    with mounted(folder / "seen", "--bind", str(store)) as seen:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(seen)], check=True, capture_output=True)
        before = set(lying(seen))
        yield seen
        if before and set(lying(seen)) == before:
            tell(folder, "fault: no entry is dated anew, as one that is read would be where that can be written")


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


def ledger_on_a_full_disk(folder: Path, undisturbed: Verdicts, pytest_on: Runs) -> Beside:
    """Two runs where the claims are registered, and the disk of their ledger is full."""
    with small_disk(folder, size="1m") as place:
        claims = place / "claims"
        pytest_on.suite(folder, "--causal-register", claims=claims)(folder / "store")
        commit(repository(claims))
        suite = pytest_on.suite(folder, claims=claims)
        fill(place)
        missing = sum(lost(undisturbed, suite(folder / "store")) for _ in range(2))
    return Beside(missing, problems(LEDGER, folder))


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder / "tried", size="64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
