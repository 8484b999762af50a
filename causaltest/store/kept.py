"""Kept: the store as one model's measurements see it, whose keys all hold what surrounds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.surroundings import Surroundings
from causaltest.writing.canonical import digest_of


@dataclass(frozen=True)
class Kept:
    """A store, and what surrounds everything that is kept in it from here."""

    store: Store
    surroundings: Surroundings
    passing: list[tuple[str, Any]] = field(default_factory=list, compare=False)
    """Entries that are not needed once the answers that they lead to are kept."""

    def key(self, kind: str, of: Any) -> str:
        """The key of plain data that tell an entry from all others of its kind."""
        return digest_of([self.surroundings.digest, kind, of])

    def get(self, kind: str, of: Any) -> Entry | None:
        return self.store.get(kind, self.key(kind, of))

    def put(self, kind: str, of: Any, entry: Entry, *, lasting: bool = True) -> bool:
        about = str(self.surroundings.plain["called"])
        return self.store.put(kind, self.key(kind, of), replace(entry, about=about), lasting=lasting)

    def drop(self, kind: str, of: Any) -> None:
        self.store.drop(kind, self.key(kind, of))

    def let_go(self) -> None:
        """Drops what has led to answers that are kept now."""
        while self.passing:
            self.drop(*self.passing.pop())

    @contextmanager
    def alone(self, kind: str, of: Any) -> Iterator[None]:
        """Holds the right to compute an entry."""
        with self.store.alone(kind, self.key(kind, of)):
            yield
