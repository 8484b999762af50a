"""What git remembers of a lock and its ledger: both only grow, so that all that was ever committed stands in them.

Whoever begins a record anew, with all hashes in order, is told here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from causaltest.bounded import read_bounded
from causaltest.errors import RecordError
from causaltest.recording import ledger, lock
from causaltest.recording.git import git_bytes
from causaltest.recording.lock import Lock, hash_of

LARGEST = 64 << 20
"""Bytes of older locks that are looked through."""
ALWAYS_READ = 4 << 20
"""Bytes that an earlier version may have where the file has fewer now. Git packs gigabytes of one byte into nothing."""
LONGEST_EVENT = 1 << 20
"""Bytes of a lock's event, which has some hundred."""


@dataclass(frozen=True)
class Version:
    """A file as a commit left it."""

    commit: str
    blob: str
    """The name of its text in git."""
    size: int
    """Bytes of its text."""


def broken_since_commit(folder: Path, now: Lock) -> list[str]:
    """What was committed of a folder's lock and ledger and is not in them any more; nothing where there is no git."""
    return [*broken_locks(folder, now), *broken_ledgers(folder)]


def broken_locks(folder: Path, now: Lock) -> Iterator[str]:
    have = {event["hash"] for event in now.events}
    today = text_of(folder / lock.NAME)
    grown, lost, read = set[str](), None, 0
    for version in versions(folder, lock.NAME):
        if blob_name(today, like=version.blob) == version.blob:
            had = have
        else:
            if version.size > most_read(today):
                yield cut(lock.NAME, version)
                return
            read += version.size
            if read > LARGEST:
                break
            had = set(event_hashes(blob(folder, version, most=most_read(today)) or b""))
        # one that was begun anew, and put back later, took nothing away
        if had >= grown:
            grown, lost = had, None if had <= have else version
    if lost is not None:
        yield (
            f"{lock.NAME} in commit {lost.commit[:8]} has {len(grown - have)} events that are not in it any more: "
            f"it was begun anew or cut. `git checkout {lost.commit[:8]} -- {lock.NAME}` brings it back"
        )


def broken_ledgers(folder: Path) -> Iterator[str]:
    """Of most versions only the size is asked for: today's text up to there has the same name in git."""
    text = text_of(folder / ledger.NAME)
    have = lines_of(text)
    grown, lost = {b""}, None
    for version in versions(folder, ledger.NAME):
        if version.size > most_read(text):
            yield cut(ledger.NAME, version)
            return
        if blob_name(text[: version.size], like=version.blob) == version.blob:
            had = lines_of(text[: version.size])
        else:
            there = lines_of(blob(folder, version, most=most_read(text)) or b"")
            had = {b"", *(line for line in there if line in have or intact(line))}
        if had >= grown:
            # as sets, since lines of a branch that was merged may stand in between
            grown, lost = had, None if had <= have else version
    if lost is not None:
        yield (
            f"{ledger.NAME} in commit {lost.commit[:8]} has {len(grown - have)} lines that are not in it any more: "
            f"they were removed or changed. `git checkout {lost.commit[:8]} -- {ledger.NAME}` brings them back"
        )


def lines_of(text: bytes) -> set[bytes]:
    """Each line once; read one by one, as millions of them may be empty."""
    return {b"", *(line.removesuffix(b"\n") for line in BytesIO(text))}


def most_read(now: bytes) -> int:
    """Bytes of an earlier version that are read: a lock and a ledger only grow."""
    return max(len(now), ALWAYS_READ)


def cut(name: str, version: Version) -> str:
    return (
        f"{name} in commit {version.commit[:8]} has {version.size:,} bytes, and fewer now: it only grows, so it was "
        f"cut. `git checkout {version.commit[:8]} -- {name}` brings it back"
    )


def blob(folder: Path, version: Version, *, most: int) -> bytes | None:
    """The text of a version; None where git does not have it, and where it has more than `most` bytes."""
    return None if version.size > most else git_bytes(folder, "cat-file", "blob", version.blob)


def versions(folder: Path, name: str) -> list[Version]:
    """The versions of a file in the history of HEAD, the oldest first, each text once; without those that git does not
    have, as in a partial clone."""
    said = ("--format=%H", "--raw", "--no-abbrev", "--no-renames")
    told = git_bytes(folder, "log", "--topo-order", "--reverse", *said, "--", name) or b""
    found: dict[str, str] = {}
    commit = ""
    for line in told.decode("utf-8", "replace").splitlines():
        if not line.startswith(":"):
            commit = line.strip() or commit
            continue
        _, _, _, blob, what = line.split("\t")[0].split()
        if what != "D":
            found.setdefault(blob, commit)
    return [Version(found[blob], blob, size) for blob, size in with_sizes(folder, found)]


def with_sizes(folder: Path, blobs: Collection[str]) -> Iterator[tuple[str, int]]:
    asked = "".join(f"{blob}\n" for blob in blobs)
    told = git_bytes(folder, "cat-file", "--batch-check", given=asked.encode()) if blobs else b""
    for blob, line in zip(blobs, (told or b"").splitlines(), strict=False):
        size = line.split()[-1]
        if size.isdigit():
            yield blob, int(size)


def text_of(file: Path) -> bytes:
    """A file as git keeps it; nothing where it is not there."""
    try:
        return read_bounded(file, ledger.LARGEST).replace(b"\r\n", b"\n")
    except OSError:
        return b""


def event_hashes(text: bytes) -> list[str]:
    """The hashes of a lock's events that are as they were written, one on each line; only its end is read."""
    _, _, events = text.replace(b"\r\n", b"\n").rpartition(b'\n "events": [\n')
    found = list[str]()
    try:
        for line in BytesIO(events.partition(b"\n ],")[0]):
            if len(line) > LONGEST_EVENT:
                return []
            event = json.loads(line.decode("utf-8", "replace").rstrip("\n,"))
            if hash_of(event) == event["hash"]:
                found.append(str(event["hash"]))
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError, RecordError):
        return []
    return found


def intact(line: bytes) -> bool:
    """Whether a line of a ledger is as it was written."""
    try:
        said = json.loads(line)
        return bool(ledger.hash_of(said) == said["hash"])
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return False


def blob_name(text: bytes, *, like: str) -> str:
    """What git calls a text: its SHA-1, or in newer repositories its SHA-256."""
    return hashlib.new("sha1" if len(like) == 40 else "sha256", b"blob %d\0" % len(text) + text).hexdigest()
