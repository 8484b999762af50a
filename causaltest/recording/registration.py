"""Registration: claims enter the lock before their data are seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.lock import Entry, Lock, batch_digest, chained, write_lock
from causaltest.recording.record import Record, now
from causaltest.recording.spec import Spec, differences


@dataclass(frozen=True)
class Candidate:
    """A claim to be registered, and what has seen its pairs already."""

    spec: Spec
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registered:
    """What a registration did."""

    new: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    differing: Mapping[str, Mapping[str, tuple[Any, Any]]] | None = None
    """Claims that are registered otherwise: nothing was changed for them."""


def register(record: Record, candidates: Iterable[Candidate]) -> Registered:
    """Enters the claims that are not in the lock yet, as one batch; those that are stay as they are."""
    lock, given = record.lock, {c.spec.id: c for c in candidates}
    known = {id: c for id, c in given.items() if id in lock.entries}
    differing = {id: d for id, c in known.items() if (d := differences(lock.entries[id].spec, c.spec.fields))}
    new = [Entry(c.spec.id, c.spec.fields, lock.batches + 1, c.seen) for id, c in given.items() if id not in known]
    if new:
        event = {
            "kind": "register",
            "batch": lock.batches + 1,
            "claims": len(new),
            "digest": batch_digest(new),
            **circumstances(record),
        }
        record_event(record, Lock({**lock.entries, **{e.id: e for e in new}}, lock.events), event)
    return Registered(
        tuple(sorted(e.id for e in new)), tuple(sorted(set(known) - set(differing))), dict(sorted(differing.items()))
    )


def amend(record: Record, spec: Spec, *, why: str) -> Mapping[str, tuple[Any, Any]]:
    """Puts a claim's new spec in place of the one registered, which is kept: the fields that differ."""
    lock, entry = record.lock, record.lock.entries.get(spec.id)
    if entry is None:
        raise RecordError(f"{spec.id} is not registered, so there is nothing to amend.")
    changed = differences(entry.spec, spec.fields)
    if not changed:
        raise RecordError(f"{spec.id} is registered as it is: there is nothing to amend.")
    amended = Entry(entry.id, spec.fields, entry.batch, entry.seen, (*entry.prior, entry.spec))
    event = {
        "kind": "amend",
        "claim": spec.id,
        "prior": entry.digest,
        "spec": spec.digest,
        "why": why,
        **circumstances(record),
    }
    record_event(record, Lock({**lock.entries, spec.id: amended}, lock.events), event)
    return changed


def circumstances(record: Record) -> dict[str, Any]:
    """When, at which commit, and how far the ledger went."""
    lines = record.ledger.lines
    return {
        "at": now(),
        "commit": record.committed.head,
        "ledger": {"lines": len(lines), "head": str(lines[-1]["hash"]) if lines else ""},
    }


def record_event(record: Record, lock: Lock, event: Mapping[str, Any]) -> None:
    whole = Lock(lock.entries, (*lock.events, chained(event, previous=lock.head)))
    write_lock(record.lock_file, whole)
    record.__dict__.pop("lock", None)
