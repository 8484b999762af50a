"""A row of the table: what was compared, what came out, and what is wanted of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Options:
    """How thoroughly to measure."""

    repeats: int = 3
    threads: int = 2
    every: int = 3
    """A peer's slow loop runs on every so-many-th layer and is scaled up."""


@dataclass(frozen=True)
class Row:
    """One comparison. `figure` is the number that is wanted: a ratio, or seconds, or bytes in GB."""

    what: str
    against: str
    unit: str = "x"
    better: Literal["more", "less"] = "more"
    at_least: float | None = None
    """What is wanted: at least this, or at most where less is better."""
    aim: float | None = None
    ours: str = ""
    theirs: str = ""
    figure: float | None = None
    """None when nothing was measured; `notes` says why."""
    lowest: float | None = None
    highest: float | None = None
    worst_difference: float | None = None
    """The largest difference between our numbers and the peer's, which were compared in the same run."""
    notes: str = ""
    failed: bool = False

    @property
    def outcome(self) -> str:
        if self.figure is None:
            return "FAILED" if self.failed else "not measured"
        if self.at_least is None or self.aim is None:
            return ""
        return "aim met" if self.reaches(self.aim) else "met" if self.reaches(self.at_least) else "MISSED"

    def reaches(self, wanted: float) -> bool:
        assert self.figure is not None
        return self.figure >= wanted if self.better == "more" else self.figure <= wanted

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
