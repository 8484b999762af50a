"""Meetings: writes that leave a run where an unpatched run already is, so that it need not be run on.

A run's own vectors written back at a site leave it as it is. The other run's vectors written at every
position of the stream make it the other run, from that block on. Neither is believed: the write is
carried out on what the unpatched runs recorded, for every pair, and compared with what it should give,
bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from causaltest.measuring.arms import Moves, Values
from causaltest.measuring.chunk_runs import ChunkRuns, Side
from causaltest.measuring.engine import entries_of
from causaltest.measuring.patches import held, write
from causaltest.measuring.planner import EMBEDDING, Step
from causaltest.measuring.scores import Floats
from causaltest.measuring.vectors import Vectors


@dataclass(frozen=True)
class Meeting:
    """Vectors that are written into one unpatched run, and the unpatched run that this should give."""

    vectors: Vectors
    values: Values
    side: Side
    new_tokens: int
    moves: Moves = ()

    def missed_by(self, chunk: int, runs: ChunkRuns, stop: int) -> Floats:
        """How far the places are, once patched, from the run that they should meet: zero, or the write is wrong.

        `stop` is where the patched run would end; what was recorded may go further. [pair]
        """
        spots, layers = self.vectors.spots[chunk], len(self.vectors.model.blocks)
        pairs = spots[0].where.everyone
        off = torch.zeros(len(pairs))
        with torch.inference_mode():
            for index, spot in enumerate(spots):
                before = held(self.vectors.model, runs.side(self.vectors.side).activations, spot)
                there = held(self.vectors.model, runs.side(self.side).activations, spot)
                start = int(spot.where.first.min())
                values = self.values(chunk, index, pairs, runs)
                move = self.moves[index] if self.moves else None
                patch = write(spot, spot.where.rows, spot.where.flat, values, layers, move)
                step = Step(0, start, stop, 0, ((EMBEDDING, len(pairs)),))
                patched = before[:, start:stop]
                for entries in entries_of([patch]).get(patch.place, ()):
                    patched = entries.write(patched, step)
                away = (patched - there[:, start:stop]).abs().amax(dim=(1, 2))
                # A difference that is no number would be lost in a maximum.
                off = torch.maximum(off, torch.nan_to_num(away.float(), nan=torch.inf).cpu())
        return off.double().numpy()


def worst(missed: Floats) -> float:
    """The largest of some distances; zero for none."""
    return float(np.max(missed, initial=0.0))
