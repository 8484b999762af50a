"""Folders with a record of any size, and the commands that read them, run as whole processes."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.many_claims import write_claims

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "tokenizers")
WRITER = """import sys
from pathlib import Path

from causaltest.recording.ledger import Ledger

folder, writer, lines = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ledger = Ledger(folder / "claims.ledger")
for n in range(lines):
    ledger.append(lambda before: {"kind": "sweep", "at": f"{writer}.{n}", "sightings": []})
"""


@dataclass(frozen=True)
class Took:
    """A command, run several times from nothing."""

    seconds: tuple[float, ...]
    processor: tuple[float, ...]
    """Seconds of processor: what the clock would say on a machine of one's own."""
    load: float
    """Of the machine, as it began."""
    said: str
    """What it printed, the first time."""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def claims(folder: Path, number: int) -> Path:
    """A folder of so many claims, below a root of pytest's own."""
    (folder.parent / "pytest.ini").write_text("[pytest]\n")
    return write_claims(folder, number)


def command(*arguments: str, folder: Path, repeats: int, again: Sequence[Path] = ()) -> Took:
    """A command of causaltest in processes of their own; files to begin `again` are deleted before each."""
    run = [sys.executable, "-m", "causaltest.cli", *arguments]
    seconds, processor, said, load = [], [], "", os.getloadavg()[0]
    for _ in range(repeats):
        for file in again:
            file.unlink(missing_ok=True)
        start, before = time.perf_counter(), spent()
        done = subprocess.run(run, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        processor.append(spent() - before)
        said = said or done.stdout
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return Took(tuple(seconds), tuple(processor), load, said)


def spent() -> float:
    """Seconds of processor of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(*arguments: str, folder: Path) -> list[str]:
    """Which heavy packages a command imports."""
    run = [sys.executable, "-X", "importtime", "-m", "causaltest.cli", *arguments]
    done = subprocess.run(run, cwd=folder, env=surroundings(folder), capture_output=True, text=True, check=False)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "causaltest.cli" in names, done.stderr[-500:]
    return [name for name in HEAVY if name in names]


def surroundings(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "CAUSALTEST_"))}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
    return kept | {"PYTHONPATH": path, "CAUSALTEST_CACHE_DIR": str(folder / ".cache"), "OMP_NUM_THREADS": "1"}


def registered(folder: Path, number: int) -> Path:
    """A folder with so many claims in its lock, and as many looks in its ledger, committed to git."""
    from causaltest.recording.record import Record
    from causaltest.recording.spec import Spec

    found = claims(folder / "claims", number)
    command("register", "claims", folder=folder, repeats=1)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Registered"]):
        identity = ["-c", "user.name=You", "-c", "user.email=you@example.org"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    record = Record(found)
    told = {"verdict": "SUPPORTED", "estimate": 0.9, "lower": 0.8, "upper": 1.0, "n": 96, "alpha": 0.05}
    for entry in record.lock.entries.values():
        record.look(Spec(entry.id, entry.spec), seed="0", seen=(), told=told)
    return found


def compared(folder: Path, *, pairs: int) -> list[str]:
    """Baselines "before" and "after" of the claims of a registered folder, drawn apart; the words that compare them."""
    import random

    from causaltest import Effect, Waived
    from causaltest.recording.baseline import Baseline, baseline_file, write_baseline
    from causaltest.recording.record import Record
    from causaltest.recording.saved import SavedClaim

    found, told = folder / "claims", {"verdict": "SUPPORTED"}
    for name, mean in (("before", 0.8), ("after", 0.75)):
        rng = random.Random(name)
        saved = {}
        for entry in Record(found).lock.entries.values():
            drawn = [rng.gauss(mean, 0.4) for _ in range(pairs)]
            effect = Effect.from_values(
                drawn, kind="continuous", range=(-2, 3), iid=True, placebo=Waived("drawn for a benchmark")
            )
            saved[entry.id] = SavedClaim(entry.id, entry.spec, "0", told, (("", effect),))
        write_baseline(baseline_file(found, name), Baseline(saved))
    return ["compare", "before", "after", "--margin=0.1"]


def written_by(processes: int, lines: int) -> tuple[float, int, int]:
    """Seconds, lines, and lines whose chain holds, of a ledger that many processes write at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, name, str(n), str(lines)], env=surroundings(folder))
            for n in range(processes)
        ]
        ended = [writer.wait() for writer in writers]
        took = time.perf_counter() - start
        assert not any(ended), ended
        return took, *chained(folder / "claims.ledger")


def chained(file: Path) -> tuple[int, int]:
    """Lines, and those that parse, have their own hash and that of the line before: worked out here, by hand."""
    import hashlib
    import json

    previous, held, texts = "", 0, file.read_text(encoding="utf-8").splitlines()
    for text in texts:
        line = json.loads(text)
        own = line.pop("hash")
        plain = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        held += line["previous"] == previous and hashlib.sha256(plain.encode()).hexdigest() == own
        previous = own
    return len(texts), held
