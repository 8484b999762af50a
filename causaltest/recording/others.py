"""Others: what a ledger says of the looks at a claim's pairs before it, and which of them say nothing against it."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.recording.lock import Lock
from causaltest.recording.sighted import Sighted, Sighting
from causaltest.recording.standing import Status
from causaltest.recording.wording import day
from causaltest.seen import Seen


def seen_before(claims: Sequence[Seen], sighted: Sighted, lock: Lock, id: str) -> list[str]:
    """Sentences of what has seen the pairs of a claim, of which `claims` are the parts, before it."""
    names = lock.names(id)
    same = [one for claim in claims for one in sighted.asked(claim)]
    others = [one for one in same if one.line["claim"] not in names and not beside(one, lock, id)]
    return [*sighted.told(claims, by=names), *map(asked_by, others)]


def beside(other: Sighting, lock: Lock, id: str) -> bool:
    """Whether a look by another claim says nothing against this one: both stood fast before either was seen."""
    entry = lock.entries.get(id)
    if entry is None or other.line["status"] not in (Status.CONFIRMATORY, Status.REPLICATION):
        return False
    then = lock.event_of(entry)
    return then is not None and other.number >= then["ledger"]["lines"]


def asked_by(other: Sighting) -> str:
    line = other.line
    return f"{line['claim']} has asked the same of these pairs on {day(line)}, when it was {line['status']}"
