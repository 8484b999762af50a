"""Families of decoders by the names of their modules.

A model of another shape is refused: a site that is guessed is a result that is wrong in silence. What a
family's modules are called is only half of it; `proof` holds every name against the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, get_args

from torch import nn
from transformers import PreTrainedModel

from causaltest.asking.sites import Component
from causaltest.errors import ModelError
from causaltest.measuring.adapters.model import Block, Tap

Projected = Literal["q", "k", "v"]


@dataclass(frozen=True)
class Heads:
    """A model's attention heads: how many ask, how many are asked, and how wide each is."""

    queries: int
    keys: int
    width: int

    def count(self, which: Projected) -> int:
        return self.queries if which == "q" else self.keys


Columns = Callable[[Heads, Projected], tuple[range, ...]]
"""Each head's columns of a projection's output."""


@dataclass(frozen=True)
class Shape:
    """Where a family keeps its blocks, and what their modules are called.

    A new family is a new entry of `SHAPES`. Before one whose names it shares in part comes the one with more.
    """

    name: str
    blocks: str
    attention: str
    mlp: str
    output_projection: str
    projections: tuple[str, str, str]
    """The modules whose outputs hold q, k and v; the same one three times where it is one."""
    columns: Columns
    down_projection: str
    attention_norm: str | None = None
    """A norm between attention and the stream: what it gives is what attention adds."""
    mlp_norm: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """Modules without which a block is not of this shape. The projections are left out when they are not there."""
        norms = (self.attention_norm, self.mlp_norm)
        return (self.attention, self.mlp, self.output_projection, *(norm for norm in norms if norm))


def apart(heads: Heads, which: Projected) -> tuple[range, ...]:
    """q, k and v each from a projection of their own."""
    return side_by_side(heads.count(which), heads.width)


def stacked(heads: Heads, which: Projected) -> tuple[range, ...]:
    """One projection: all q, then all k, then all v."""
    before = {"q": 0, "k": heads.queries, "v": heads.queries + heads.keys}[which]
    return side_by_side(heads.count(which), heads.width, first=before * heads.width)


def interleaved(heads: Heads, which: Projected) -> tuple[range, ...]:
    """One projection: q, k and v of the first head, then of the second. [head, 3, width]"""
    first = get_args(Projected).index(which) * heads.width
    return side_by_side(heads.queries, heads.width, first=first, stride=3 * heads.width)


@cache
def side_by_side(count: int, width: int, *, first: int = 0, stride: int | None = None) -> tuple[range, ...]:
    """`count` ranges of one width; made once, since an MLP has ten thousand neurons in every layer."""
    starts = (first + n * (width if stride is None else stride) for n in range(count))
    return tuple(range(start, start + width) for start in starts)


LLAMA = Shape(
    name="Llama",
    blocks="model.layers",
    attention="self_attn",
    mlp="mlp",
    output_projection="self_attn.o_proj",
    projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    columns=apart,
    down_projection="mlp.down_proj",
)
SHAPES = (
    Shape(
        name="GPT-2",
        blocks="transformer.h",
        attention="attn",
        mlp="mlp",
        output_projection="attn.c_proj",
        projections=("attn.c_attn",) * 3,
        columns=stacked,
        down_projection="mlp.c_proj",
    ),
    replace(LLAMA, name="Gemma 2", attention_norm="post_attention_layernorm", mlp_norm="post_feedforward_layernorm"),
    LLAMA,
    Shape(
        name="GPT-NeoX",
        blocks="gpt_neox.layers",
        attention="attention",
        mlp="mlp",
        output_projection="attention.dense",
        projections=("attention.query_key_value",) * 3,
        columns=interleaved,
        down_projection="mlp.dense_4h_to_h",
    ),
)


def resolve_blocks(model: PreTrainedModel) -> tuple[Block, ...]:
    """The blocks of a decoder. Raises ModelError for a shape that is not known."""
    for shape in SHAPES:
        blocks = find(model, shape.blocks)
        if isinstance(blocks, nn.ModuleList) and len(blocks) and all(fits(block, shape) for block in blocks):
            return tuple(tapped(block, shape, model) for block in blocks)
    looked = "; ".join(f"{s.name}: {s.blocks}[i].{', .'.join(s.needed)}" for s in SHAPES)
    raise ModelError(
        f"{type(model).__name__} has a shape that is not known, so none of its sites can be trusted. "
        f"Looked for {looked}."
    )


def count_heads(model: PreTrainedModel) -> int:
    """Query heads per block."""
    return int(model.config.get_text_config(decoder=True).num_attention_heads)


def fits(block: nn.Module, shape: Shape) -> bool:
    return all(find(block, path) is not None for path in shape.needed)


def tapped(block: nn.Module, shape: Shape, model: PreTrainedModel) -> Block:
    """A block of a known shape with the taps of the components that it has."""
    stream = (range(int(model.config.get_text_config(decoder=True).hidden_size)),)
    projection, mlp = block.get_submodule(shape.output_projection), block.get_submodule(shape.mlp)
    taps: dict[Component, Tap] = {
        "resid_pre": Tap(block, "input", stream),
        "resid_post": Tap(block, "output", stream),
        "attn_out": Tap(block.get_submodule(shape.attention_norm or shape.attention), "output", stream),
        "mlp_out": Tap(block.get_submodule(shape.mlp_norm or shape.mlp), "output", stream),
    }
    down = find(block, shape.down_projection)
    if down is not None and (neurons := width_in(down)):
        taps["neuron"] = Tap(down, "input", side_by_side(neurons, 1))
    heads = heads_of(model, projection)
    if heads is not None:
        taps["head"] = Tap(projection, "input", side_by_side(heads.queries, heads.width))
        taps |= projection_taps(block, shape, heads)
    return Block(
        block=block,
        taps=taps,
        output_projection=projection,
        mlp=mlp,
        attention_norm=block.get_submodule(shape.attention_norm) if shape.attention_norm else None,
        mlp_norm=block.get_submodule(shape.mlp_norm) if shape.mlp_norm else None,
    )


def heads_of(model: PreTrainedModel, projection: nn.Module) -> Heads | None:
    """The heads whose outputs, side by side, are what an output projection reads."""
    config, wide = model.config.get_text_config(decoder=True), width_in(projection)
    queries = count_heads(model)
    if not wide or wide % queries:
        return None
    return Heads(queries, int(getattr(config, "num_key_value_heads", None) or queries), wide // queries)


def projection_taps(block: nn.Module, shape: Shape, heads: Heads) -> dict[Component, Tap]:
    """q, k and v; none where a projection is missing or has other columns than theirs."""
    taps: dict[Component, Tap] = {}
    for which, path in zip(get_args(Projected), shape.projections, strict=True):
        module = find(block, path)
        here = [w for w, other in zip(get_args(Projected), shape.projections, strict=True) if other == path]
        if module is None or width_out(module) != heads.width * sum(heads.count(w) for w in here):
            return {}
        taps[which] = Tap(module, "output", shape.columns(heads, which))
    return taps


def width_in(module: nn.Module) -> int | None:
    """What a projection reads; GPT-2's own kind of linear map has other names for its widths."""
    width: int | None = getattr(module, "in_features", getattr(module, "nx", None))
    return width


def width_out(module: nn.Module) -> int | None:
    width: int | None = getattr(module, "out_features", getattr(module, "nf", None))
    return width


def find(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
