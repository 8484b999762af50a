"""LoadedModel: a model with its sites named, and the reasoning that it does between prompt and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from causaltest.asking.sites import Component, Site
from causaltest.errors import ModelError, SiteError


@dataclass(frozen=True)
class Tap:
    """Where a component of one block is read and written: a module's input or output, and the columns of each part."""

    module: nn.Module
    side: Literal["input", "output", "weights"]
    """Of a module; its weights are those of an attention."""
    parts: tuple[range, ...]
    """Columns of each head or neuron on the last axis; a single range of the whole width for a component without
    parts. All parts are equally wide."""
    scale: float = 1.0
    """What the module gives is multiplied by this before it is added to the stream; the component is the product."""
    overwritten: bool = False
    """Whether the model later writes over the tensor, so that what is kept of it must be a copy."""
    flat: bool = False
    """Whether the tensor has rows and positions in one axis."""

    def columns(self, part: int | None = None) -> slice | list[int]:
        """The columns of one part, or of all parts in their order; a slice where they lie side by side."""
        return self._whole if part is None else slice(self.parts[part].start, self.parts[part].stop)

    @cached_property
    def _whole(self) -> slice | list[int]:
        parts = self.parts
        if all(before.stop == after.start for before, after in pairwise(parts)):
            return slice(parts[0].start, parts[-1].stop)
        return [column for part in parts for column in part]


@dataclass(frozen=True)
class Block:
    """One block's modules, and where each component that it has is read and written.

    resid_mid has no tap: no module gives out the stream between attention and MLP. It is what attn_out's tap
    adds to the block's input.
    """

    block: nn.Module
    taps: Mapping[Component, Tap] = field(default_factory=dict)
    """None of them while the block is not resolved."""
    into: Mapping[Component, tuple[nn.Module, ...]] = field(default_factory=dict)
    """For heads and neurons, the modules that make of them what the block adds: a projection, and a norm behind it."""
    trimmed: tuple[tuple[nn.Module, nn.Module], ...] = ()
    """Where the positions that are not read can be left out: from the input of one module to the output of another."""

    def added_by(self, component: Component, parts: Tensor) -> Tensor:
        """What heads or neurons add to the stream: projected, normed and scaled as the family does."""
        for module in self.into.get(component, (self.taps[component].module,)):
            parts = module(parts)
        whole: Component = "attn_out" if component == "head" else "mlp_out"
        return parts * self.taps[whole].scale if whole in self.taps else parts


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
    norm: nn.Module | None = None
    """The decoder's last norm, which gives its last hidden state; None where no module outside of the blocks does."""
    probe_tokens: int = 8
    """How many tokens a prompt needs on which the model is proven."""

    def __post_init__(self) -> None:
        refuse_training(self.model, self.name)
        if self.reasoning is not None:
            refuse_training(self.reasoning.project, f"{self.name}'s projection")

    @property
    def probe_prompt(self) -> Tensor:
        """Tokens of no meaning, on which sites are proven. [1, token]"""
        vocabulary = cast(nn.Embedding, self.model.get_input_embeddings()).num_embeddings
        return torch.arange(1, self.probe_tokens + 1, device=self.device)[None] % vocabulary

    @property
    def device(self) -> torch.device:
        """Where tokens enter: of a model that is spread over devices, the one that has, or is lent, the embedding."""
        embedding = self.model.get_input_embeddings()
        device = cast(Tensor, embedding.weight).device
        if device.type != "meta":
            return device
        return torch.device(getattr(getattr(embedding, "_hf_hook", None), "execution_device", "cpu"))

    def check(self, site: Site) -> None:
        """Raises SiteError when this model has no such site; says the range that it has."""
        if site.component in self.disabled:
            raise SiteError(f"{site.component} is not offered for {self.name}: {self.disabled[site.component]}")
        beyond = [n for n in site.layers if n >= len(self.blocks)]
        if beyond:
            raise SiteError(f"{self.name} has no layer {beyond[0]}: its layers are 0 to {len(self.blocks) - 1}.")
        # k and v have fewer heads than q where queries are grouped, so it is said whose heads are meant.
        what = site.component if site.component in ("head", "neuron") else f"{site.component} head"
        for layer in site.layers if site.parts else ():
            count = len(self.blocks[layer].taps[site.component].parts)
            beyond = [n for n in site.parts if n >= count]
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
