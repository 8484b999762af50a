"""Lock: the claims that were registered, as a file that a person commits.

    claims    by id: the spec with its hash, the batch that it was registered in, what had seen its pairs before,
              and its prior specs
    events    registrations and amendments in order, each with the hash of the one before and the ledger's head

One field stands on one line, and claims are sorted, so that a change shows as that change alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.canonical import canonical, digest_of

NAME = "claims.lock"
FORMAT, VERSION = "causaltest lock", 1


@dataclass(frozen=True)
class Entry:
    """One registered claim."""

    id: str
    spec: Mapping[str, Any]
    batch: int
    seen: tuple[str, ...] = ()
    """What had seen its pairs before it was registered, a sentence each."""
    prior: tuple[Mapping[str, Any], ...] = ()
    """Its specs before it was amended, the first registered first."""

    @cached_property
    def digest(self) -> str:
        return digest_of(self.spec)

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


def chained(event: Mapping[str, Any], *, previous: str) -> dict[str, Any]:
    """The event with the hash of the one before, and its own."""
    whole = {**event, "previous": previous}
    return {**whole, "hash": digest_of(whole)}


def batch_digest(entries: Iterable[Entry]) -> str:
    """What an event knows the claims of its batch by: their ids, first specs, and what had seen their pairs."""
    return digest_of([[e.id, digest_of(e.first), list(e.seen)] for e in sorted(entries, key=lambda e: e.id)])


def read_lock(file: Path) -> Lock:
    """The lock of a file; an empty one where there is none. Raises RecordError for what is no lock."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Lock()
    data = json.loads(text)
    if data.get("format") != FORMAT:
        raise RecordError(f"{file} is no {FORMAT}.")
    entries = {
        id: Entry(id, said["spec"], said["batch"], tuple(said["seen"]), tuple(said["prior"]))
        for id, said in data["claims"].items()
    }
    return Lock(entries, tuple(data["events"]))


def write_lock(file: Path, lock: Lock) -> None:
    """Writes the lock whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(formatted(lock), encoding="utf-8")
    partial.replace(file)


def formatted(lock: Lock) -> str:
    claims = ",\n".join(f"  {canonical(id)}: {formatted_entry(lock.entries[id])}" for id in sorted(lock.entries))
    events = ",\n".join(f"  {canonical(event)}" for event in lock.events)
    return (
        f'{{\n "claims": {{\n{claims}\n }},\n "events": [\n{events}\n ],\n'
        f' "format": {canonical(FORMAT)},\n "version": {VERSION}\n}}\n'
    )


def formatted_entry(entry: Entry) -> str:
    spec = ",\n".join(f"    {canonical(name)}: {canonical(entry.spec[name])}" for name in sorted(entry.spec))
    return (
        f'{{\n   "batch": {entry.batch},\n   "hash": "{entry.digest}",\n   "prior": {canonical(list(entry.prior))},\n'
        f'   "seen": {canonical(list(entry.seen))},\n   "spec": {{\n{spec}\n   }}\n  }}'
    )
