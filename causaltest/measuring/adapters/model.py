"""LoadedModel: a model with its sites named, and the reasoning that it does between prompt and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from causaltest.asking.sites import Site
from causaltest.errors import ModelError, SiteError


@dataclass(frozen=True)
class Block:
    """One block's modules. Attention and MLP are those whose output is added to the residual stream."""

    block: nn.Module
    attention: nn.Module
    mlp: nn.Module
    output_projection: nn.Module
    """Its input is z, the heads' outputs side by side."""


@dataclass(frozen=True)
class Reasoning:
    """Latent thoughts between prompt and answer.

    The run goes: prompt and `begin`, then `thoughts` forwards whose input is the projected last
    hidden state of the one before, then `end`, then generation.
    """

    thoughts: int
    begin: tuple[int, ...]
    end: tuple[int, ...]
    project: nn.Module
    never_generated: tuple[int, ...] = ()


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, ready to be measured.

    `mask(prompt_tokens, total)` gives an additive attention mask [1, layer or 1, query, key] for
    the whole run, or is None where the model's own causal mask is right.
    """

    name: str
    model: PreTrainedModel
    tokenizer: Any
    blocks: tuple[Block, ...]
    heads: int
    reasoning: Reasoning | None = None
    mask: Callable[[int, int], Tensor] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    disabled: Mapping[str, str] = field(default_factory=dict)
    """Components that could not be proven for this model, each with the reason."""

    def __post_init__(self) -> None:
        refuse_training(self.model, self.name)
        if self.reasoning is not None:
            refuse_training(self.reasoning.project, f"{self.name}'s projection")

    def check(self, site: Site) -> None:
        """Raises SiteError when this model has no such site; says the range that it has."""
        if site.component in self.disabled:
            raise SiteError(f"{site.component} is not offered for {self.name}: {self.disabled[site.component]}")
        for what, asked, count in (("layer", site.layers, len(self.blocks)), ("head", site.heads, self.heads)):
            beyond = [n for n in asked if n >= count]
            if beyond:
                raise SiteError(f"{self.name} has no {what} {beyond[0]}: its {what}s are 0 to {count - 1}.")


def refuse_training(module: nn.Module, name: str) -> None:
    """Raises ModelError when any part is in train mode, where dropout changes every run."""
    training = next((path or "the model" for path, part in module.named_modules() if part.training), None)
    if training is not None:
        raise ModelError(
            f"{name} is in train mode ({training}): dropout would change the answer from run to run. "
            "Call .eval() on it before giving it to Lab."
        )
