"""The record: how long its commands take as whole processes, and what they import. Nobody else's stand beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import record
from benchmarks.record import Took
from benchmarks.row import Options, Row
from benchmarks.timing import median

MANY = 10_000
WRITERS, LINES = 16, 1_000
PAIRS = 200
ENOUGH = 5
"""Runs of one command."""


def commands(options: Options) -> list[Row]:
    rows = []
    for number, limits in ((10, (0.4, 0.4)), (MANY, (1.0, 0.4))):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            record.registered(folder, number)
            for words, limit in zip((["verify", "claims"], ["ledger"]), limits, strict=True):
                rows.append(row(words, f"{number:,} claims and looks", folder, limit))
    return [*rows, comparing(), registering(), writing()]


def row(words: Sequence[str], of: str, folder: Path, limit: float, *, again: Sequence[Path] = ()) -> Row:
    took = record.command(*words, folder=folder, repeats=ENOUGH, again=again)
    heavy = record.imported(*words, folder=folder)
    processor = median(took.processor)
    notes = f"{ENOUGH} processes from nothing, {processor:.2f} s of processor, load {took.load:.1f}."
    return timed(f"`causaltest {words[0]}`, {of}", took, limit, f"{notes} Imports {', '.join(heavy) or 'no torch'}.")


def timed(what: str, took: Took, limit: float, notes: str) -> Row:
    return Row(
        what,
        "",
        unit="s",
        better="less",
        at_least=limit,
        aim=limit,
        ours=f"{took.median:.2f} s",
        figure=took.median,
        lowest=min(took.seconds),
        highest=max(took.seconds),
        notes=notes,
        failed="no torch" not in notes,
    )


def comparing() -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record.registered(folder, 10)
        words = record.compared(folder, pairs=PAIRS)
        return row(words, f"two baselines of 10 claims and {PAIRS} pairs", folder, 1.2)


def registering() -> Row:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lock = record.claims(folder / "claims", MANY) / "claims.lock"
        return row(["register", "claims"], f"{MANY:,} claims", folder, 5.0, again=[lock])


def writing() -> Row:
    seconds, lines, held = record.written_by(WRITERS, LINES)
    wanted = WRITERS * LINES
    return Row(
        f"{WRITERS} processes write {LINES:,} lines each to one ledger",
        "",
        unit="lines that hold",
        at_least=wanted,
        aim=wanted,
        ours=f"{seconds:.0f} s",
        figure=held,
        notes=f"{lines} lines, each with the hash of the one before.",
        failed=lines != wanted,
    )
