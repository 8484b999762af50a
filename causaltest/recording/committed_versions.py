"""What git remembers of a lock and its ledger: both only grow, so that all that was ever committed stands in them.

Whoever begins a record anew, with all hashes in order, is told here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causaltest.bounded import read_bounded
from causaltest.errors import RecordError
from causaltest.recording import ledger, lock
from causaltest.recording.git import git_bytes
from causaltest.recording.lock import Lock, hash_of

LARGEST = 64 << 20
"""Bytes of older locks that are looked through."""


@dataclass(frozen=True)
class Version:
    """A file as a commit left it."""

    commit: str
    blob: str
    """The name of its text in git."""


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
            text = git_bytes(folder, "cat-file", "blob", version.blob) or b""
            read += len(text)
            if read > LARGEST:
                break
            had = set(event_hashes(text))
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
    have = set(text.split(b"\n"))
    grown, lost = {b""}, None
    for version, size in with_sizes(folder, versions(folder, ledger.NAME)):
        had = set(text[:size].split(b"\n"))
        if blob_name(text[:size], like=version.blob) != version.blob:
            had = {b"", *filter(intact, (git_bytes(folder, "cat-file", "blob", version.blob) or b"").split(b"\n"))}
        if had >= grown:
            # as sets, since lines of a branch that was merged may stand in between
            grown, lost = had, None if had <= have else version
    if lost is not None:
        yield (
            f"{ledger.NAME} in commit {lost.commit[:8]} has {len(grown - have)} lines that are not in it any more: "
            f"they were removed or changed. `git checkout {lost.commit[:8]} -- {ledger.NAME}` brings them back"
        )


def with_sizes(folder: Path, found: Sequence[Version]) -> Iterator[tuple[Version, int]]:
    asked = "".join(f"{version.blob}\n" for version in found)
    told = git_bytes(folder, "cat-file", "--batch-check", given=asked.encode()) if found else b""
    for version, line in zip(found, (told or b"").splitlines(), strict=False):
        size = line.split()[-1]
        if size.isdigit():
            yield version, int(size)


def versions(folder: Path, name: str) -> list[Version]:
    """The versions of a file in the history of HEAD, the oldest first, each text once."""
    said = ("--format=%H", "--raw", "--no-abbrev", "--no-renames")
    told = git_bytes(folder, "log", "--topo-order", "--reverse", *said, "--", name) or b""
    found: dict[str, Version] = {}
    commit = ""
    for line in told.decode("utf-8", "replace").splitlines():
        if not line.startswith(":"):
            commit = line.strip() or commit
            continue
        _, _, _, blob, what = line.split("\t")[0].split()
        if what != "D":
            found.setdefault(blob, Version(commit, blob))
    return list(found.values())


def text_of(file: Path) -> bytes:
    """A file as git keeps it; nothing where it is not there."""
    try:
        return read_bounded(file, ledger.LARGEST).replace(b"\r\n", b"\n")
    except OSError:
        return b""


def event_hashes(text: bytes) -> list[str]:
    """The hashes of a lock's events that are as they were written; it is read from its end alone."""
    _, found, events = text.decode("utf-8", "replace").replace("\r\n", "\n").rpartition('\n "events": [\n')
    try:
        read: Sequence[Any] = json.loads(f"[{events.partition(chr(10) + ' ],')[0]}]") if found else []
        return [str(event["hash"]) for event in read if hash_of(event) == event["hash"]]
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError, RecordError):
        return []


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
