"""Sites proven on the numbers of a few short runs: what a component is called is not what it is.

One run is read only. In every layer the residual stream after the block must be the stream before it plus what
attention and the MLP add; the next block must start where this one ended; the heads' outputs, projected, must be
what attention adds, and the neurons, projected, what the MLP adds; and the run must answer as the model does by
itself. The others are written to. `probes` says how components are known by what they move, and how a write is
seen to arrive; `exchange` writes a run's own values back, and one prompt's whole stream into another's. What
fails is disabled for the model, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.errors import ModelError
from causaltest.measuring.adapters.exchange import exchanged, rounding_of
from causaltest.measuring.adapters.heads import Heads, layouts
from causaltest.measuring.adapters.model import Block, LoadedModel
from causaltest.measuring.adapters.patterns import patterns
from causaltest.measuring.adapters.probes import probe
from causaltest.measuring.adapters.remembered import recall, remember
from causaltest.measuring.adapters.resolve import allowed, resolved
from causaltest.measuring.engine import PLAIN, WHOLE, Place, Shortcuts
from causaltest.measuring.trajectory import Run, run

TOLERANCE = 1e-3
"""Relative to the norm of what is compared. A wrong tensor is off by far more, rounding by far less."""
ROUNDINGS = 4
"""In half precision a sum is off by this many of the dtype's steps at most."""
PROJECTED: tuple[Component, ...] = ("q", "k", "v")

Activations = Mapping[Place, Tensor]
Reasons = dict[str, str]
"""Per component, why it is not offered."""


@torch.inference_mode()
def proven(model: LoadedModel) -> LoadedModel:
    """The model with every component disabled that does not hold in some layer; its blocks resolved if they are not.

    Raises ModelError where a run does not answer as the model does by itself.
    """
    prompt = model.probe_prompt
    if model.blocks[0].taps:
        return replace(model, disabled=failures(model, prompt) | dict(model.disabled))
    known = recall(model, prompt)
    if known is not None:
        return known
    tried = []
    for way in readings(resolved(model, prompt)):
        disabled = failures(way, prompt) | dict(way.disabled)
        tried.append(replace(way, disabled=disabled))
        if not any(component in disabled for component in PROJECTED):
            break
    best = min(tried, key=lambda way: len(way.disabled))
    remember(best, prompt)
    return best


def readings(model: LoadedModel) -> Iterator[LoadedModel]:
    """The model with each layout that a projection may have which gives q, k and v at once."""
    taps = model.blocks[0].taps
    if any(which not in taps for which in PROJECTED) or taps["q"].module is not taps["k"].module:
        yield model
        return
    heads = Heads(len(taps["q"].parts), len(taps["k"].parts), len(taps["q"].parts[0]))
    for layout in layouts(heads):
        blocks = []
        for block in model.blocks:
            mine = {c: replace(block.taps[c], parts=layout(heads, c)) for c in PROJECTED if c in block.taps}  # type: ignore[arg-type]
            blocks.append(replace(block, taps={**block.taps, **mine}))
        yield replace(model, blocks=tuple(blocks))


def failures(model: LoadedModel, prompt: Tensor) -> Reasons:
    """Why a component is not offered, for each that fails in some layer."""
    components: frozenset[Component] = frozenset(tap for block in model.blocks for tap in block.taps) - {"pattern"}
    components |= {"resid_mid", "embed"}
    if model.norm is not None:
        components |= {"final_norm"}
    ran, shortcuts = ran_alone(model, prompt, components)
    check_answers(model, prompt, ran)
    tolerance = max(TOLERANCE, ROUNDINGS * torch.finfo(model.model.dtype).eps)
    disabled = unknown(model) | read(model, ran.activations, tolerance)
    if (why := no_logits(model)) is not None:
        disabled["logits"] = why
    disabled |= probe(model, prompt, ran.activations, tolerance, disabled, shortcuts)
    if "q" in disabled and "v" in disabled:
        disabled.setdefault("head", f"neither q nor v shows which columns are which head's: {disabled['q']}")
    disabled |= exchanged(model, prompt, ran, disabled, shortcuts)
    return disabled | patterns(model, prompt, ran, tolerance, disabled | dict(model.disabled), shortcuts)


