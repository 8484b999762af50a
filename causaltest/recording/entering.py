"""Entering: the lock is read, changed and written whole, and nobody else enters anything in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from causaltest.errors import RecordError, Tampered
from causaltest.recording.alone import alone
from causaltest.recording.clock import now
from causaltest.recording.lock import Lock, chained, read_lock, write_lock
from causaltest.recording.record import Record
from causaltest.recording.verification import broken_record
from causaltest.recording.versions import versions

Event = Mapping[str, Any]
Lines = Sequence[Mapping[str, Any]]


def enter(
    record: Record,
    change: Callable[[Lock], tuple[Lock, Sequence[Event]]],
) -> None:
    """Writes the lock that `change` makes of the one there is, and its events; nobody else registers in between."""
    try:
        with alone(record.folder):
            lock, lines = read_lock(record.lock_file), record.ledger.lines
            broken = broken_record(record.folder, lock, lines)
            if broken:
                raise Tampered(
                    f"{record.lock_file} does not hold, so nothing can be entered: {broken[0]}. "
                    f"`causaltest verify {record.folder}` says all of it."
                )
            made, events = change(lock)
            if events:
                write_lock(record.lock_file, with_events(made, events, record, lines))
    except OSError as error:
        raise RecordError(f"{record.lock_file} could not be written, and is as it was: {error}.") from error
    record.__dict__.pop("lock", None)


def with_events(lock: Lock, events: Iterable[Event], record: Record, lines: Lines) -> Lock:
    whole, head = list(lock.events), lock.head
    for event in events:
        whole.append(dated(event, record, lines, previous=head))
        head = str(whole[-1]["hash"])
    return Lock(lock.entries, tuple(whole))


def dated(event: Event, record: Record, lines: Lines, *, previous: str) -> dict[str, Any]:
    """An event with when it was, at which commit, by which versions, how far the ledger had come, and its place in the
    chain."""
    ledger = {"lines": len(lines), "head": str(lines[-1]["hash"]) if lines else ""}
    when = {"at": now(), "commit": record.committed.head, "versions": versions()}
    return chained({**event, **when, "ledger": ledger}, previous=previous)
