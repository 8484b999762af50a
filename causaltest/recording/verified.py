"""Verified: a folder's lock and ledger, and whatever does not hold of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording import ledger, lock
from causaltest.recording.changes import changes, differences
from causaltest.recording.git import Committed, committed
from causaltest.recording.ledger import Ledger
from causaltest.recording.lock import Lock, read_lock
from causaltest.recording.lock_text import uncollected
from causaltest.recording.verification import Lines, broken_record
from causaltest.recording.wording import counted


@dataclass(frozen=True)
class Verified:
    """What was read, and what is wrong with it."""

    lock: Lock
    lines: Lines
    problems: tuple[str, ...]
    """A sentence each; none where all of it holds."""
    committed: Committed

    def sentences(self) -> Iterator[str]:
        """What holds, where nothing is wrong."""
        events, amended = self.lock.events, list(amendments(self.lock))
        batches = counted(self.lock.batches, "batch")
        yield f"{lock.NAME} holds: {counted(len(self.lock.entries), 'claim')}, registered in {batches}."
        if amended:
            yield f"{counted(len(amended), 'amendment')}:"
            yield from (f"  {sentence}" for sentence in amended)
        yield f"{ledger.NAME} holds: {', '.join(ledger.counted_kinds(self.lines)) or 'no look yet'}."
        for event in events[-1:]:
            yield f"The lock's last event is of {event['at']}: {event['hash']}"
        why_not = self.committed.why_not
        yield f"Git: {why_not}." if why_not else f"Git: committed in {self.committed.commit[:8]}, and unchanged since."


def verified(folder: Path) -> Verified:
    """Reads a folder's record and checks all of it.

    Raises RecordError where there is none, and for a file that cannot be read.
    """
    file = folder / lock.NAME
    with uncollected():
        found, lines = read_lock(file), Ledger(folder / ledger.NAME).lines
        problems = broken_record(folder, found, lines)
    if not file.exists():
        if not problems:
            raise RecordError(f"There is no {lock.NAME} in {folder}: `causaltest register {folder}` begins one.")
        problems.insert(0, f"{lock.NAME} is not there any more")
    return Verified(found, lines, tuple(problems), committed(file))


def amendments(found: Lock) -> Iterator[str]:
    """A sentence for each: what was changed, and why."""
    specs: dict[str, Mapping[str, Any]] = {}
    for entry in found.entries.values():
        if entry.prior:
            specs |= zip(entry.history, (*entry.prior, entry.spec), strict=True)
    for event in found.events:
        if event["kind"] != "amend":
            continue
        fields = differences(specs.get(event["prior"]), specs.get(event["spec"]))
        what = "; ".join(changes(fields)) or "its name alone"
        was = f", until then {event['was']}" if "was" in event else ""
        yield f"{event['claim']}{was}, on {event['at']}: {what}. Why: {event['why']}"
