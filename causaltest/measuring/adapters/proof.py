"""Sites proven on the numbers of one short run: what a component is called is not what it is.

In every layer the residual stream after the block must be the stream before it plus what attention
and the MLP add; the next block must start where this one ended; and the heads' outputs, projected,
must be attention's output. Where that fails (norms after a component, parallel streams, scaled
residuals) the component is disabled for the model, with the reason.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Place, run

PROBE_TOKENS = 8
TOLERANCE = 1e-3
"""Relative to the norm of the stream. A wrong tensor is off by far more, rounding by far less."""


@torch.inference_mode()
def proven(model: LoadedModel, *, probe_tokens: int = PROBE_TOKENS) -> LoadedModel:
    """The model with every component disabled that does not hold in some layer."""
    vocabulary = cast(nn.Embedding, model.model.get_input_embeddings()).num_embeddings
    prompt = torch.arange(1, probe_tokens + 1, device=model.model.device)[None] % vocabulary
    seen = run(
        model, prompt, new_tokens=1, record=("resid_pre", "attn_out", "mlp_out", "head", "resid_post")
    ).activations
    disabled = dict(model.disabled)
    for layer, block in enumerate(model.blocks):
        before, after = seen["resid_pre", layer], seen["resid_post", layer]
        off = distance(before + seen["attn_out", layer] + seen["mlp_out", layer], after)
        if off > TOLERANCE:
            why = f"in layer {layer} it is not what is added to the residual stream (off by {off:.2g} of its norm)."
            disabled |= {"attn_out": why, "mlp_out": why}
        off = distance(block.output_projection(seen["head", layer]), seen["attn_out", layer])
        if off > TOLERANCE:
            disabled["head"] = f"in layer {layer} the heads, projected, are not attention's output (off by {off:.2g})."
        if layer and distance(before, seen["resid_post", layer - 1]) > TOLERANCE:
            disabled |= chain_broken(seen, layer)
    return replace(model, disabled=disabled)


def chain_broken(seen: dict[Place, Tensor], layer: int) -> dict[str, str]:
    off = distance(seen["resid_pre", layer], seen["resid_post", layer - 1])
    why = f"block {layer} does not start where block {layer - 1} ended (off by {off:.2g} of its norm)."
    return {"resid_pre": why, "resid_post": why}


def distance(found: Tensor, wanted: Tensor) -> float:
    """Relative distance by norm; a cosine would not see a wrong scale."""
    return float(torch.dist(found.float(), wanted.float()) / torch.linalg.vector_norm(wanted.float()))
