"""Registration: claims enter the lock before their data are seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.changes import Change, changes, differences
from causaltest.recording.entering import Event, enter
from causaltest.recording.lock import Entry, Lock, batch_digest, batch_name
from causaltest.recording.record import Record
from causaltest.recording.spec import Spec
from causaltest.writing.canonical import sha256_of, written

OF_A_NAME = frozenset({"body", "family"})
"""Fields that another name of the function, or of its file, changes too."""


@dataclass(frozen=True)
class Candidate:
    """A claim to be registered, and what has seen its pairs already."""

    spec: Spec
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registered:
    """What a registration did."""

    batch: int = 0
    """The number of the batch that was entered; 0 where nothing was."""
    new: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    differing: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)
    """Claims that are registered otherwise, with the fields that differ: nothing was changed for them."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """By its id in the code, the id that a claim is registered under: nothing was changed for it."""
    gone: tuple[str, ...] = ()
    """Claims of the lock that are not in the code any more."""

    def sentences(self, folder: str = "FOLDER") -> list[str]:
        """What is left to do in the record's folder, a sentence each."""
        told = [
            f"{id} is registered otherwise ({'; '.join(changes(fields))}), and stays so: "
            f"{amending(id, folder)} amends it"
            for id, fields in self.differing.items()
        ]
        told += [
            f"{id} is what is registered as {was}, and {was} is not among these claims. It was not entered: "
            f"{amending(id, folder, was=was)} says that this is its new name. If both are meant, register them together"
            for id, was in self.renamed.items()
        ]
        told += [f"{id} is registered and not in the code any more. It stays in the lock" for id in self.gone]
        return told


def amending(id: str, folder: str, *, was: str = "") -> str:
    """The command, as a person types it."""
    renamed = f" --was '{was}'" if was else ""
    return f"`causaltest register {folder} --amend '{id}'{renamed} --why \"...\"`"


def register(record: Record, candidates: Iterable[Candidate], *, whole: bool = False) -> Registered:
    """Enters the claims that are not in the lock yet, as one batch; those that are stay as they are.

    `whole` says that these are all the claims of the record's folder, so that what is not among them is gone. Raises
    RecordError for two claims with one id, and for a lock that cannot be read or written; Tampered for one that does
    not hold.
    """
    given = by_id(candidates)
    done: list[Registered] = []

    def change(lock: Lock) -> tuple[Lock, list[Event]]:
        known = {id: c for id, c in given.items() if id in lock.entries}
        differing = {id: d for id, c in sorted(known.items()) if (d := differing_fields(lock.entries[id], c.spec))}
        gone = sorted(lock.entries.keys() - given.keys())
        others = {id: c for id, c in sorted(given.items()) if id not in known}
        missing = {nameless(lock.entries[id].spec): id for id in gone} if others else {}
        maybe = others if missing else {}
        renamed = {id: missing[same] for id, c in maybe.items() if (same := nameless(c.spec.fields)) in missing}
        new = {id: c for id, c in others.items() if id not in renamed}
        digest = batch_digest((id, c.spec.digest, c.seen) for id, c in new.items())
        entered = {id: Entry(id, c.spec.fields, batch_name(digest), c.seen) for id, c in new.items()}
        done.append(
            Registered(
                lock.batches + 1 if new else 0,
                tuple(new),
                tuple(sorted(known.keys() - differing.keys())),
                differing,
                renamed,
                tuple(id for id in gone if whole and id not in renamed.values()),
            )
        )
        event = {"kind": "register", "claims": len(new), "digest": digest}
        return Lock({**lock.entries, **entered}, lock.events), [event] if new else []

    enter(record, change)
    return done[0]


def by_id(candidates: Iterable[Candidate]) -> dict[str, Candidate]:
    given: dict[str, Candidate] = {}
    for candidate in candidates:
        if given.setdefault(candidate.spec.id, candidate) is not candidate:
            raise RecordError(
                f"Two claims have the id {candidate.spec.id!r}, which names one entry in the lock: give each its own "
                "@claim(..., id=...)."
            )
    return given


def differing_fields(entry: Entry, spec: Spec) -> dict[str, Change]:
    """Nothing for most claims, which one comparison of hashes tells."""
    return {} if entry.digest == spec.digest else differences(entry.spec, spec.fields)


def nameless(fields: Mapping[str, Any]) -> str:
    """A spec's hash without what its function's name changes."""
    return sha256_of(written({name: value for name, value in fields.items() if name not in OF_A_NAME}))
