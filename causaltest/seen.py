"""Seen: that somebody looked at pairs; and Found: a site that such a look has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sweep", "search", "claim"]


@dataclass(frozen=True)
class Seen:
    """What was looked at, on which models and pairs."""

    kind: Kind
    models: tuple[str, ...]
    what: str
    """One line for the report."""
    question: str
    """A hash of what was asked, without the pairs that it was asked of."""
    pairs: str
    """The digest of the pairs."""
    each: frozenset[str]
    """A hash of each pair's prompts."""


@dataclass(frozen=True)
class Found:
    """Where a site was found: by looking at so many sites on these pairs, of which it had the largest estimate."""

    by: Seen
    sites: int
    estimate: float

    def __str__(self) -> str:
        return f"found by the {self.by.kind} {self.by.what} on {len(self.by.each)} pairs, estimate {self.estimate:.3g}"
