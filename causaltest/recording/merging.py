"""Merging: two branches have entered claims, and the lock takes those of both.

Each event follows the one that it followed on its branch, and an event of the merger follows both ends. So what was
entered on either branch can still be told from what was not.
"""

from __future__ import annotations

from causaltest.bounded import read_bounded
from causaltest.errors import RecordError
from causaltest.recording.alone import alone
from causaltest.recording.entering import dated
from causaltest.recording.git import git_bytes
from causaltest.recording.lock import Entry, Lock, parse_lock, write_lock
from causaltest.recording.lock_text import LARGEST
from causaltest.recording.record import Record

OURS, BASE, THEIRS, BOTH = "ours", "base", "theirs", "both"
MARKS = {
    (BOTH, b"<<<<<<<"): OURS,
    (OURS, b"|||||||"): BASE,
    (OURS, b"======="): THEIRS,
    (BASE, b"======="): THEIRS,
    (THEIRS, b">>>>>>>"): BOTH,
}
"""What follows a mark, by what stood before it."""


def merge(record: Record) -> Lock:
    """Joins the two sides of a lock that git could not merge, or whose events somebody has put together by hand.

    Raises RecordError where the two say different things of one claim, and where there is nothing to merge.
    """
    try:
        with alone(record.folder):
            lock = joined(*both_sides(record))
            if len(lock.ends) < 2:
                raise RecordError(f"{record.lock_file} has no two branches to merge: its events follow one another.")
            lines = record.ledger.lines
            while len(lock.ends) > 1:
                event = dated({"kind": "merge", "also": lock.ends[1]}, record, lines, previous=lock.ends[0])
                lock = Lock(lock.entries, (*lock.events, event))
            write_lock(record.lock_file, lock)
    except OSError as error:
        raise RecordError(f"{record.lock_file} could not be written, and is as it was: {error}.") from error
    record.read_again()
    return lock


def both_sides(record: Record) -> tuple[Lock, Lock]:
    """The lock of each branch: as git keeps them during a merge, or as the text with its marks has them."""
    name = record.lock_file.name
    ours, theirs = (git_bytes(record.folder, "show", f":{stage}:./{name}") for stage in (2, 3))
    if ours is None or theirs is None:
        text = read_bounded(record.lock_file, LARGEST)
        ours, theirs = sides_of(text)
    return parse_lock(ours, named=f"{name} of this branch"), parse_lock(theirs, named=f"{name} of the other branch")


def sides_of(text: bytes) -> tuple[bytes, bytes]:
    """The two texts in one with the marks of a merge; read once, however many marks there are."""
    ours, theirs, part = list[bytes](), list[bytes](), BOTH
    for line in text.splitlines(keepends=True):
        turned = MARKS.get((part, line[:7]))
        if turned is not None:
            part = turned
            continue
        if part in (OURS, BOTH):
            ours.append(line)
        if part in (THEIRS, BOTH):
            theirs.append(line)
    return b"".join(ours), b"".join(theirs)


def joined(ours: Lock, theirs: Lock) -> Lock:
    """The claims and events of both. Raises RecordError for a claim of which they say different things."""
    entries = {lineage(ours, entry): entry for entry in ours.entries.values()}
    for entry in theirs.entries.values():
        known = entries.get(lineage(theirs, entry))
        if known is None or goes_on(entry, known):
            entries[lineage(theirs, entry)] = entry
        elif not goes_on(known, entry):
            refuse(entry.id, "amended")
    by_id: dict[str, Entry] = {}
    for entry in entries.values():
        if by_id.setdefault(entry.id, entry) is not entry:
            refuse(entry.id, "registered")
    have = {event["hash"] for event in ours.events}
    return Lock(by_id, (*ours.events, *(event for event in theirs.events if event["hash"] not in have)))


def lineage(lock: Lock, entry: Entry) -> tuple[str, str]:
    """What stays of a claim when it is amended and renamed: its batch, and its first id."""
    return entry.batch, lock.names(entry.id)[-1]


def goes_on(later: Entry, earlier: Entry) -> bool:
    """Whether an entry is another, or an amendment of it."""
    return later.history[: len(earlier.history)] == earlier.history


def refuse(id: str, how: str) -> None:
    raise RecordError(
        f"{id} was {how} on both branches, and not alike. Take one side of both files whole, `git checkout --ours "
        f"claims.lock claims.ledger` (or --theirs), and enter what the other side had again."
    )
