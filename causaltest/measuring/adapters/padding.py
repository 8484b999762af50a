"""Padding: whether a model answers alike when pads stand beside its prompt. Told, and never relied on:
prompts are measured in groups of one length."""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor

from causaltest.measuring.adapters.model import LoadedModel

PADS = 3


@torch.inference_mode()
def padded_equals_unpadded(model: LoadedModel, prompt: Tensor) -> str:
    """A sentence on padding at the left and at the right, with the attention mask that says so. [1, token]"""
    if model.mask is not None or model.reasoning is not None:
        return "none: prompts are measured in groups of one length"
    alone = model.model(input_ids=prompt, use_cache=False).logits[0, -1].float()
    found = []
    for side in ("left", "right"):
        try:
            off = float((padded(model, prompt, side) - alone).abs().max())
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            found.append(f"{side}: refused by the model ({type(error).__name__})")
            continue
        equal = off <= 1e-3 * float(alone.abs().max())
        found.append(f"{side}: {'the same answer' if equal else f'ANOTHER ANSWER (a logit is off by {off:.2g})'}")
    return f"{'; '.join(found)}. Not used: prompts are measured in groups of one length"


def padded(model: LoadedModel, prompt: Tensor, side: str) -> Tensor:
    """The logits behind the prompt's last token with pads on one side, positions counted from the prompt's first."""
    pads = prompt[:, :1].expand(-1, PADS)
    mask = torch.ones_like(prompt)
    if side == "left":
        ids, seen, at = torch.cat([pads, prompt], 1), torch.cat([0 * pads, mask], 1), -1
    else:
        ids, seen, at = torch.cat([prompt, pads], 1), torch.cat([mask, 0 * pads], 1), prompt.shape[1] - 1
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": seen, "use_cache": False}
    if "position_ids" in signature(type(model.model).forward).parameters:
        given["position_ids"] = (seen.cumsum(-1) - 1).clamp(min=0)
    logits: Tensor = model.model(**given).logits[0, at].float()
    return logits
