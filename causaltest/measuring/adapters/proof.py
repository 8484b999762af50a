"""Sites proven on the numbers of two short runs: what a component is called is not what it is.

The first run is read only. In every layer the residual stream after the block must be the stream before it plus
what attention and the MLP add; the next block must start where this one ended; the heads' outputs, projected,
must be what attention adds, and the neurons, projected, what the MLP adds. The second run is written to:
`probes` says how q, k, v and resid_mid are known by what they move. What fails (parallel streams, scaled
residuals, gates after the heads) is disabled for the model, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast, get_args

import torch
from torch import Tensor, nn

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import Block, LoadedModel
from causaltest.measuring.adapters.probes import probe
from causaltest.measuring.engine import Place
from causaltest.measuring.trajectory import run

PROBE_TOKENS = 8
TOLERANCE = 1e-3
"""Relative to the norm of the stream. A wrong tensor is off by far more, rounding by far less."""
ROUNDINGS = 4
"""In half precision a sum is off by this many of the dtype's steps at most."""

Activations = Mapping[Place, Tensor]
Reasons = dict[str, str]
"""Per component, why it is not offered."""


@torch.inference_mode()
def proven(model: LoadedModel, *, probe_tokens: int = PROBE_TOKENS) -> LoadedModel:
    """The model with every component disabled that does not hold in some layer."""
    vocabulary = cast(nn.Embedding, model.model.get_input_embeddings()).num_embeddings
    prompt = torch.arange(1, probe_tokens + 1, device=model.model.device)[None] % vocabulary
    components = frozenset(tap for block in model.blocks for tap in block.taps)
    seen = run(model, prompt, new_tokens=1, record=components).activations
    tolerance = max(TOLERANCE, ROUNDINGS * torch.finfo(model.model.dtype).eps)
    disabled = unknown(model) | read(model, seen, tolerance)
    disabled |= probe(model, prompt, seen, tolerance, disabled)
    return replace(model, disabled={**disabled, **model.disabled})


def unknown(model: LoadedModel) -> Reasons:
    """The components that some block has no tap for."""
    return {
        component: f"the modules that hold it in layer {layer} are not known by name."
        for component in get_args(Component)
        for layer, block in enumerate(model.blocks)
        if component not in ("embed", "resid_mid") and component not in block.taps
    }


def read(model: LoadedModel, seen: Activations, tolerance: float) -> Reasons:
    """The sums and projections that must hold in every layer of an unpatched run."""
    disabled: Reasons = {}
    for layer, block in enumerate(model.blocks):
        before, after = seen["resid_pre", layer], seen["resid_post", layer]
        off = distance(before + seen["attn_out", layer] + seen["mlp_out", layer], after)
        if off > tolerance:
            why = f"in layer {layer} it is not what is added to the residual stream (off by {off:.2g} of its norm)."
            disabled |= {"attn_out": why, "mlp_out": why}
        if layer and (off := distance(before, seen["resid_post", layer - 1])) > tolerance:
            why = f"block {layer} does not start where block {layer - 1} ended (off by {off:.2g} of its norm)."
            disabled |= {"resid_pre": why, "resid_post": why}
        disabled |= projected(block, layer, seen, tolerance)
    return disabled


def projected(block: Block, layer: int, seen: Activations, tolerance: float) -> Reasons:
    """Heads and neurons, projected and normed as the family does, against what the block adds."""
    disabled: Reasons = {}
    ways: tuple[tuple[Component, Component, nn.Module | None, str], ...] = (
        ("head", "attn_out", block.attention_norm, "the heads, projected, are not attention's output"),
        ("neuron", "mlp_out", block.mlp_norm, "the neurons, projected, are not the MLP's output"),
    )
    for parts, whole, norm, why in ways:
        if parts in block.taps:
            given = block.taps[parts].module(seen[parts, layer])
            off = distance(given if norm is None else norm(given), seen[whole, layer])
            if off > tolerance:
                disabled[parts] = f"in layer {layer} {why} (off by {off:.2g})."
    return disabled


def distance(found: Tensor, wanted: Tensor) -> float:
    """Relative distance by norm; a cosine would not see a wrong scale."""
    return float(torch.dist(found.float(), wanted.float()) / torch.linalg.vector_norm(wanted.float()))
