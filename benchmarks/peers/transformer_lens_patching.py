"""TransformerLens: `patching.get_act_patch_resid_pre` on a bridge to the same weights, unprocessed."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import ClassVar

import pandas
import torch
from torch import Tensor
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.models import Problem
from benchmarks.peers import References


class TransformerLensPatching:
    """Its own sweep. It patches the stream before each block, so it stands beside our resid_pre."""

    name: ClassVar[str] = "TransformerLens get_act_patch_resid_pre"

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        # A copy, because the bridge puts its own modules in and makes attention eager.
        self.model = TransformerBridge.boot_transformers(
            "gpt2", hf_model=copy.deepcopy(problem.model), tokenizer=problem.tokenizer, device="cpu"
        )
        self.model.eval()

    def references(self) -> References:
        unpatched = self.metric(self.model(self.problem.corrupt))
        _, cache = self.model.run_with_cache(self.problem.clean)
        return References(float(unpatched), cache)

    def patched(self, references: References, layers: Sequence[int]) -> Tensor:
        sites = list(itertools.product(layers, range(self.problem.tokens)))
        flat = patching.get_act_patch_resid_pre(
            self.model,
            self.problem.corrupt,
            references.clean,
            self.metric,
            index_axis_names=None,
            index_df=pandas.DataFrame(sites, columns=["layer", "pos"]),
        )
        return flat.reshape(len(layers), self.problem.tokens)

    def metric(self, logits: Tensor) -> Tensor:
        return logits[0, -1, self.problem.target].to(torch.float32)
