"""Exchange: what a run holds written back to it must change nothing, and one prompt's stream written into
another's run must give that prompt's answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from causaltest.asking.sites import STREAM, Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Patch, Place, Shortcuts
from causaltest.measuring.trajectory import Run, run

Reasons = dict[str, str]
LOGIT_TOLERANCE = 1e-3
LOGIT_ROUNDINGS = 32
"""A whole run rounds more often than a sum."""
INNER = ("embed", "resid_mid", "final_norm", "logits")
"""Of the stream, what does not lie between two blocks."""
TOGETHER: tuple[tuple[Component, ...], ...] = (
    ("embed", "q", "k", "v", "neuron"),
    ("head", "mlp_out"),
    ("attn_out",),
    ("resid_mid",),
    ("resid_pre", "resid_post"),
    ("final_norm",),
)
"""Components that are written in one run: none of them overwrites what another has changed."""


def exchanged(
    model: LoadedModel,
    prompt: Tensor,
    ran: Run,
    disabled: Collection[str],
    shortcuts: Shortcuts,
) -> Reasons:
    """Why a component is not offered, where one of the two fails. `ran` is the prompt's own run. [1, token]"""
    failed = own_values(model, prompt, ran, disabled, shortcuts)
    failed |= whole_logits(model, prompt, disabled, shortcuts)
    return failed | whole_stream(model, prompt, ran, disabled, shortcuts)


def own_values(
    model: LoadedModel, prompt: Tensor, ran: Run, disabled: Collection[str], shortcuts: Shortcuts
) -> Reasons:
    """The components that change an answer's bits when they are written as they are, in every layer."""

    def changed(components: Collection[Component]) -> bool:
        places = [place for place in ran.activations if place[0] in components]
        patches = [everywhere(place, ran.activations[place], (0,)) for place in places]
        given = run(model, prompt, new_tokens=1, patches=patches, shortcuts=shortcuts)
        return not torch.equal(given.logits, ran.logits)

    why = "a run whose own values are written back there answers otherwise."
    failed: Reasons = {}
    for group in TOGETHER:
        offered = [component for component in group if component not in disabled]
        if offered and changed(offered):
            failed |= {c: why for c in offered if len(offered) == 1 or changed((c,))}
    return failed


def whole_logits(model: LoadedModel, prompt: Tensor, disabled: Collection[str], shortcuts: Shortcuts) -> Reasons:
    """Why logits are not offered: written as they are they change, or another prompt's run does not take them on.

    Runs of their own: where the head's output is recorded it is computed at every position, which rounds otherwise.
    """
    if "logits" in disabled:
        return {}
    place: Place = ("logits", 0)
    seen = run(model, prompt, new_tokens=1, record=place[:1], shortcuts=shortcuts)
    patches = [everywhere(place, seen.activations[place], (0,))]
    own, other = (
        run(model, ids, new_tokens=1, patches=patches, shortcuts=shortcuts).logits for ids in (prompt, prompt.flip(1))
    )
    if torch.equal(own, seen.logits) and torch.equal(other, seen.logits):
        return {}
    return {"logits": "a run that all of them are written to answers otherwise than they say."}


def whole_stream(
    model: LoadedModel,
    prompt: Tensor,
    ran: Run,
    disabled: Collection[str],
    shortcuts: Shortcuts,
) -> Reasons:
    """The components of the stream that do not carry all of a run when every position of them is exchanged."""
    other = prompt.flip(1)
    places: list[Place] = [("embed", 0)] if "embed" not in disabled else []
    layers = range(len(model.blocks))
    places += [(c, layer) for c in STREAM for layer in layers if c not in disabled and c not in INNER]
    places += [("final_norm", 0)] if model.norm is not None and "final_norm" not in disabled else []
    patches = [everywhere(place, ran.activations[place], (row,)) for row, place in enumerate(places)]
    prompts = other.expand(len(places), -1)
    given = run(model, prompts, new_tokens=1, patches=patches, shortcuts=shortcuts)
    off = (given.logits.float() - ran.logits.float()).abs().amax(dim=(1, 2)).tolist()
    largest = float(ran.logits.float().abs().max())
    return {
        component: f"in layer {layer} it does not carry the whole run: another prompt's run with all of it answers "
        f"otherwise than this prompt does (a logit is off by {missed:.2g})."
        for (component, layer), missed in reversed(list(zip(places, off, strict=True)))
        if not missed <= rounding_of(model) * largest
    }


def rounding_of(model: LoadedModel) -> float:
    """What rounding may move a logit by, relative to the largest."""
    return max(LOGIT_TOLERANCE, LOGIT_ROUNDINGS * torch.finfo(model.model.dtype).eps)


def everywhere(place: Place, values: Tensor, rows: Sequence[int]) -> Patch:
    """The patch of every position of some rows by one run's values. [1, position, width]"""
    component, layer = place
    at = torch.cartesian_prod(torch.tensor(list(rows)), torch.arange(values.shape[1])).view(-1, 2)
    return Patch(component, layer, None, at[:, 0], at[:, 1], values.expand(len(rows), -1, -1).flatten(0, 1))
