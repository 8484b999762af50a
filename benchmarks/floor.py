"""The arithmetic floor: the matrix products that a sweep of the residual stream cannot do without.

A patch at (layer l, position t) changes nothing before t and nothing up to block l, so its run has
to compute the tokens t.. in the blocks l+1..: nothing less gives the same numbers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TYPICAL_TOKENS = 168
"""The tokens of a typical forward of the sweep: six rows of 28."""
ROUNDS = 5


@dataclass(frozen=True)
class Rate:
    """How fast this machine multiplies at a block's shapes."""

    rows: int
    flops_per_token: float
    seconds_per_token: float

    @property
    def gflops(self) -> float:
        return self.flops_per_token / self.seconds_per_token / 1e9


@dataclass(frozen=True)
class Blocks:
    """The weights of a model's blocks, to be multiplied with."""

    model: Any
    tokens: int = TYPICAL_TOKENS

    @torch.inference_mode()
    def rate(self) -> Rate:
        """The median over rounds of every weight's median over the layers.

        The layers take turns, so that each weight comes from memory as it does in a forward.
        """
        by_shape = list(zip(*(block_weights(block) for block in self.model.transformer.h), strict=True))
        inputs = [torch.randn(self.tokens, weights[0].shape[0]) for weights in by_shape]
        rounds = [self.one_round(by_shape, inputs) for _ in range(ROUNDS + 1)][1:]
        flops = sum(2.0 * weights[0].numel() for weights in by_shape)
        return Rate(self.tokens, flops, statistics.median(rounds) / self.tokens)

    def one_round(self, by_shape: list[tuple[Tensor, ...]], inputs: list[Tensor]) -> float:
        seconds: list[list[float]] = [[] for _ in by_shape]
        for layer in range(len(by_shape[0])):
            for kind, weights in enumerate(by_shape):
                start = time.perf_counter()
                torch.mm(inputs[kind], weights[layer])
                seconds[kind].append(time.perf_counter() - start)
        return sum(map(statistics.median, seconds))


def block_weights(block: Any) -> tuple[Tensor, ...]:
    """The four matrices of a GPT-2 block. [in, out]"""
    return block.attn.c_attn.weight, block.attn.c_proj.weight, block.mlp.c_fc.weight, block.mlp.c_proj.weight


def token_blocks(layers: int, tokens: int, *, positions: Sequence[int] | None = None) -> int:
    """Tokens through blocks, over every site (l, t): (tokens - t) in each of the blocks l + 1 to the last."""
    swept = range(tokens) if positions is None else positions
    return sum((tokens - t) * (layers - 1 - layer) for layer in range(layers) for t in swept)
