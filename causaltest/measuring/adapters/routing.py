"""Attention whose mask differs by layer, read from a checkpoint's config.

transformers hands a four-dimensional mask on untouched. A routed model's mask has the layer in
its second axis, and the attention function takes its own layer's part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from causaltest.errors import ModelError, PairsError

ROUTED_ATTENTION = "causaltest_routed"
MOST = 1_000_000


@dataclass(frozen=True)
class Routing:
    """Who may read whom in a reasoner whose prompt is a row of equally long segments.

    Reader 0 is the begin token and reader k + 1 is thought k; reader i may read one token of
    segment i, in one layer. So thoughts are a cut: what a thought does not carry is lost.
    """

    segment_tokens: int
    segments: int
    fact_index: int
    """The token of a segment that its reader may read."""
    fact_layer: int
    """The only block in which facts are read."""
    answer_layer: int
    """The only block in which the end token reads the last thought."""

    @property
    def prompt_tokens(self) -> int:
        """The shortest prompt that has all segments."""
        return self.segments * self.segment_tokens


def routing_config(plain: Mapping[str, Any], folder: Path) -> Routing:
    """The config's "routing" block. Raises ModelError when it is not understood."""
    try:
        routing = Routing(**plain["routing"])
        if odd := {name: value for name, value in asdict(routing).items() if not is_count(value)}:
            raise TypeError(f"{odd}: whole numbers from 0 to {MOST}")
        return routing
    except TypeError as error:
        needed = ", ".join(field.name for field in fields(Routing))
        raise ModelError(
            f'{folder / "config.json"}: the "routing" block is not understood ({error}). It needs {needed}.'
        ) from error


def is_count(given: Any) -> bool:
    return type(given) is int and 0 <= given <= MOST


def mask_of(routing: Routing, name: str, layers: int, thoughts: int) -> Callable[[int, int], Tensor]:
    """A model's mask by the lengths of its prompt and its run. It raises PairsError for too short a prompt."""

    def mask(prompt_tokens: int, total: int) -> Tensor:
        if prompt_tokens < routing.prompt_tokens:
            raise PairsError(
                f"{name} reads prompts of {routing.segments} segments of {routing.segment_tokens} tokens each, and "
                f"this one has {prompt_tokens} tokens. For the ducks, draw pairs with ducks.twins()."
            )
        return routed_mask(routing, layers, prompt_tokens, thoughts, total)

    return mask


def routed_mask(routing: Routing, layers: int, prompt_tokens: int, thoughts: int, total: int) -> Tensor:
    """Additive mask, 0 or the lowest float. [1, layer, query, key]

    Prompt tokens see their own segment up to themselves; readers see themselves and, in the fact
    layer, their fact; the end token sees itself and, in the answer layer, the last thought; what
    is generated sees the end token and what was generated before.
    """
    at = torch.arange(total)
    segment = torch.where(at < prompt_tokens, (at // routing.segment_tokens).clamp(max=routing.segments), -1)
    within = (segment[:, None] == segment[None]) & (segment[:, None] >= 0)
    end = prompt_tokens + 1 + thoughts
    after = (at[:, None] >= end) & (at[None] >= end)
    seen = (within | after | torch.eye(total, dtype=torch.bool)) & (at[None] <= at[:, None])
    every = seen.expand(layers, -1, -1).clone()
    for reader in range(min(1 + thoughts, routing.segments)):
        fact = reader * routing.segment_tokens + routing.fact_index
        every[routing.fact_layer, prompt_tokens + reader, fact] = True
    every[routing.answer_layer, end, end - 1] = True
    return torch.where(every, 0.0, torch.finfo(torch.float32).min)[None]


def routed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention under this layer's part of the mask."""
    layer = cast(int, module.layer_idx)
    mask = attention_mask[:, layer, None].to(query.dtype)
    out = nn.functional.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)
    return out.transpose(1, 2), None


AttentionInterface.register(ROUTED_ATTENTION, routed_attention)
