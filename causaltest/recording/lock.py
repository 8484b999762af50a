"""Lock: the claims that were registered, as a file that a person commits.

    claims    by id: the spec with its hash, the batch that it was registered in, what had seen its pairs before,
              and its prior specs
    events    registrations, amendments and mergers in order, each with the hash of the one before and the
              ledger's head

Whether its hashes hold is `verification`'s question; here it is read and written.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from causaltest.bounded import open_plain
from causaltest.errors import RecordError
from causaltest.recording.lock_text import LARGEST, formatted, parsed
from causaltest.writing.canonical import digest_of, sha256_of, written
from causaltest.writing.whole_file import write_whole

NAME = "claims.lock"


@dataclass(frozen=True)
class Entry:
    """One registered claim."""

    id: str
    spec: Mapping[str, Any]
    """Plain data, as `canonical.plain` makes them."""
    batch: str
    """The claims that it was registered with: the first digits of their digest."""
    seen: tuple[str, ...] = ()
    """What had seen its pairs before it was registered, a sentence each."""
    prior: tuple[Mapping[str, Any], ...] = ()
    """Its specs before it was amended, the first registered first."""
    stated: str | None = field(default=None, compare=False)
    """The hash that the file gives for the spec; None for an entry that was made here."""

    @cached_property
    def digest(self) -> str:
        return sha256_of(written(self.spec))

    @cached_property
    def history(self) -> tuple[str, ...]:
        """The hashes of all its specs, the first registered first."""
        return (*(sha256_of(written(spec)) for spec in self.prior), self.digest)

    @property
    def first(self) -> Mapping[str, Any]:
        """The spec as it was first registered."""
        return self.prior[0] if self.prior else self.spec


@dataclass(frozen=True)
class Lock:
    """All entries, and the events that made them."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def head(self) -> str:
        """The hash of the last event; empty before the first."""
        return str(self.events[-1]["hash"]) if self.events else ""

    @property
    def batches(self) -> int:
        return sum(event["kind"] == "register" for event in self.events)

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """The hashes of the events that none follows: one, or one of each branch that was merged by hand."""
        followed = {hash for event in self.events for hash in followed_by(event)}
        return tuple(event["hash"] for event in self.events if event["hash"] not in followed)

    def event_of(self, entry: Entry) -> Mapping[str, Any] | None:
        """The registration that an entry came in by; None for one that nobody registered."""
        return self._registrations.get(entry.batch)

    @cached_property
    def _registrations(self) -> dict[str, Mapping[str, Any]]:
        """By the name of its batch; of two that are alike the first."""
        return {batch_name(event["digest"]): event for event in reversed(self.events) if "digest" in event}

    @cached_property
    def renames(self) -> tuple[tuple[str, str], ...]:
        """By amendments, the last first: the id that a claim got, and the one that it had."""
        return tuple((str(e["claim"]), str(e["was"])) for e in reversed(self.events) if "was" in e)

    def names(self, id: str) -> tuple[str, ...]:
        """The ids that a claim has had, the present one first: a look at it may stand in the ledger under each."""
        had, after = [id], 0
        while True:
            places = self._renamed.get(had[-1], [])
            i = bisect_left(places, after)
            if i == len(places):
                return tuple(had)
            after = places[i] + 1
            had.append(self.renames[places[i]][1])

    @cached_property
    def _renamed(self) -> dict[str, list[int]]:
        """By the id that a claim got: where that stands in the renames."""
        places: dict[str, list[int]] = {}
        for i, (now, _) in enumerate(self.renames):
            places.setdefault(now, []).append(i)
        return places


def followed_by(event: Mapping[str, Any]) -> tuple[str, ...]:
    """The hashes of the events that an event follows: one, or where branches were merged two."""
    return (event["previous"], *([event["also"]] if "also" in event else []))


def said_of(event: Mapping[str, Any]) -> str:
    """An event in a few words."""
    kind = event["kind"]
    if kind == "merge":
        return f"the merger of {event['at']}"
    return f"the {'registration' if kind == 'register' else 'amendment of ' + event['claim']} of {event['at']}"


def chained(event: Mapping[str, Any], *, previous: str) -> dict[str, Any]:
    """The event with the hash of the one before, and its own."""
    whole = {**event, "previous": previous}
    return {**whole, "hash": hash_of(whole)}


def hash_of(event: Mapping[str, Any]) -> str:
    """The hash that an event must have."""
    return digest_of({name: value for name, value in event.items() if name != "hash"})


def batch_digest(claims: Iterable[tuple[str, str, Iterable[str]]]) -> str:
    """What an event knows the claims of its batch by: their ids, the hashes of their first specs, and what had seen
    their pairs."""
    told = [[id, first, list(seen)] for id, first, seen in sorted(claims, key=lambda claim: claim[0])]
    return sha256_of(written(told))


def batch_name(digest: str) -> str:
    """What an entry knows its batch by. A number would be taken twice where two branches register."""
    return digest[:12]


def read_lock(file: Path) -> Lock:
    """The lock of a file; an empty one where there is none. Raises RecordError for what is no lock."""
    try:
        with open_plain(file) as stream:
            raw = stream.read(min(os.fstat(stream.fileno()).st_size, LARGEST + 1))
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error}.") from error
    return parse_lock(raw, named=str(file))


def parse_lock(raw: bytes, *, named: str) -> Lock:
    """The lock of a text. Raises RecordError for what is no lock, with what to do; `named` is its name there."""
    try:
        data = parsed(raw)
    except RecordError as error:
        raise RecordError(f"{named} cannot be read as a lock: {error}") from error
    entries = {
        id: Entry(id, said["spec"], said["batch"], tuple(said["seen"]), tuple(said["prior"]), said["hash"])
        for id, said in data["claims"].items()
    }
    return Lock(entries, tuple(data["events"]))


def write_lock(file: Path, lock: Lock) -> None:
    """Writes the lock whole or not at all. Raises RecordError where it cannot be written."""
    try:
        write_whole(file, formatted(lock).encode())
    except OSError as error:
        raise RecordError(f"{file} could not be written, and is as it was: {error}.") from error
