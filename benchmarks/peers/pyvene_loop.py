"""pyvene: one IntervenableModel per layer, called for every position, as its causal tracing tutorial does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import pyvene
import torch
from torch import Tensor

from benchmarks.models import Problem
from benchmarks.peers import References


class PyveneLoop:
    """Each call runs the source prompt and then the base prompt: two forwards per site."""

    name: ClassVar[str] = "pyvene, one call per site"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # A copy, because wrapping switches the gradients of the weights off.
        self.model = copy.deepcopy(problem.model)
        self.base, self.source = {"input_ids": problem.corrupt}, {"input_ids": problem.clean}

    def references(self) -> References:
        return References(float(self.model(**self.base).logits[0, -1, self.problem.target]))

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        return torch.tensor([self.of_layer(layer) for layer in layers])

    def of_layer(self, layer: int) -> list[float]:
        config = pyvene.IntervenableConfig(
            [pyvene.RepresentationConfig(layer, "block_output", "pos", 1)], pyvene.VanillaIntervention
        )
        model = pyvene.IntervenableModel(config, self.model)
        return [self.one(model, t) for t in range(self.problem.tokens)]

    def one(self, model: pyvene.IntervenableModel, t: int) -> float:
        _, patched = model(self.base, [self.source], {"sources->base": t})
        return float(patched.logits[0, -1, self.problem.target])
