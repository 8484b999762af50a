"""q, k, v and z: an attention module's projections, found by their names and widths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from torch import nn

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.heads import Heads, Projected, side_by_side, stacked, width_in, width_out
from causaltest.measuring.adapters.model import Tap
from causaltest.measuring.adapters.overrides import Names
from causaltest.measuring.adapters.trace import BlockTrace

ALONE: Mapping[Projected, re.Pattern[str]] = {
    "q": re.compile(r"q|q_proj|q_b_proj|query|q_lin|wq"),
    "k": re.compile(r"k|k_proj|key|k_lin|wk"),
    "v": re.compile(r"v|v_proj|value|v_lin|wv"),
}
"""The last part of a path of a projection that gives one of them."""
LATENT = re.compile(r"kv_b_proj")
"""And of multi-head latent attention's, from a latent to all keys and values (arXiv 2405.04434)."""


Found = tuple[dict[Component, Tap], dict[str, str]]
"""Taps, and why others are not offered."""


def attention_taps(queries: int, seen: BlockTrace, attention: str, output: str, names: Names) -> Found:
    """z, q, k and v of one block, as far as its projections are found.

    `output` is the path of the output projection, whose input is z: the heads' outputs side by side.
    """
    wide = width_in(seen.calls[output].module)
    if not queries or not wide or wide % queries:
        return {}, {}
    width = wide // queries
    taps: dict[Component, Tap] = {"head": Tap(seen.calls[output].module, "input", side_by_side(queries, width))}
    inside = {
        path: call.module
        for path, call in seen.calls.items()
        if path.startswith(f"{attention}.") and path != output and width_out(call.module)
    }
    apart = {which: alone(inside, which, names) for which in get_args(Projected)}
    if any(apart.values()):
        for which, module in apart.items():
            if module is not None and (parts := parts_of(module, which, queries, width)) is not None:
                taps[which] = Tap(module, "output", parts)
        latent = any(LATENT.fullmatch(path.rsplit(".", 1)[-1]) for path in inside)
        why = "keys and values are kept as one latent for all heads, so that no projection gives a position's own."
        return taps, {"k": why, "v": why} if latent else {}
    fused = [module for module in inside.values() if heads_in(module, queries, width) is not None]
    if len(fused) == 1:
        heads = heads_in(fused[0], queries, width)
        assert heads is not None
        taps |= {which: Tap(fused[0], "output", stacked(heads, which)) for which in get_args(Projected)}
    return taps, {}


def alone(inside: Mapping[str, nn.Module], which: Projected, names: Names) -> nn.Module | None:
    """The projection that gives q, k or v and nothing else."""
    path = getattr(names, which)
    if path is not None:
        return inside.get(path)
    found = [module for path, module in inside.items() if ALONE[which].fullmatch(path.rsplit(".", 1)[-1])]
    return found[0] if len(found) == 1 else None


def parts_of(module: nn.Module, which: Projected, queries: int, width: int) -> tuple[range, ...] | None:
    """Each head's columns of a projection of its own."""
    wide = width_out(module) or 0
    if which == "q":  # queries may be wider than values
        return side_by_side(queries, wide // queries) if wide % queries == 0 else None
    return side_by_side(wide // width, width) if wide % width == 0 else None


def heads_in(module: nn.Module, queries: int, width: int) -> Heads | None:
    """The heads of a projection that gives q, k and v at once, by its width."""
    keys, left = divmod((width_out(module) or 0) - queries * width, 2 * width)
    return Heads(queries, keys, width) if keys > 0 and not left and queries % keys == 0 else None
