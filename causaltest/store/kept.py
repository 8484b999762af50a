"""Kept: the store as one model's measurements see it, whose keys all hold what surrounds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from causaltest.store.altered import FUNCTIONS, altered
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.remote import Remote
from causaltest.store.surroundings import Surroundings
from causaltest.writing.canonical import digest_of

OWN_CLASS = "own class"
"""What a loaded model says of itself where a class of this process's own made it."""


@dataclass(frozen=True)
class Kept:
    """A store, and what surrounds everything that is kept in it from here."""

    store: Store
    surroundings: Surroundings
    passing: list[tuple[str, Any]] = field(default_factory=list, compare=False)
    """Entries that are not needed once the answers that they lead to are kept."""
    doubts: list[str] = field(default_factory=list, compare=False)
    """Why the keys may be another model's, once they may: nothing is read or kept any more."""
    shared: Remote | None = field(default=None, compare=False)
    """Where others keep and find the same."""

    def key(self, kind: str, of: Any) -> str:
        """The key of plain data that tell an entry from all others of its kind."""
        return digest_of([self.surroundings.digest, kind, of])

    def get(self, kind: str, of: Any) -> Entry | None:
        """The entry of plain data; None where there is none, and once there are doubts."""
        if not self.sure:
            return None
        key = self.key(kind, of)
        found = self.store.get(kind, key)
        if found is None and self.shared is not None and (found := self.shared.get(kind, key)) is not None:
            self.store.put(kind, key, found, lasting=False)
        return found

    def has(self, kind: str, of: Any) -> bool:
        """Whether something lies here under its key; it is not read, and may be damaged."""
        return self.sure and self.store.file(kind, self.key(kind, of)).exists()

    def fetch(self, kind: str, ofs: Iterable[Any]) -> None:
        """Has what lies at the address brought here, all at once, so that each is not waited for alone."""
        if self.shared is None or not self.sure:
            return
        keys = [key for of in ofs if not self.store.file(kind, key := self.key(kind, of)).exists()]
        for key, found in self.shared.several(kind, keys):
            self.store.put(kind, key, found, lasting=False)

    def put(self, kind: str, of: Any, entry: Entry, *, lasting: bool = True) -> bool:
        """Keeps an entry; False where it cannot be, or once there are doubts."""
        if not self.sure:
            return False
        key, entry = self.key(kind, of), replace(entry, about=self._called)
        kept = self.store.put(kind, key, entry, lasting=lasting)
        if self.shared is not None:
            self.shared.put(kind, key, entry, self.store.file(kind, key) if kept else None)
        return kept

    def set_aside(self, kind: str, of: Any, entry: Entry, why: str) -> None:
        """Moves an entry out of the way that nobody can use, and does not bring it from the address again."""
        key = self.key(kind, of)
        self.store.set_aside(kind, key, why, entry.read)
        if self.shared is not None:
            self.shared.pass_over(kind, key)

    def drop(self, kind: str, of: Any) -> None:
        self.store.drop(kind, self.key(kind, of))

    def let_go(self) -> None:
        """Drops what has led to answers that are kept now; they are at the address, too, when this returns."""
        while self.passing:
            self.drop(*self.passing.pop())
        if self.shared is not None:
            self.shared.flush()

    @contextmanager
    def alone(self, kind: str, of: Any) -> Iterator[None]:
        """Holds the right to compute an entry."""
        with self.store.alone(kind, self.key(kind, of)):
            yield

    @property
    def sure(self) -> bool:
        """Whether the keys are those of what this process measures."""
        if not self.doubts:
            self._look_around()
        for why in self.doubts:
            self.store.tell(why)
        return not self.doubts

    def _look_around(self) -> None:
        """Doubts the keys where they do not say what this process has set."""
        now = altered()
        if now != self.surroundings.plain.get("altered", now):
            # For good: clean runs that were computed before it would stand in what is measured after it was set back.
            self.doubt(
                f"{differing(self.surroundings.plain['altered'], now)} was set after the first question to "
                f"{self._called}, so nothing more is read from the store or kept in it: set it in the conftest, before"
            )
        elif own := [f"{function} ({name})" for name, function in now if name.split()[0] in FUNCTIONS]:
            self.doubt(
                f"{', '.join(own)} was registered with transformers by this process, and no key says what it computes, "
                "so nothing is read from the store or kept in it"
            )

    def loaded(self, provenance: Mapping[str, str]) -> None:
        """Compares the keys with the model that was loaded; where they are not its own, nothing is read or kept."""
        if (own := provenance.get(OWN_CLASS)) is not None:
            self.doubt(f"{self._called} is made by {own}, which none of its files names, so nothing of it is kept")
        for kind in ("weights", "commit"):
            known, there = self.model.get(kind), provenance.get(kind)
            if known is not None and there is not None and known != there:
                self.doubt(
                    f"{self._called} was loaded with {kind} {there[:8]}, and its files said {known[:8]} before, so "
                    "nothing of this run is kept: run again"
                )

    def doubt(self, why: str) -> None:
        """Reads and keeps nothing more, and says so when it is next asked to."""
        self.doubts.append(why)

    @property
    def model(self) -> Mapping[str, Any]:
        """What the keys say of the model's files."""
        found: Mapping[str, Any] = self.surroundings.plain.get("model", {})
        return found

    @property
    def _called(self) -> str:
        return str(self.surroundings.plain.get("called", "the model"))


def differing(before: list[list[str]], after: list[list[str]]) -> str:
    """The names of what stands in one list alone."""
    return ", ".join(
        sorted({name for name, value in before + after if [name, value] not in before or [name, value] not in after})
    )
