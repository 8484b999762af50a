"""The ducks as CODI publishes a reasoner: `publish(folder)`.

One pytorch_model.bin with LoRA factors beside spoilt base weights in bfloat16, and the projection. Merged, they are
the ducks' own weights bit for bit, and without its LoRA the model is another; so a claim about the published
ducks shows that the whole layout is read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from causaltest.measuring.adapters.codi import CODI_PREFIX
from causaltest.measuring.adapters.declared import LORA_ALPHA
from causaltest.organisms import ducks

ADAPTED = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""The projections with LoRA, as published for GPT-2."""
HEAD = "lm_head.weight"


def publish(folder: Path, *, seed: int = 0) -> Path:
    """Writes the checkpoint to a new folder, with the ducks' own config and tokenizer. Returns the folder."""
    shutil.copytree(ducks.CHECKPOINT, folder, ignore=shutil.ignore_patterns("model.*"))
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, tensor in load_file(ducks.CHECKPOINT / "model.safetensors").items():
        stem, _, kind = name.rpartition(".")
        if not stem.endswith(ADAPTED):
            state[name] = tensor
        elif kind == "bias":
            state[f"{stem}.base_layer.bias"] = tensor
        else:
            state |= factored(stem, tensor, generator)
    # The published files hold the tied head under its own name too.
    state[f"{CODI_PREFIX}{HEAD}"] = state[f"{CODI_PREFIX}transformer.wte.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def factored(stem: str, weight: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """A weight [in, out] as a base and LoRA factors that make up for what the base lacks, exactly.

    The base is the weight cut to bfloat16 and then kept, halved or lost, drawn for each number. What it lacks then
    needs no more bits than the weight has. The rank is the smaller width, so that one factor can be the
    identity and the other the rest; alpha / r is a power of two.
    """
    cut = (weight.view(torch.int32) & -(1 << 16)).view(torch.float32)
    base = cut * torch.randint(0, 3, weight.shape, generator=generator) / 2
    inputs, outputs = weight.shape
    rank = min(inputs, outputs)
    lacking = (weight - base).T * (rank / LORA_ALPHA)
    down, up = (torch.eye(rank), lacking) if inputs == rank else (lacking, torch.eye(rank))
    return {
        f"{stem}.base_layer.weight": base.bfloat16(),
        f"{stem}.lora_A.default.weight": down.contiguous(),
        f"{stem}.lora_B.default.weight": up.contiguous(),
    }
