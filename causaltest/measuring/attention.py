"""Attention weights of one layer, seen and changed before they weigh the values.

transformers hands queries, keys and values to an attention function that is named in the configuration. Only while a
forward reads or writes patterns, the layers concerned name another one: the family's own eager function, which works
the weights out one by one. All other forwards keep what the model was loaded with, and its bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface

from causaltest.measuring.adapters.routing import ROUTED_ATTENTION

PATTERN_ATTENTION = "causaltest_pattern"
UNDERSTOOD = ("eager", "sdpa", ROUTED_ATTENTION)
"""The attention functions whose masks can be handed to an eager one."""
WATCH = "causaltest_watch"

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Watch:
    """What is done to weights [row, head, query, key], and the attention function that is there otherwise."""

    change: Change
    otherwise: str


@contextmanager
def watching(attention: nn.Module, change: Change) -> Iterator[None]:
    """An attention module hands its weights to `change` and goes on with what that returns."""
    parts = [part for part in attention.modules() if "config" in vars(part)]
    before = [vars(part)["config"] for part in parts]
    for part, config in zip(parts, before, strict=True):
        own = copy(config)
        vars(own)[WATCH] = Watch(change, config._attn_implementation)
        vars(own)["_attn_implementation_internal"] = PATTERN_ATTENTION
        vars(part)["config"] = own
    try:
        yield
    finally:
        for part, config in zip(parts, before, strict=True):
            vars(part)["config"] = config


def pattern_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, None]:
    """Attention by the family's eager function, with its weights changed. [row, query, head, width]"""
    watch: Watch = vars(module.config)[WATCH]
    if watch.otherwise == ROUTED_ATTENTION and attention_mask is not None:
        attention_mask = attention_mask[:, cast(int, module.layer_idx), None]
    eager = sys.modules[type(module).__module__].eager_attention_forward
    mask = additive(attention_mask, query, key)
    out, weights = eager(module, query, key, value, mask, **given)
    new = watch.change(weights)
    if new is weights:
        return out, None
    values: Tensor = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
    # What is not changed keeps its bits: another product may round otherwise.
    changed = (new != weights).any(-1).transpose(1, 2)[..., None]
    return torch.where(changed, (new @ values).transpose(1, 2), out), None


def additive(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
    """A mask as numbers to add to scores; none at all stands for what no query of these may not see but later keys."""
    if mask is None:
        queries, keys = query.shape[-2], key.shape[-2]
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)[None, None]
    if mask.dtype != torch.bool:
        return mask.to(query.dtype)
    return torch.zeros((), dtype=query.dtype, device=query.device).where(mask, torch.finfo(query.dtype).min)


def in_rows(weights: Tensor, width: int) -> Tensor:
    """[row, head, query, key] as [row, query, width of every head], keys that are not there yet as zeros."""
    assert weights.shape[-1] <= width
    return F.pad(weights, (0, width - weights.shape[-1])).transpose(1, 2).flatten(2)


def of_rows(rows: Tensor, heads: int, keys: int) -> Tensor:
    """The inverse of `in_rows`."""
    weights: Tensor = rows.unflatten(-1, (heads, -1))[..., :keys].transpose(1, 2)
    return weights


def as_wide(rows: Tensor, heads: int, width: int) -> Tensor:
    """[..., width of every head] with more keys or fewer: none of those was seen from a position that is shared."""
    parted = rows.unflatten(-1, (heads, -1))
    wide: Tensor = F.pad(parted, (0, width - parted.shape[-1])).flatten(-2)
    return wide


AttentionInterface.register(PATTERN_ATTENTION, pattern_attention)
