"""Arms: the runs that an experiment compares, each as where it is patched and what is written there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.moves import Move
from causaltest.measuring.patches import Spot
from causaltest.measuring.planner import Ints

Values = Callable[[int, int, Ints, ChunkRuns], Tensor]
"""Chunk, spot and pairs of the chunk, and its unpatched runs: to the vectors to write. [entry, width]"""
Moves = tuple[Move | None, ...]
"""Per spot, how its values are brought there; None: they take the place of what is there."""


@dataclass(frozen=True)
class Arm:
    """One run of every pair, or of a few."""

    side: Side
    """The unpatched run that is changed."""
    spots: tuple[tuple[Spot, ...], ...]
    """Per chunk."""
    values: Values | None
    """None: the run begins and joins where the others do, and nothing is written."""
    new_tokens: int
    few: bool = False
    """Whether it is run for the first pair of each chunk alone."""
    moves: Moves = ()
    """As many as spots; none where all values take the place of what is there."""

    def move(self, spot: int) -> Move | None:
        return self.moves[spot] if self.moves else None

    def pairs(self, chunk: int) -> Ints:
        """The pairs of a chunk that it is run for."""
        return np.arange(1 if self.few else len(self.spots[chunk][0].where.positions))
