"""The engine: one run of a model, clean or patched. The only file that touches hooks.

A run computes every position exactly once: the prompt in one forward, then a forward per
thought, for the end token, and per generated token. A patch names absolute positions, so it
fires in the one forward that computes them, and never on another step. One decode path serves
the clean, the corrupt and the patched run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from causaltest.asking.sites import Component
from causaltest.errors import MeasurementError
from causaltest.measuring.adapters.model import Block, LoadedModel

Place = tuple[Component, int]
"""A component and its layer; the embedding is at layer 0."""


@dataclass(frozen=True)
class Patch:
    """Vectors to put at one component of one layer: entry n goes to (rows[n], positions[n])."""

    component: Component
    layer: int
    head: int | None
    rows: Tensor
    positions: Tensor
    values: Tensor
    """[entry, width]"""

    @property
    def place(self) -> Place:
        return (self.component, self.layer)


@dataclass(frozen=True)
class Run:
    """What one run gave.

    tokens: [row, step], greedy. logits: [row, step, vocabulary], where each token was predicted.
    activations: [row, position, width] per recorded place.
    """

    tokens: Tensor
    logits: Tensor
    activations: dict[Place, Tensor] = field(default_factory=dict)
    forwards: int = 0
    outputs: tuple[Tensor, ...] = ()
    """What each forward gave at its last position: hidden states while thinking, then logits."""
    cache: DynamicCache | None = None


@torch.inference_mode()
def run(
    model: LoadedModel,
    prompts: Tensor,
    *,
    new_tokens: int,
    patches: Sequence[Patch] = (),
    record: Collection[Component] = (),
    resume: Run | None = None,
) -> Run:
    """Run prompts of equal length [row, token] to `new_tokens` greedy answer tokens.

    `resume` is the same run unpatched: forwards that end before the first patched position are
    taken from it, because a causal model computes the same there. A run that kept no full cache
    is not resumed from, and all forwards are computed.

    Raises MeasurementError when the run is longer than the model has positions, a patch did not
    fire exactly once per entry, or a logit is NaN or infinite.
    """
    check_length(model, prompts.shape[1], new_tokens)
    progress = Progress(model, prompts, new_tokens, patches, record, resume)
    with hooked(model, progress):
        tokens, logits = decode(model, prompts, new_tokens, progress)
    progress.check_fired()
    if not bool(torch.isfinite(logits).all()):
        row = int((~torch.isfinite(logits)).flatten(1).any(1).nonzero()[0])
        raise MeasurementError(
            f"{model.name} gave a logit that is NaN or infinite (first in row {row} of {len(prompts)}"
            f"{', patched' if patches else ''}). Check the weights and the dtype; nothing can be concluded from it."
        )
    return Run(
        tokens,
        logits,
        progress.recorded(),
        progress.forwards,
        tuple(progress.outputs),
        progress.cache if record else None,
    )


def decode(model: LoadedModel, prompts: Tensor, new_tokens: int, progress: Progress) -> tuple[Tensor, Tensor]:
    """The one decode path: prompt, thoughts, end, then greedy generation."""
    embed, reasoning = model.model.get_input_embeddings(), model.reasoning
    rows = len(prompts)
    if reasoning is None:
        logits = progress.forward(embed(prompts), model.model)
    else:
        begin = torch.tensor(reasoning.begin, device=prompts.device).expand(rows, -1)
        hidden = progress.forward(embed(torch.cat([prompts, begin], dim=1)), model.model.base_model)
        for _ in range(reasoning.thoughts):
            hidden = progress.forward(reasoning.project(hidden), model.model.base_model)
        end = torch.tensor(reasoning.end, device=prompts.device).expand(rows, -1)
        logits = progress.forward(embed(end), model.model)
    steps, tokens = [logits], [greedy(logits, reasoning.never_generated if reasoning else ())]
    for _ in range(new_tokens - 1):
        steps.append(progress.forward(embed(tokens[-1]), model.model))
        tokens.append(greedy(steps[-1], reasoning.never_generated if reasoning else ()))
    return torch.cat(tokens, dim=1), torch.cat(steps, dim=1)


def greedy(logits: Tensor, never: tuple[int, ...]) -> Tensor:
    """The likeliest token that may be generated. [row, 1]"""
    if never:
        logits = logits.clone()
        logits[..., list(never)] = -torch.inf
    return logits.argmax(-1)


class Progress:
    """Where a run is: which positions the present forward computes, what was recorded, what fired."""

    def __init__(
        self,
        model: LoadedModel,
        prompts: Tensor,
        new_tokens: int,
        patches: Sequence[Patch],
        record: Collection[Component],
        resume: Run | None,
    ) -> None:
        self.start = self.stop = self.forwards = 0
        self.model = model
        self.patches = patches
        self.record = frozenset(record)
        self.resume = resume if resume is not None and croppable(resume.cache) else None
        self.first = min((int(p.positions.min()) for p in patches if len(p.positions)), default=0)
        # Without the config, so that layers with a sliding window keep every position too: a run
        # resumes from a cropped cache, and what a window has dropped cannot be cropped.
        self.cache = DynamicCache()
        self.fired = [0] * len(patches)
        self.seen: dict[Place, list[Tensor]] = {}
        self.outputs: list[Tensor] = []
        self.mask: Tensor | None = None
        if model.mask is not None:
            total = run_length(model, prompts.shape[1], new_tokens)
            self.mask = model.mask(prompts.shape[1], total).to(prompts.device)

    def forward(self, embeddings: Tensor, module: Any) -> Tensor:
        """One forward over the next positions: logits at the last from the whole model, or the last
        hidden state from its trunk. [row, 1, vocabulary or width]"""
        self.start, self.stop = self.stop, self.stop + embeddings.shape[1]
        if self.resume is not None and self.stop <= self.first:
            self.outputs.append(self.resume.outputs[len(self.outputs)])
        else:
            if self.resume is not None and self.start and not self.forwards:
                crop_into(self.cache, self.resume.cache, self.start)
            self.outputs.append(self.computed(embeddings, module))
        return self.outputs[-1]

    def computed(self, embeddings: Tensor, module: Any) -> Tensor:
        self.forwards += 1
        inputs: dict[str, Any] = {
            "inputs_embeds": self.at(("embed", 0), embeddings),
            "past_key_values": self.cache,
            "use_cache": True,
        }
        if self.mask is not None:
            seen = self.mask[:, :, self.start : self.stop, : self.stop]
            inputs["attention_mask"] = seen.expand(len(embeddings), -1, -1, -1)
        if module is self.model.model:
            logits: Tensor = module(**inputs, logits_to_keep=1).logits
            return logits
        hidden: Tensor = module(**inputs).last_hidden_state[:, -1:]
        return hidden

    def at(self, place: Place, tensor: Tensor) -> Tensor:
        """A place's activations in this forward, patched where a patch says so, then recorded."""
        for n, patch in enumerate(self.patches):
            if patch.place == place:
                tensor = self.patched(n, patch, tensor)
        if place[0] in self.record:
            self.seen.setdefault(place, []).append(tensor)
        return tensor

    def patched(self, n: int, patch: Patch, tensor: Tensor) -> Tensor:
        now = (patch.positions >= self.start) & (patch.positions < self.stop)
        hits = int(now.sum())
        if not hits:
            return tensor
        self.fired[n] += hits
        changed = tensor.clone()
        width = patch.values.shape[-1]
        offset = (patch.head or 0) * width
        # A head's z is its own stretch of the projection's input; elsewhere the stretch is everything.
        changed[patch.rows[now], patch.positions[now] - self.start, offset : offset + width] = patch.values[now]
        return changed

    def watched(self, component: Component, layer: int) -> bool:
        return component in self.record or any(p.place == (component, layer) for p in self.patches)

    def check_fired(self) -> None:
        for patch, fired in zip(self.patches, self.fired, strict=True):
            if fired != len(patch.rows):
                raise MeasurementError(
                    f"A patch of {patch.component} at layer {patch.layer} fired {fired} times where {len(patch.rows)} "
                    "were asked: its positions were not all computed once. Ask for positions inside the run."
                )

    def recorded(self) -> dict[Place, Tensor]:
        # Each place's parts go as soon as they are joined, so that a run is never held twice.
        return {place: torch.cat(self.seen.pop(place), dim=1) for place in list(self.seen)}


