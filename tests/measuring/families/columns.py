"""The columns of each head and neuron in the tensor that holds them, one layout per function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Columns = Callable[[Any], Tensor]
"""Of a configuration, the columns of each part. [part, width]"""


def query_heads(config: Any) -> int:
    return int(config.num_attention_heads)


def key_heads(config: Any) -> int:
    return int(getattr(config, "num_key_value_heads", None) or query_heads(config))


def width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // query_heads(config))


def queries(config: Any) -> Tensor:
    return torch.arange(query_heads(config) * width(config)).view(query_heads(config), -1)


def keys(config: Any) -> Tensor:
    return torch.arange(key_heads(config) * width(config)).view(key_heads(config), -1)


def neurons(count: int) -> Columns:
    return lambda _: torch.arange(count)[:, None]


def stacked(which: int) -> Columns:
    """[q of all heads, k of all, v of all]"""

    def columns(config: Any) -> Tensor:
        sizes = [query_heads(config), key_heads(config), key_heads(config)]
        return torch.arange(sum(sizes) * width(config)).view(-1, width(config)).split(sizes)[which]

    return columns


def interleaved(which: int) -> Columns:
    """[head, (q, k, v), width]"""
    return lambda config: torch.arange(3 * query_heads(config) * width(config)).view(
        query_heads(config), 3, width(config)
    )[:, which]


def falcon_groups(which: int) -> Columns:
    """[group, (its queries..., k, v), width]"""

    def columns(config: Any) -> Tensor:
        groups, each = config.num_kv_heads, query_heads(config) // config.num_kv_heads
        of_group = torch.arange(groups * (each + 2) * width(config)).view(groups, each + 2, width(config))
        return [of_group[:, :each].flatten(0, 1), of_group[:, each], of_group[:, each + 1]][which]

    return columns


def falcon_multi_query(which: int) -> Columns:
    """[(queries..., k, v), width]"""

    def columns(config: Any) -> Tensor:
        heads = query_heads(config)
        of_all = torch.arange((heads + 2) * width(config)).view(heads + 2, width(config))
        return [of_all[:heads], of_all[heads:-1], of_all[-1:]][which]

    return columns


def codegen_pieces(which: int) -> Columns:
    """[piece of four, (q, v, k), head of the piece, width]: the values stand before the keys."""
    order = {0: 0, 2: 1, 1: 2}[which]

    def columns(config: Any) -> Tensor:
        each = query_heads(config) // 4
        of_piece = torch.arange(3 * query_heads(config) * width(config)).view(4, 3, each, width(config))
        return of_piece[:, order].flatten(0, 1)

    return columns


def differential_heads(config: Any) -> Tensor:
    """[head, width]: two heads' difference is one that is twice as wide."""
    return torch.arange(query_heads(config) * width(config)).view(query_heads(config) // 2, -1)


def latent_queries(config: Any) -> Tensor:
    """[head, width without and with position]"""
    wide = config.qk_nope_head_dim + config.qk_rope_head_dim
    return torch.arange(query_heads(config) * wide).view(query_heads(config), wide)


def latent_values(config: Any) -> Tensor:
    """[head, (key without position, value)]"""
    both = config.qk_nope_head_dim + config.v_head_dim
    return torch.arange(query_heads(config) * both).view(query_heads(config), both)[:, config.qk_nope_head_dim :]


def latent_heads(config: Any) -> Tensor:
    return torch.arange(query_heads(config) * config.v_head_dim).view(query_heads(config), -1)
