"""Latent reasoners in the layout that CODI published (arXiv 2502.21074).

Weights lie under `codi.base_model.model.`, LoRA factors beside their base layer, and the
projection of a last hidden state to the next thought under `prj.`. The config's "reasoning"
block says how many thoughts there are and which tokens begin and end them; without it, they are
those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from causaltest.errors import ModelError
from causaltest.measuring.adapters.assembly import ADDED, Found, empty_decoder, read_tokenizer, reasoner
from causaltest.measuring.adapters.checkpoint import load_into, parted, read_config, read_weights
from causaltest.measuring.adapters.declared import LORA_ALPHA, Declared, declared
from causaltest.measuring.adapters.lora import merged
from causaltest.measuring.adapters.model import LoadedModel, Reasoning

CODI_PREFIX = "codi.base_model.model."
PROJECTION_PREFIX = "prj."
TRAINING_ONLY = ("decoder.", "pj_in.", "pj_out.")
"""What SIM-CoT trains beside CODI to explain its thoughts, and does not run at inference."""
THOUGHTS = 6


def projection(width: int, inner: int | None = None) -> nn.Sequential:
    """From a last hidden state to the next thought's input embedding; keys prj.1, prj.3, prj.ln."""
    inner = inner or width
    project = nn.Sequential(nn.Dropout(0.0), nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
    project.add_module("ln", nn.LayerNorm(width))
    return project


def load_codi(folder: Path, name: str, provenance: Mapping[str, str] | None = None) -> LoadedModel:
    """The reasoner of a checkpoint folder, in eval mode and float32, LoRA merged.

    Raises ModelError when a weight is missing or left over, or the config's block is not understood.
    """
    plain = read_config(folder)
    said = declared(plain, folder)
    (weights, projected), notes = parted(
        read_weights(folder), name, kept=(CODI_PREFIX, PROJECTION_PREFIX), dropped=TRAINING_ONLY
    )
    model = empty_decoder(plain, name, weights, adds=ADDED)
    alpha = LORA_ALPHA if said is None else said.lora_alpha
    load_into(model, merged(weights, model, alpha, name), name)
    project = read_projection(projected, int(model.config.hidden_size), f"{name}'s prj")
    found = Found(folder, name, plain, model, read_tokenizer(folder), {**(provenance or {}), **notes})
    told = "codi" if said else "codi, by its weights' names and with the published checkpoints' tokens"
    said = said or published(found)
    begin, end = said.begin or (), said.end or ()
    # The end token is never an answer: it only closes the thoughts. What may follow it, the end of text, can be one.
    reasoning = Reasoning(said.thoughts, begin, end, project, never_generated=end[:1])
    return reasoner(
        found, reasoning, f"{told}: {said.thoughts} thoughts, begin {begin}, end {end}, lora_alpha {said.lora_alpha:g}"
    )


def read_projection(state: Mapping[str, Tensor], width: int, name: str) -> nn.Module:
    inner = state.get("1.weight")
    project = projection(width, None if inner is None else len(inner))
    load_into(project, {key: tensor.float() for key, tensor in state.items()}, name)
    return project.eval()


def published(found: Found) -> Declared:
    """What the published checkpoints were trained with: their base model's vocabulary, then pad, begin and end.

    Raises ModelError when the tokenizer has other uses for those two.
    """
    begin, end, tokenizer = found.rows - 2, found.rows - 1, found.tokenizer
    others = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    words = set(range(len(tokenizer))) - set(tokenizer.added_tokens_decoder) | others
    if words & {begin, end} or len(tokenizer) > found.rows:
        raise ModelError(
            f"{found.name} has embeddings of {found.rows} tokens and a tokenizer of {len(tokenizer)}, so its "
            "begin and end tokens are not the last two, as in the published checkpoints. Say which they are in "
            f'config.json: "reasoning": {{"layout": "codi", "thoughts": {THOUGHTS}, "begin": [id], "end": [id], '
            f'"lora_alpha": {LORA_ALPHA}}}.'
        )
    return Declared("codi", THOUGHTS, (begin,), (end,))
