"""What controls are made of: the self-patch as it is read, every position of a site, what a place may not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from causaltest.asking.experiment import Patching
from causaltest.asking.metrics import Metric
from causaltest.asking.positions import Position
from causaltest.asking.sites import STREAM, Site
from causaltest.effect import SelfPatch
from causaltest.errors import PositionError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.proofs import rounding_at_most
from causaltest.measuring.readings import Apart

EVERYWHERE = Position("everywhere")
EPSILON = float(torch.finfo(torch.float32).eps)
"""Logits are compared in single precision."""
NOISE_FACTOR = 4
"""How many times the rounding that was seen in some runs may be met in others."""


def self_patch(apart: Apart, dtype: torch.dtype) -> SelfPatch:
    """How far writing a run's own value moves any answer logit, and how far rounding alone may.

    Rounding is measured on every pair: the same unpatched run, once whole and once as patched runs are
    computed. A model that answers differently each time, or that was changed since its unpatched runs were kept, is
    off by more than any rounding: it gets no allowance for it, and has moved by as much.
    """
    off, most = apart.off, rounding_at_most(dtype) * apart.largest
    noise = NOISE_FACTOR * off
    if noise > 0:
        noise = max(noise, EPSILON * apart.largest)
    return SelfPatch(max(apart.moved, off) if off > NOISE_FACTOR * most else apart.moved, min(noise, most))


def everywhere(site: Site, model: LoadedModel) -> Site:
    if site.component in STREAM:
        return replace(site, position=EVERYWHERE)
    parts: range | tuple[int, ...] = ()
    if site.parts:
        parts = range(len(model.blocks[site.layers[0]].taps[site.component].parts))
    return replace(site, position=EVERYWHERE, layers=tuple(range(len(model.blocks))), parts=tuple(parts))


def refuse_late_steps(patching: Patching, metric: Metric, new_tokens: int) -> None:
    late = [k for s in patching.sites if s.position.kind == "step" for k in s.position.numbers if k >= new_tokens]
    if late:
        raise PositionError(
            f"step({late[0]}) comes after the last token that {metric} reads here (it reads {new_tokens}), so a "
            f"patch there cannot matter. The steps are 0 to {new_tokens - 1}."
        )


def refuse_alike(
    own: Position, wrong: Position, mine: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]], ids: Sequence[str]
) -> None:
    """Raises PositionError where a wrong position is the claim's own in some pair. Absolute positions per pair."""
    alike = [pair for pair, a, b in zip(ids, mine, theirs, strict=True) if set(a) & set(b)]
    if alike:
        raise PositionError(
            f"wrong_position={wrong} overlaps with the claim's own position, {own}, in {len(alike)} of {len(ids)} "
            f"pairs ({', '.join(alike[:3])}): name one that is another in every pair."
        )
