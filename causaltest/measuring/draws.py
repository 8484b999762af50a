"""Draws: noise and partners from the seed and a pair's id, so that neither order nor chunks change them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from causaltest.errors import MeasurementError
from causaltest.measuring.partners import NOBODY, Partners, Pool
from causaltest.measuring.patches import Spot


def noise(seed: str, pair_id: str, spot: Spot, positions: Sequence[int], width: int) -> Tensor:
    """Standard normal numbers of one pair at one spot: those of a position are the same alone and beside others, and
    no other position has them. [entry, width]"""
    drawn = []
    for position in positions:
        name = f"gaussian {seed} {pair_id} {spot.component} {spot.layer} {spot.part} {position}"
        generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
        drawn.append(torch.randn(width, generator=generator))
    return torch.stack(drawn)


def resampled(
    seed: str, ids: Sequence[str], clusters: Sequence[str], shapes: Sequence[tuple[Hashable, ...]]
) -> Partners:
    """For each pair another one with as many positions, from another cluster where there is one.

    Raises MeasurementError when a pair has no such other.
    """
    pool = Pool(clusters, shapes, [True] * len(ids), sorted(range(len(ids)), key=lambda i: ids[i]))
    chosen = np.empty(len(ids), dtype=np.int32)
    for i, name in enumerate(ids):
        chosen[i] = pool.one_of(i, random.Random(f"resample {seed} {name}").choice)
        if chosen[i] == NOBODY:
            raise MeasurementError(
                f"by=resample takes another pair's activation, and no other pair has as many positions as {name}. "
                "Name one position, or add pairs of its length."
            )
    return chosen
