"""Every parser of a stranger's file against mutated files: nothing but causaltest's own errors, no hang, little memory.

`python -m benchmarks.faults fuzz` runs all parsers, ten minutes each, and keeps each as it is done;
`python -m benchmarks.faults.fuzz lock ledger` runs these alone. `FUZZ_SECONDS=60` makes it shorter, and says so.
With atheris, which follows the branches that an input takes, where it is installed; else with mutations alone. The
short form is tests/faults/test_fuzz.py.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.faults.memory import held_at_most
from benchmarks.faults.mutation import LARGEST, mutated
from benchmarks.faults.parsers import BY_NAME, PARSERS, REQUIRED, Parser, accepted, read_once
from benchmarks.faults.result import Result
from benchmarks.faults.table import keep, kept, write_table

ROOT = Path(__file__).parents[2]
SECONDS = 600
MARGIN_S = 240.0
"""For what comes before and after: imports that are instrumented, and a file that libFuzzer waits for."""
SLOW_S = 2.0
"""Seconds of the processor that one file may take."""
MOST_MB = 500
GUARD_MB = 4_096
"""Beyond this libFuzzer ends at once. It counts what whoever began the process has held, too, and measures nothing."""
FOUND = 70
"""Exit status of a child that has found something."""
NOTHING = {"files": 0, "accepted": 0, "slowest_s": 0.0, "mb": 0}
"""What a child has told that has not told anything."""


def run() -> Sequence[Result]:
    """One line for each parser. All are run: what a line was measured of may have changed since."""
    for parser in PARSERS:
        keep_one(fuzzed(parser))
    return kept("fuzz")


def seconds() -> int:
    """Of each parser."""
    return int(os.environ.get("FUZZ_SECONDS", SECONDS))


def figure(parser: Parser) -> str:
    return f"fuzzing {parser.what}: uncaught exceptions, hangs, memory over {MOST_MB} MB"


def keep_one(result: Result) -> None:
    """Puts a result beside those of the other parsers, so that a run that ends early has lost nothing."""
    done = {line.figure: line for line in kept("fuzz")} | {result.figure: result}
    keep("fuzz", [done[figure(parser)] for parser in PARSERS if figure(parser) in done])


def fuzzed(parser: Parser) -> Result:
    """One parser, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "benchmarks.faults.fuzz", "--child", parser.name, str(seconds()), folder]
        try:
            most = seconds() + MARGIN_S
            ran = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, check=False, timeout=most)
            ended, wrong = not ran.returncode, ran.stderr or b""
        except subprocess.TimeoutExpired as hung:
            ended, wrong = False, (hung.stderr or b"") + f"\n{parser.name}: not done after {most:.0f} s".encode()
        told = Path(folder, "told.json")
        counts = json.loads(told.read_text()) if told.exists() else NOTHING
        finds = sorted(Path(folder, "finds").glob("*")) if Path(folder, "finds").exists() else []
        # What Watch has written is written by libFuzzer once more, as a crash.
        finds = [find for find in finds if not find.name.startswith("crash-")] or finds
        for find in finds:
            aside = Path(tempfile.gettempdir()) / f"causaltest-fuzz-{parser.name}-{find.name}"
            aside.write_bytes(find.read_bytes())
            print(f"{parser.name}: found {aside}")
    if not ended and not finds:
        print(wrong.decode(errors="replace")[-3000:])
    missed = bool(not ended or finds or counts["mb"] > MOST_MB)
    needed = "0" if parser.name in REQUIRED else "-"
    how = "atheris" if find_spec("atheris") else "mutations"
    return Result(
        figure=figure(parser),
        at_least=needed,
        aim="0",
        measured=f"{len(finds) or int(missed)} in {counts['files']:,} files",
        held=not missed,
        how=f"{seconds()} s of {how}; {counts['accepted']:,} files accepted; slowest {counts['slowest_s']:.2f} s of "
        f"processor, peak {counts['mb']} MB",
    )


