"""nnsight: one trace per site, and batched by hand with one trace per layer. GPT-2 only."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import nnsight
import torch
from torch import Tensor

from benchmarks.models import Problem
from benchmarks.peers import References


class NnsightLoop:
    """The usual loop: `with model.trace(...)` for every site."""

    name: ClassVar[str] = "nnsight, one trace per site"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # A copy, because tracing leaves its own hooks in the modules.
        self.model = nnsight.TransformersModel(
            copy.deepcopy(problem.model), tokenizer=problem.tokenizer, task="text-generation"
        )

    def references(self) -> References:
        model, target = self.model, self.problem.target
        with model.trace(self.problem.clean):
            clean = nnsight.save([])
            for layer in range(self.problem.layers):
                clean.append(model.transformer.h[layer].output)
        with model.trace(self.problem.corrupt):
            unpatched = model.lm_head.output[0, -1, target].save()
        return References(float(unpatched), clean)

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        model, target, clean = self.model, self.problem.target, references.clean
        rows = []
        for layer in layers:
            row = []
            for t in range(self.problem.tokens):
                with model.trace(self.problem.corrupt):
                    model.transformer.h[layer].output[:, t] = clean[layer][:, t]
                    logit = model.lm_head.output[0, -1, target].save()
                row.append(float(logit))
            rows.append(row)
        return torch.tensor(rows)


class NnsightBatched(NnsightLoop):
    """What an expert writes: the positions of a layer as the rows of one batched trace."""

    name: ClassVar[str] = "nnsight, batched by hand per layer"

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        model, target, clean = self.model, self.problem.target, references.clean
        every = torch.arange(self.problem.tokens)
        batch = self.problem.corrupt.expand(len(every), -1)
        rows = []
        for layer in layers:
            with model.trace(batch):
                model.transformer.h[layer].output[every, every] = clean[layer][0]
                logits = model.lm_head.output[:, -1, target].save()
            rows.append(logits.clone())
        return torch.stack(rows)
