"""Latent reasoners in the layout that CODI published (arXiv 2502.21074).

Weights lie under `codi.base_model.model.`, LoRA factors beside their base layer, and the
projection of a last hidden state to the next thought under `prj.`. The config's "reasoning"
block says how many thoughts there are and which tokens begin and end them.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from causaltest.errors import ModelError, PairsError
from causaltest.measuring.adapters.decoder import count_heads, resolve_blocks
from causaltest.measuring.adapters.model import LoadedModel, Reasoning
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.adapters.routing import ROUTED_ATTENTION, Routing, routed_mask

CODI_PREFIX = "codi.base_model.model."
PROJECTION_PREFIX = "prj."
LORA_ALPHA = 32


def projection(width: int) -> nn.Sequential:
    """From a last hidden state to the next thought's input embedding; keys prj.1, prj.3, prj.ln."""
    project = nn.Sequential(nn.Dropout(0.0), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
    project.add_module("ln", nn.LayerNorm(width))
    return project


@dataclass(frozen=True)
class ReasoningConfig:
    """The config's "reasoning" block."""

    thoughts: int
    begin: tuple[int, ...]
    end: tuple[int, ...]
    lora_alpha: float = LORA_ALPHA


def is_codi(folder: Path) -> bool:
    """Whether a checkpoint folder declares latent reasoning in CODI's layout."""
    return (folder / "config.json").is_file() and "reasoning" in read_config(folder)


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds a {type(config).__name__}; a config is an object.")
    return config


def load_codi(folder: Path, name: str, provenance: dict[str, str] | None = None) -> LoadedModel:
    """The reasoner of a checkpoint folder, in eval mode and float32.

    Raises ModelError when a weight is missing or left over, or the config's block is not understood.
    """
    plain = read_config(folder)
    said = reasoning_config(plain, folder)
    config = AutoConfig.for_model(**{k: v for k, v in plain.items() if k not in ("reasoning", "routing")})
    state = merged(read_weights(folder), said.lora_alpha)
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation=ROUTED_ATTENTION if "routing" in plain else None, dtype=torch.float32
    )
    project = projection(config.hidden_size)
    load_into(model, under(CODI_PREFIX, state), name)
    load_into(project, under(PROJECTION_PREFIX, state), f"{name}'s prj")
    mask, probe_tokens = None, 8
    if "routing" in plain:
        routing, layers, thoughts = routing_config(plain, folder), len(resolve_blocks(model)), said.thoughts

        probe_tokens = routing.segments * routing.segment_tokens

        def mask(prompt_tokens: int, total: int) -> Tensor:
            if prompt_tokens < probe_tokens:
                raise PairsError(
                    f"{name} reads prompts of {routing.segments} segments of {routing.segment_tokens} tokens each, and "
                    f"this one has {prompt_tokens} tokens. For the ducks, draw pairs with ducks.twins()."
                )
            return routed_mask(routing, layers, prompt_tokens, thoughts, total)

    loaded = LoadedModel(
        name=name,
        model=model.eval(),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        blocks=resolve_blocks(model),
        heads=count_heads(model),
        # The end token is never an answer: it only closes the thoughts.
        reasoning=Reasoning(said.thoughts, said.begin, said.end, project.eval(), never_generated=said.end),
        mask=mask,
        provenance=provenance or {},
    )
    return proven(replace(loaded, probe_tokens=probe_tokens))


def reasoning_config(plain: dict[str, Any], folder: Path) -> ReasoningConfig:
    try:
        return checked(dict(plain["reasoning"]))
    except (TypeError, ValueError) as error:
        raise ModelError(
            f'{folder / "config.json"}: the "reasoning" block is not understood ({error}). It needs "layout": "codi", '
            '"thoughts": how many, "begin": [token ids], "end": [token ids], and may give "lora_alpha".'
        ) from error


def checked(block: dict[str, Any]) -> ReasoningConfig:
    layout = block.pop("layout", "codi")
    if layout != "codi":
        raise ValueError(f"layout {layout!r} is not known")
    fields_given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in block.items()}
    given = ReasoningConfig(**fields_given)
    if type(given.thoughts) is not int or given.thoughts < 1:
        raise ValueError(f"thoughts is {given.thoughts!r}")
    for name in ("begin", "end"):
        ids = getattr(given, name)
        if not isinstance(ids, tuple) or not ids or any(type(i) is not int for i in ids):
            raise ValueError(f"{name} is {block[name]!r}")
    if not isinstance(given.lora_alpha, int | float):
        raise ValueError(f"lora_alpha is {given.lora_alpha!r}")
    return given


def routing_config(plain: dict[str, Any], folder: Path) -> Routing:
    try:
        return Routing(**plain["routing"])
    except TypeError as error:
        needed = ", ".join(field.name for field in fields(Routing))
        raise ModelError(
            f'{folder / "config.json"}: the "routing" block is not understood ({error}). It needs {needed}.'
        ) from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors. A .bin is a pickle, so it is read as tensors only."""
    if (folder / "model.safetensors").is_file():
        return load_file(folder / "model.safetensors")
    if (folder / "pytorch_model.bin").is_file():
        return read_bin(folder / "pytorch_model.bin")
    raise ModelError(f"{folder} holds neither model.safetensors nor pytorch_model.bin.")


def read_bin(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} holds more than tensors, or is damaged, and is not read: unpickling it could run code. "
            "Save the weights as model.safetensors."
        ) from error
    return state


def merged(state: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The weights with their LoRA factors added: W + alpha / r * B A (Hu et al., arXiv 2106.09685).

    GPT-2's projections store [in, out], so the product is transposed there.
    """
    plain = {k.replace(".base_layer.", "."): v for k, v in state.items() if ".lora_" not in k}
    for key, down in state.items():
        if not key.endswith(".lora_A.default.weight"):
            continue
        stem = key.removesuffix(".lora_A.default.weight")
        beside = f"{stem}.lora_B.default.weight", f"{stem}.weight"
        if beside[0] not in state or beside[1] not in plain:
            raise ModelError(f"The checkpoint holds {key}, and not {' and '.join(beside)} that belong to it.")
        up, weight = state[beside[0]], plain[beside[1]]
        added = (alpha / down.shape[0]) * (up @ down)
        transposed = stem.rsplit(".", 1)[-1] in ("c_attn", "c_proj", "c_fc")
        plain[f"{stem}.weight"] = weight + (added.T if transposed else added)
    return plain


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def load_into(module: nn.Module, state: dict[str, Tensor], name: str) -> None:
    try:
        result = module.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a tensor of another shape
        raise ModelError(f"{name}: the checkpoint does not fit its config. {error}") from error
    missing = [key for key in result.missing_keys if key != "lm_head.weight" or not tied(module)]
    if missing or result.unexpected_keys:
        raise ModelError(
            f"{name}: the checkpoint does not fit its config. Missing {missing[:3]} ({len(missing)}), left over "
            f"{result.unexpected_keys[:3]} ({len(result.unexpected_keys)})."
        )


def tied(module: nn.Module) -> bool:
    return isinstance(module, PreTrainedModel) and bool(module.config.tie_word_embeddings)
