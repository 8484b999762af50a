"""Record: the folder of claims that a lock and a ledger belong to, and a claim's place in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording import ledger, lock
from causaltest.recording.clock import now
from causaltest.recording.git import Committed, committed, top_of
from causaltest.recording.ledger import Ledger, Line
from causaltest.recording.lock import Lock, read_lock
from causaltest.recording.others import seen_before
from causaltest.recording.sighted import Sighted
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Standing, Status, other_numbers, standing_of
from causaltest.recording.verification import broken_record
from causaltest.recording.versions import versions
from causaltest.seen import Seen

DOES_NOT_HOLD = "the record does not hold: causaltest verify says where"
ASKED_ELSEWHERE = "the same was asked of these pairs before, and the ledger does not have it"


@dataclass(frozen=True)
class Asked:
    """A claim that was just measured, and what is known of its pairs besides the ledger."""

    spec: Spec
    seed: str
    claims: Sequence[Seen] = ()
    """What it has looked at itself."""
    seen: Sequence[str] = ()
    """Sentences of what has seen its pairs before."""
    asked: bool = False
    """Whether somebody has asked the same of the same pairs."""
    why_not: str = ""
    """Why it cannot be better than exploratory."""


class Record:
    """A folder's lock and ledger; the lock is read once for one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / ledger.NAME)
        self._sighted = Sighted()

    @property
    def lock_file(self) -> Path:
        return self.folder / lock.NAME

    @cached_property
    def lock(self) -> Lock:
        return read_lock(self.lock_file)

    def read_again(self) -> None:
        """Forgets the lock that was read: another was just written."""
        self.__dict__.pop("lock", None)

    @cached_property
    def committed(self) -> Committed:
        return committed(self.lock_file, beside=(ledger.NAME,))

    @cached_property
    def problem(self) -> str:
        """Why nothing that stands here may be believed; empty where it holds."""
        try:
            return DOES_NOT_HOLD if broken_record(self.folder, self.lock, self.ledger.lines) else ""
        except RecordError as error:
            return self.told(error)

    @cached_property
    def unreadable(self) -> str:
        """Why the lock cannot be read; empty where it can."""
        try:
            _ = self.lock
        except RecordError as error:
            return self.told(error)
        return ""

    def told(self, error: RecordError) -> str:
        """What is wrong, without the place of the folder on this machine: it is written where others read it."""
        return str(error).replace(f"{self.folder}{os.sep}", "")

    @cached_property
    def registered(self) -> dict[str, Any]:
        """The lock's hash and the number of its claims, for a report."""
        if self.unreadable:
            return {"lock": "", "registered": 0}
        return {"lock": self.lock.head, "registered": len(self.lock.entries)}

    def family_size(self, id: str) -> int | None:
        """Of a registered claim, that of its batch: a claim that is added later does not change its neighbours."""
        entry = None if self.unreadable else self.lock.entries.get(id)
        return None if entry is None else int(entry.spec["family"]["size"])

    def first_look(self, id: str, claims: Sequence[Seen]) -> str:
        """When the ledger says that a claim was first asked of these pairs; empty where it never was."""
        try:
            names = self.lock.names(id)
            asked = [one for claim in claims for one in self.sighted().asked(claim) if one.line["claim"] in names]
        except RecordError:
            return ""
        return min((str(one.line["at"]) for one in asked), default="")

    def look(
        self,
        spec: Spec,
        *,
        seed: str,
        seen: Sequence[str],
        told: Mapping[str, Any],
        claims: Sequence[Seen] = (),
        asked: bool = False,
        why_not: str = "",
    ) -> Standing:
        """The standing of a claim that was just measured; the look is written down unless it is there already.

        `seen` and `asked` are what is known besides the ledger: sentences of what has seen its pairs, and whether
        somebody has asked the same of them. `claims` are what it has looked at itself; `why_not` is why it cannot be
        better than exploratory.
        """
        given = Asked(spec, seed, claims, seen, asked, why_not)
        standing: list[Standing] = []

        def line(_: list[Line]) -> Line | None:
            standing[:] = [self.standing(given)]
            return None if self.looked(given) else self.line(given, standing[0], told)

        try:
            if self.looked(given):  # nothing is to be written, so also where nothing can be
                standing = [self.standing(given)]
            else:
                self.ledger.append(line)
        except RecordError as error:
            return Standing(Status.EXPLORATORY, self.told(error))
        except OSError as error:
            return Standing(
                Status.EXPLORATORY, f"the look could not be written down, so nobody would know of it: {error}"
            )
        moved = other_numbers(standing[0], told)
        if moved and told["verdict"] != standing[0].first["verdict"]:
            # a verdict that nobody has confirmed stands beside no word that says so
            return replace(standing[0], status=Status.EXPLORATORY, reason=moved)
        return replace(standing[0], notes=(moved,)) if moved else standing[0]

    def note(self, seen: Iterable[Seen]) -> None:
        """Writes down sweeps and searches that were made in a run of this folder, each once.

        Where that fails no look can be written down either, and that is told of each.
        """
        for one in seen:
            with suppress(RecordError, OSError):
                if not self.sighted().has(one):
                    self.ledger.append(partial(self.search, one))

    def standing(self, given: Asked) -> Standing:
        if self.unreadable:
            return Standing(Status.EXPLORATORY, self.unreadable)
        sighted, spec = self.sighted(), given.spec
        names = self.lock.names(spec.id)
        entry = self.lock.entries.get(spec.id)
        same = [one for claim in given.claims for one in sighted.asked(claim)]
        seen = [
            *given.seen,
            *seen_before(given.claims, sighted, self.lock, spec.id),
            *([ASKED_ELSEWHERE] if given.asked and not same else []),
        ]
        return standing_of(
            spec,
            entry,
            seed=given.seed,
            committed=self.committed,
            looks=[look for name in reversed(names) for look in self.ledger.looks_at(name)],
            seen=list(dict.fromkeys(seen)),
            why_not=given.why_not or self.problem,
        )

    def looked(self, given: Asked) -> bool:
        """Whether the ledger has this very look."""
        return any(
            (look["spec"], look["seed"]) == (given.spec.digest, given.seed)
            for look in self.ledger.looks_at(given.spec.id)
        )

    def line(self, given: Asked, standing: Standing, told: Mapping[str, Any]) -> Line:
        return {
            "kind": "look",
            "claim": given.spec.id,
            "spec": given.spec.digest,
            "data": given.spec.data_digest,
            "seed": given.seed,
            "status": str(standing.status),
            "reason": standing.reason,
            "sightings": self.sighted().plain(given.claims),
            **self.circumstances(),
            **told,
        }

    def search(self, seen: Seen, _: list[Line]) -> Line | None:
        sighted = self.sighted()
        if sighted.has(seen):
            return None
        return {"kind": seen.kind, "sightings": sighted.plain([seen]), **self.circumstances()}

    def circumstances(self) -> dict[str, Any]:
        """When a line was written, and with what."""
        return {
            "at": now(),
            "commit": self.committed.head,
            "dirty": self.committed.dirty,
            "lock": "" if self.unreadable else self.lock.head,
            "versions": versions(),
        }

    def sighted(self) -> Sighted:
        """What the ledger knows of looks at pairs by now."""
        lines = self.ledger.lines
        if not self._sighted.begins(lines):
            self._sighted = Sighted()
        self._sighted.take(lines)
        return self._sighted