def ran_alone(model: LoadedModel, prompt: Tensor, components: frozenset[Component]) -> tuple[Run, Shortcuts]:
    """The prompt's run, with keys and values kept if the model can; one that keeps a state of another kind cannot."""
    try:
        return run(model, prompt, new_tokens=1, record=components, shortcuts=PLAIN), PLAIN
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return run(model, prompt, new_tokens=1, record=components, shortcuts=WHOLE), WHOLE


def unknown(model: LoadedModel) -> Reasons:
    """The components that some block has no tap for."""
    return {
        component: f"the modules that hold it in layer {layer} are not known by name."
        for component in get_args(Component)
        for layer, block in reversed(list(enumerate(model.blocks)))
        if component not in ("embed", "resid_mid", "final_norm", "logits") and component not in block.taps
    }


def no_logits(model: LoadedModel) -> str | None:
    """Why logits are not offered as a site."""
    if model.reasoning is not None:
        return "no logits are computed of a thought, nor of the tokens before it."
    return None if model.model.get_output_embeddings() is not None else "no module gives them: the model has no head."


def check_answers(model: LoadedModel, prompt: Tensor, ran: Run) -> None:
    """Raises ModelError when the run, which starts at embeddings, gives other logits than the model by itself."""
    if model.reasoning is not None or model.mask is not None:
        return
    given = model.model(input_ids=prompt, use_cache=False).logits[0, -1].float()
    off = float((ran.logits[0, 0].float() - given).abs().max())
    if off > rounding_of(model) * float(given.abs().max()):
        raise ModelError(
            f"{model.name} answers otherwise when it is run from its input embeddings than from its tokens (a logit is "
            f"off by {off:.2g}): something of a token reaches it on another way, and no site can be trusted."
        )


def read(model: LoadedModel, seen: Activations, tolerance: float) -> Reasons:
    """The sums and projections that must hold in every layer of an unpatched run."""
    disabled: Reasons = {}
    for layer, block in enumerate(model.blocks):
        before, after = seen["resid_pre", layer], seen["resid_post", layer]
        parts = [seen[c, layer].float() for c in ("attn_out", "mlp_out") if c in block.taps]
        if parts:
            total = torch.stack(parts).sum(0)
            off = torch.dist(before.float() + total, after.float())
            if off > allowed(total, after):
                share = float(off / torch.linalg.vector_norm(total))
                why = f"in layer {layer} it is not what is added to the residual stream (off by {share:.2g} of that)."
                disabled = {"attn_out": why, "mlp_out": why} | disabled
        if layer and (off_by := distance(before, seen["resid_post", layer - 1])) > tolerance:
            why = f"block {layer} does not start where block {layer - 1} ended (off by {off_by:.2g} of its norm)."
            disabled = {"resid_pre": why, "resid_post": why} | disabled
        disabled = projected(block, layer, seen, tolerance) | disabled
    return disabled


def projected(block: Block, layer: int, seen: Activations, tolerance: float) -> Reasons:
    """Heads and neurons, projected and normed as the family does, against what the block adds."""
    disabled: Reasons = {}
    ways: tuple[tuple[Component, Component, str], ...] = (
        ("head", "attn_out", "the heads, projected, are not attention's output"),
        ("neuron", "mlp_out", "the neurons, projected, are not the MLP's output"),
    )
    for parts, whole, why in ways:
        if parts in block.taps:
            off = distance(block.added_by(parts, seen[parts, layer]), seen[whole, layer])
            if not off <= tolerance:
                disabled[parts] = f"in layer {layer} {why} (off by {off:.2g})."
    return disabled


def distance(found: Tensor, wanted: Tensor) -> float:
    """Relative distance by norm; a cosine would not see a wrong scale. Two tensors of zeros are at no distance."""
    off = float(torch.dist(found.float(), wanted.float()))
    return off / float(torch.linalg.vector_norm(wanted.float())) if off else 0.0
