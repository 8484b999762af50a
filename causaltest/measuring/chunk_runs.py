"""ChunkRuns: the clean and the corrupt run of every pair of a chunk, and what was recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from causaltest.asking.sites import Component
from causaltest.measuring.trajectory import Run

Side = Literal["clean", "corrupt"]
SIDES: tuple[Side, Side] = ("clean", "corrupt")


@dataclass(frozen=True)
class ChunkRuns:
    """Both unpatched runs of a chunk."""

    clean: Run
    corrupt: Run

    def side(self, side: Side) -> Run:
        return self.clean if side == "clean" else self.corrupt


@dataclass(frozen=True)
class Recorded:
    """A chunk's runs as they were recorded."""

    new_tokens: int
    recorded: frozenset[Component]
    runs: ChunkRuns
    bytes: int


def halves(both: Run) -> ChunkRuns:
    """Runs of which the first half is clean and the second corrupt, without a copy."""
    half = len(both.tokens) // 2
    return ChunkRuns(both.part(slice(half)), both.part(slice(half, 2 * half)))