class Records:
    """The records of a run, each read once, whichever of its test files asks."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._by_place: dict[Path, Record | None] = {}
        self._by_folder: dict[Path, Record] = {}

    def of(self, file: Path) -> Record | None:
        """The record that a test file belongs to; None where no folder above it has a lock."""
        if file.parent not in self._by_place:
            found = record_of(file, top=self.top)
            self._by_place[file.parent] = None if found is None else self.at(found.folder)
        return self._by_place[file.parent]

    def at(self, folder: Path) -> Record:
        """The record of a folder, which may be without a lock yet."""
        return self._by_folder.setdefault(folder, Record(folder))


def record_of(file: Path, *, top: Path) -> Record | None:
    """The record that a test file belongs to: that of the nearest folder above it with a lock, up to `top` or to the
    top of the repository, whichever is higher: a run may be called in a part of it."""
    above = [one for one in (top, top_of(file.parent)) if one is not None and file.is_relative_to(one)]
    top = min(above, key=lambda folder: len(folder.parts), default=top)
    for folder in file.parents:
        if (folder / lock.NAME).is_file():
            return Record(folder)
        if folder == top:
            break
    return None


def id_in(record_folder: Path, nodeid: str, file: Path) -> str:
    """A test's id within its record: the same wherever pytest is called from."""
    return f"{relative(file, record_folder)}::{nodeid.split('::', 1)[1]}"


@lru_cache(maxsize=64)
def relative(file: Path, folder: Path) -> str:
    """A file as its record names it."""
    return file.relative_to(folder).as_posix()