def child(name: str, seconds: int, folder: Path) -> int:
    """Reads mutated files until the time is up; what is found is written to the folder."""
    (folder / "finds").mkdir(exist_ok=True)
    watch = Watch(BY_NAME[name], folder)
    if not find_spec("atheris"):
        return by_mutation(watch, good(watch), seconds)
    import atheris

    # The parsers import late, so that what the good files come through is imported here.
    with atheris.instrument_imports(include=["causaltest"], enable_loader_override=False):
        seeds = good(watch)
    with_atheris(watch, seeds, seconds)
    return FOUND  # not reached: libFuzzer ends the process


def good(watch: Watch) -> Sequence[bytes]:
    """The good files, read once: what they do not come through was never fuzzed. Raises where one is refused."""
    seeds = watch.parser.seeds()
    for seed in seeds:
        accepted(watch.parser, seed)  # untimed: this is where modules are imported
    for seed in seeds:
        watch.read(seed)
    return seeds


class Watch:
    """Reads files of one parser, and keeps count."""

    def __init__(self, parser: Parser, folder: Path) -> None:
        self.parser, self.folder = parser, folder
        self.files, self.accepted, self.slowest = 0, 0, 0.0
        self._told = 0.0

    def read(self, data: bytes) -> None:
        """Raises whatever the parser should not have, and Slow."""
        began = time.process_time()
        try:
            self.accepted += read_once(self.parser, data)
        except BaseException as error:
            self.find(data, error)
            raise
        took = time.process_time() - began
        self.files, self.slowest = self.files + 1, max(self.slowest, took)
        if took > SLOW_S:
            self.find(data, Slow(f"{took:.1f} s"))
            raise Slow(f"{took:.1f} s")
        if time.monotonic() - self._told > 1:
            self.tell()

    def find(self, data: bytes, error: BaseException) -> None:
        (self.folder / "finds" / f"{type(error).__name__}-{self.files}").write_bytes(data)
        self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        mb = held_at_most() >> 20
        counts = {"files": self.files, "accepted": self.accepted, "slowest_s": self.slowest, "mb": mb}
        told = self.folder / "told.json"
        # Whoever is stopped halfway leaves what was told before.
        told.with_suffix(".new").write_text(json.dumps(counts))
        told.with_suffix(".new").replace(told)


class Slow(Exception):
    """A file that took too long."""


def with_atheris(watch: Watch, seeds: Sequence[bytes], seconds: int) -> None:
    import atheris

    corpus = watch.folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LARGEST}",
        f"-rss_limit_mb={GUARD_MB}",
        # By the clock, for what never ends; what takes processor time is told by Watch.
        "-timeout=60",
        "-seed=1",
        "-len_control=0",
        "-print_final_stats=1",
        f"-artifact_prefix={watch.folder / 'finds'}/",
    ]
    atheris.Setup(["fuzz", *options, str(corpus)], watch.read, custom_mutator=mutator(atheris, seeds))
    atheris.Fuzz()


def mutator(atheris: Any, seeds: Sequence[bytes]) -> Callable[[bytes, int, int], bytes]:
    """A third each of libFuzzer's mutations, of those that know JSON, and of these of a good file: what comes of many
    mutations is seldom read far."""

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        how = rng.randrange(3)
        if how == 0:
            return bytes(atheris.Mutate(data, largest))
        data = data if how == 1 else rng.choice(seeds)
        return data[:1] + mutated(data[1:], seed, largest=largest - 1)

    return mutate


def by_mutation(watch: Watch, seeds: Sequence[bytes], seconds: int) -> int:
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        seed = seeds[number % len(seeds)]
        watch.read(seed[:1] + mutated(seed[1:], number))
        number += 1
    watch.tell()
    return 0


def main(words: Sequence[str]) -> int:
    if words[:1] == ["--child"]:
        return child(words[1], int(words[2]), Path(words[3]))
    for name in words or [parser.name for parser in PARSERS]:
        result = fuzzed(BY_NAME[name])
        keep_one(result)
        print(f"{'held' if result.held else 'MISSED'}: {result.figure}: {result.measured} ({result.how})", flush=True)
    write_table()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
