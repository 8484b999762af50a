"""Plain PyTorch hooks: one hook and one full forward per site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.models import Problem
from benchmarks.peers import References


class Plain:
    """The residual stream after each block, at each position."""

    name: ClassVar[str] = "plain hooks"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.blocks = blocks_of(problem.model)

    def references(self) -> References:
        kept: list[Tensor] = []
        with hooks(self.blocks, lambda _m, _i, output: kept.append(hidden(output).clone())):
            self.logit(self.problem.clean)
        return References(self.logit(self.problem.corrupt), kept)

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        return torch.tensor(
            [[self.one(layer, t, references.clean) for t in range(self.problem.tokens)] for layer in layers]
        )

    def one(self, layer: int, t: int, clean: list[Tensor]) -> float:
        def patch(_module: Any, _inputs: Any, output: Any) -> Any:
            changed = hidden(output).clone()
            changed[:, t] = clean[layer][:, t]
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        with hooks([self.blocks[layer]], patch):
            return self.logit(self.problem.corrupt)

    def logit(self, ids: Tensor) -> float:
        return float(self.problem.model(ids, use_cache=False).logits[0, -1, self.problem.target])


class PlainHeads:
    """Each head's output before the projection, at the last position. GPT-2 only."""

    name: ClassVar[str] = "plain hooks"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.projections = [block.attn.c_proj for block in blocks_of(problem.model)]
        self.heads = int(problem.model.config.num_attention_heads)

    def references(self) -> References:
        kept: list[Tensor] = []
        with pre_hooks(self.projections, lambda _m, inputs: kept.append(inputs[0].clone())):
            self.logit(self.problem.clean)
        return References(self.logit(self.problem.corrupt), kept)

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        return torch.tensor([[self.one(layer, h, references.clean) for h in range(self.heads)] for layer in layers])

    def one(self, layer: int, head: int, clean: list[Tensor]) -> float:
        width = clean[layer].shape[-1] // self.heads
        its = slice(head * width, (head + 1) * width)

        def patch(_module: Any, inputs: Any) -> Any:
            z = inputs[0].clone()
            z[:, -1, its] = clean[layer][:, -1, its]
            return (z, *inputs[1:])

        with pre_hooks([self.projections[layer]], patch):
            return self.logit(self.problem.corrupt)

    def logit(self, ids: Tensor) -> float:
        return float(self.problem.model(ids, use_cache=False).logits[0, -1, self.problem.target])


def blocks_of(model: Any) -> list[Any]:
    return list(model.transformer.h if hasattr(model, "transformer") else model.model.layers)


def hidden(output: Any) -> Tensor:
    first: Tensor = output[0] if isinstance(output, tuple) else output
    return first


@contextmanager
def hooks(modules: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def pre_hooks(modules: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
