"""Families of decoders by the names of their modules: GPT-2-shaped and Llama-shaped.

A model of neither shape is refused: a site that is guessed is a result that is wrong in silence.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from causaltest.errors import ModelError
from causaltest.measuring.adapters.model import Block


@dataclass(frozen=True)
class Shape:
    """Where a family keeps its blocks, and what their parts are called."""

    name: str
    blocks: str
    attention: str
    mlp: str
    output_projection: str


SHAPES = (
    Shape("GPT-2", "transformer.h", "attn", "mlp", "attn.c_proj"),
    Shape("Llama", "model.layers", "self_attn", "mlp", "self_attn.o_proj"),
)


def resolve_blocks(model: PreTrainedModel) -> tuple[Block, ...]:
    """The blocks of a decoder. Raises ModelError for a shape that is not known."""
    for shape in SHAPES:
        blocks = find(model, shape.blocks)
        if isinstance(blocks, nn.ModuleList) and len(blocks):
            parts = [part_of(block, shape) for block in blocks]
            if all(part is not None for part in parts):
                return tuple(part for part in parts if part is not None)
    looked = "; ".join(f"{s.name}: {s.blocks}[i].{s.attention}, .{s.mlp}, .{s.output_projection}" for s in SHAPES)
    raise ModelError(
        f"{type(model).__name__} has a shape that is not known, so none of its sites can be trusted. "
        f"Looked for {looked}."
    )


def count_heads(model: PreTrainedModel) -> int:
    """Query heads per block."""
    return int(model.config.get_text_config(decoder=True).num_attention_heads)


def part_of(block: nn.Module, shape: Shape) -> Block | None:
    attention, mlp = find(block, shape.attention), find(block, shape.mlp)
    projection = find(block, shape.output_projection)
    if attention is None or mlp is None or projection is None:
        return None
    return Block(block, attention, mlp, projection)


def find(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
