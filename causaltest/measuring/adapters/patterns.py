"""Patterns proven: the weights that an attention is said to have must give what its heads give.

A run that sees its weights is another run than the model's own, for the weights are worked out by the family's eager
function. So it must answer as the model does; its weights must be shares of keys that the query can see; times v they
must be z; and weights that are written must make z of one head at one position, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.decoder import text_config
from causaltest.measuring.adapters.exchange import everywhere, rounding_of
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.attention import UNDERSTOOD, in_rows, of_rows
from causaltest.measuring.engine import Patch, Place, Shortcuts
from causaltest.measuring.trajectory import Run, run

KNOWN_BY: tuple[Component, ...] = ("head", "v", "resid_pre")
"""What patterns are proven against."""
PATTERN: tuple[Component, ...] = ("pattern",)
HEAD: tuple[Component, ...] = ("head",)
FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError, AssertionError)
"""What a forward raises whose attention function is not as the families of transformers have it."""


def patterns(
    model: LoadedModel,
    prompt: Tensor,
    ran: Run,
    tolerance: float,
    disabled: Mapping[str, str],
    shortcuts: Shortcuts,
) -> dict[str, str]:
    """Why patterns are not offered, if they are not. `ran` is the prompt's own run. [1, token]"""
    if "pattern" in disabled:
        return {}
    missing = next((component for component in KNOWN_BY if component in disabled), None)
    if missing is not None:
        return {"pattern": f"it is known by {missing}, which is not offered: {disabled[missing]}"}
    named = text_config(model.model)._attn_implementation
    if named not in UNDERSTOOD:
        why = f"attn_implementation={named!r} hands on masks that are not understood here; load the model with 'sdpa'."
        return {"pattern": why}
    try:
        seen = run(model, prompt, new_tokens=1, record=("pattern", *KNOWN_BY), shortcuts=shortcuts)
    except FAILURES as error:
        return {
            "pattern": f"its attention does not take part in transformers' interface ({type(error).__name__}: {error})."
        }
    why_not = other_run(model, seen, ran) or misread(model, seen, tolerance)
    why_not = why_not or not_neutral(model, prompt, seen, shortcuts)
    why_not = why_not or miswritten(model, prompt, seen, tolerance, shortcuts)
    return {} if why_not is None else {"pattern": why_not}


def other_run(model: LoadedModel, seen: Run, ran: Run) -> str | None:
    """Why a run that sees its weights is not the model's own."""
    unseen = next((layer for layer in range(len(model.blocks)) if ("pattern", layer) not in seen.activations), None)
    if unseen is not None:
        return f"in layer {unseen} attention does not take part in transformers' interface."
    off = float((seen.logits.float() - ran.logits.float()).abs().max())
    if off <= rounding_of(model) * float(ran.logits.float().abs().max()):
        return None
    return f"with the family's eager attention the model answers otherwise (a logit is off by {off:.2g})."


def misread(model: LoadedModel, seen: Run, tolerance: float) -> str | None:
    """Why recorded weights are not those with which heads read v."""
    for layer in range(len(model.blocks)):
        weights = weights_of(model, seen, layer)
        if bool(weights.triu(1).any()):
            return f"in layer {layer} a query attends to keys that come after it."
        if bool((weights < 0).any()) or bool((weights.float().sum(-1) > 1 + max(tolerance, 1e-2)).any()):
            return f"in layer {layer} the weights of a query are not shares of one."
        if (off := missed(product(model, seen, layer, weights), seen.activations["head", layer][0])) > tolerance:
            return f"in layer {layer} the weights times v are not what heads give (off by {off:.2g})."
    return None


def not_neutral(model: LoadedModel, prompt: Tensor, seen: Run, shortcuts: Shortcuts) -> str | None:
    places = [place for place in seen.activations if place[0] == "pattern"]
    patches = [everywhere(place, seen.activations[place], (0,)) for place in places]
    given = run(model, prompt, new_tokens=1, patches=patches, record=PATTERN, shortcuts=shortcuts)
    if torch.equal(given.logits, seen.logits):
        return None
    return "a run whose own values are written back there answers otherwise."


def miswritten(model: LoadedModel, prompt: Tensor, seen: Run, tolerance: float, shortcuts: Shortcuts) -> str | None:
    """Why weights that are written do not make one head's output at one position, and nothing else.

    Every block is handed the unpatched stream again, so that one run asks every layer.
    """
    length, patches, wanted = prompt.shape[1], [], []
    for layer in range(len(model.blocks)):
        weights = weights_of(model, seen, layer).clone()
        heads = torch.arange(len(weights))
        at = 1 + heads % (length - 1)
        generator = torch.Generator().manual_seed(layer)
        drawn = torch.rand(len(heads), weights.shape[-1], generator=generator)
        drawn *= torch.arange(weights.shape[-1]) <= at[:, None]
        weights[heads, at] = (drawn / drawn.sum(-1, keepdim=True)).to(weights)
        wanted.append(product(model, seen, layer, weights))
        stream: Place = ("resid_pre", layer)
        patches.append(everywhere(stream, seen.activations[stream][:, :length], (0,)))
        rows = in_rows(weights[None], weights.shape[-1])[0]
        positions = at.unique()
        values = rows[positions.to(rows.device)]
        patches.append(Patch("pattern", layer, None, torch.zeros_like(positions), positions, values))
    given = run(model, prompt, new_tokens=1, patches=patches, record=HEAD, shortcuts=shortcuts)
    for layer, z in enumerate(wanted):
        if (off := missed(given.activations["head", layer][0, :length], z[:length])) > tolerance:
            return f"in layer {layer} weights that are written do not make what their head gives (off by {off:.2g})."
    return None


def weights_of(model: LoadedModel, seen: Run, layer: int) -> Tensor:
    """[head, query, key]"""
    rows = seen.activations["pattern", layer]
    return of_rows(rows, len(model.blocks[layer].taps["pattern"].parts), rows.shape[1])[0]


def product(model: LoadedModel, seen: Run, layer: int, weights: Tensor) -> Tensor:
    """Weights [head, query, key] times a run's v, heads side by side. [query, width]"""
    v = seen.activations["v", layer][0].unflatten(-1, (len(model.blocks[layer].taps["v"].parts), -1)).transpose(0, 1)
    v = v.repeat_interleave(len(weights) // len(v), dim=0)
    z: Tensor = (weights.float() @ v.float()).transpose(0, 1).flatten(1)
    return z


def missed(found: Tensor, wanted: Tensor) -> float:
    """The largest distance of two tensors, relative to the largest number; infinite for other shapes."""
    if found.shape != wanted.shape:
        return float("inf")
    return float((found.float() - wanted.float()).abs().max() / wanted.float().abs().max().clamp_min(1e-30))