def croppable(cache: DynamicCache | None) -> bool:
    """Whether the cache holds every position of every layer; a sliding window's does not."""
    return cache is not None and all(type(layer) is DynamicLayer for layer in cache.layers)


def crop_into(empty: DynamicCache, full: DynamicCache | None, length: int) -> None:
    """Fills a cache with the keys and values of the first positions; the full one stays as it is."""
    for index, layer in enumerate(full.layers if full is not None else ()):
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        empty.update(layer.keys[:, :, :length], layer.values[:, :, :length], index)


def run_length(model: LoadedModel, prompt_tokens: int, new_tokens: int) -> int:
    """Positions that a run computes: all but the last generated token."""
    reasoning = model.reasoning
    extra = len(reasoning.begin) + reasoning.thoughts + len(reasoning.end) if reasoning else 0
    return prompt_tokens + extra + new_tokens - 1


def check_length(model: LoadedModel, prompt_tokens: int, new_tokens: int) -> None:
    """Raises MeasurementError when the model has fewer positions than a run needs."""
    has = getattr(model.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    needs = run_length(model, prompt_tokens, new_tokens)
    if has is not None and needs > has:
        raise MeasurementError(
            f"{model.name} has {has} positions, and a prompt of {prompt_tokens} tokens with {new_tokens} answer tokens "
            f"needs {needs}. Shorten the prompts, or ask for fewer tokens with max_new_tokens=."
        )


@contextmanager
def hooked(model: LoadedModel, progress: Progress) -> Iterator[None]:
    """Hooks on the places that this run patches or records, gone when it ends."""
    handles = []
    try:
        for layer, block in enumerate(model.blocks):
            for component, attach in ATTACH.items():
                if progress.watched(component, layer):
                    handles.append(attach(block, progress, (component, layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def on_input(module: Any, progress: Progress, place: Place) -> Any:
    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (progress.at(place, args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": progress.at(place, kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def on_output(module: Any, progress: Progress, place: Place) -> Any:
    def hook(_: Any, __: Any, output: Any) -> Any:
        # Some blocks and all attentions return tuples, decided per call.
        if isinstance(output, tuple):
            return (progress.at(place, output[0]), *output[1:])
        return progress.at(place, output)

    return module.register_forward_hook(hook)


ATTACH: dict[Component, Callable[[Block, Progress, Place], Any]] = {
    "resid_pre": lambda block, progress, place: on_input(block.block, progress, place),
    "attn_out": lambda block, progress, place: on_output(block.attention, progress, place),
    "head": lambda block, progress, place: on_input(block.output_projection, progress, place),
    "mlp_out": lambda block, progress, place: on_output(block.mlp, progress, place),
    "resid_post": lambda block, progress, place: on_output(block.block, progress, place),
}
