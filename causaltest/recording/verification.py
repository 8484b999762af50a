"""Verification: whether a record still is what it was when each part of it was written.

Hashes tell of a careless hand, and git of a careful one: whoever computes all of them anew is told by the commits that
are there already. No hash tells when a commit was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from causaltest.recording.committed_versions import broken_since_commit
from causaltest.recording.ledger import broken as broken_ledger
from causaltest.recording.lock import Lock, followed_by, hash_of, said_of
from causaltest.recording.past import Past
from causaltest.recording.unwinding import Registration, Unwinding, unwound

Lines = Sequence[Mapping[str, Any]]


def broken_record(folder: Path, lock: Lock, lines: Lines) -> list[str]:
    """What does not hold of a folder's lock and ledger, a sentence each; nothing where all of it does."""
    found = [*broken_texts(lock, lines), *broken_since_commit(folder, lock)]
    return [problem.removesuffix(".") for problem in found]


def broken_texts(lock: Lock, lines: Lines) -> list[str]:
    """What does not hold of a lock and a ledger, wherever they stand."""
    undone = unwound(lock)
    return [*broken_lock(lock, undone), *broken_ledger(lines), *broken_ties(lock, lines, undone)]


def broken_lock(lock: Lock, undone: Unwinding | None = None) -> list[str]:
    """What does not hold of a lock by itself: its entries, its events, or that the one came of the other."""
    return [*broken_chain(lock), *broken_entries(lock), *(undone or unwound(lock)).problems]


def broken_chain(lock: Lock) -> Iterator[str]:
    known = {""}
    for event in lock.events:
        if hash_of(event) != event["hash"]:
            yield f"{said_of(event)} was changed after it was written"
        if not known.issuperset(followed_by(event)):
            yield f"{said_of(event)} follows an event that is not before it: one was removed, changed or moved"
        if event["hash"] in known:
            yield f"{said_of(event)} stands there twice"
        known.add(event["hash"])
    if len(lock.ends) > 1:
        yield "two branches were merged by hand: `causaltest register FOLDER --merge` joins their events"


def broken_entries(lock: Lock) -> Iterator[str]:
    for id, entry in lock.entries.items():
        if entry.stated is not None and entry.stated != entry.digest:
            yield f"{id}: its spec or its hash was changed by hand"


def broken_ties(lock: Lock, lines: Lines, undone: Unwinding | None = None) -> list[str]:
    """Where a lock and a ledger do not belong together: each names how far the other had come."""
    at = {line.get("hash"): i for i, line in enumerate(lines, 1)}
    looks = broken_looks(lock, lines, at, undone or unwound(lock)) if lines else ()
    return [*broken_heads(lock, at, len(lines)), *looks]


def broken_heads(lock: Lock, at: Mapping[Any, int], count: int) -> Iterator[str]:
    for event in lock.events:
        had, head = event["ledger"]["lines"], event["ledger"]["head"]
        if had > count:
            yield f"the ledger has {count} lines, and had {had} at {said_of(event)}: lines were removed"
        # where branches were merged, lines of the other may stand before it
        elif (at.get(head, 0) if head else 0) < had:
            yield f"the ledger does not have the line that was its last, number {had}, at {said_of(event)}"


def broken_looks(lock: Lock, lines: Lines, at: Mapping[Any, int], undone: Unwinding) -> Iterator[str]:
    past = Past(lock.events)
    registered: dict[str, list[Registration]] = {}
    for one in undone.registrations:
        registered.setdefault(one.id, []).append(one)
    for i, line in enumerate(lines, 1):
        if not line.get("lock"):
            continue
        told = f"Line {i} of the ledger, {line.get('claim', line.get('kind'))} on {line.get('at')},"
        then = past.number.get(str(line["lock"]))
        if then is None:
            yield f"{told} was written beside a lock whose events are not in this one: it was begun anew or cut"
        elif i <= at.get(lock.events[then]["ledger"]["head"], 0):
            yield f"{told} names a lock that was made after it"
        elif line.get("status") == "CONFIRMATORY" and not any(
            one.spec == line.get("spec") and stood(one, then, past)
            for one in registered.get(str(line.get("claim")), ())
        ):
            yield f"{told} says CONFIRMATORY of what was not registered then"


def stood(one: Registration, then: int, past: Past) -> bool:
    """Whether a claim was registered when the lock ended with the event `then`, and not amended yet."""
    # the amendments stand in it the last first
    amended = takewhile(lambda event: event <= then, reversed(one.amended))
    return past.has(then, one.since) and not any(past.has(then, event) for event in amended)
