"""One full forward per run on the catalogue: no cache, no batch, no causaltest.

As `../plain.py`, but for every family of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from families.catalogue import Family
from families.places import At
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """A vector to put at one component, layer and position; for a head or neuron, at its part of the component."""

    component: str
    layer: int
    position: int
    vector: Tensor
    part: int | None = None


@dataclass
class Seen:
    """One forward: the logits at the last position, and what every component held. [position, part, width]"""

    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    at: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def vector(self, component: str, layer: int, position: int, part: int | None = None) -> Tensor:
        return self.at[component, layer][position, 0 if part is None else part]


@torch.no_grad()
def forward(family: Family, model: Any, ids: Sequence[int], changes: Sequence[Change] = ()) -> Seen:
    """One full forward over one prompt. An encoder-decoder's decoder reads its start token."""
    seen, prompt = Seen(), torch.tensor([list(ids)])
    start = {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)} if model.config.is_encoder_decoder else {}
    with watching(family, model, seen, changes):
        seen.logits = model(input_ids=prompt, use_cache=False, **start).logits[0, -1]
    return seen


@dataclass(frozen=True)
class Generated:
    """Greedy tokens, the logits [step, vocabulary] that gave them, and the last forward."""

    tokens: list[int]
    logits: Tensor
    seen: Seen


def generate(
    family: Family, model: Any, ids: Sequence[int], new_tokens: int, changes: Sequence[Change] = ()
) -> Generated:
    """Every token by a full forward over all before it. A change of a position that is not there yet waits for it."""
    ids, steps, seen = list(ids), [], Seen()
    for _ in range(new_tokens):
        seen = forward(family, model, ids, [c for c in changes if c.position < len(ids)])
        steps.append(seen.logits)
        ids.append(int(seen.logits.argmax()))
    return Generated(ids[-new_tokens:], torch.stack(steps), seen)


@contextmanager
def watching(family: Family, model: Any, seen: Seen, changes: Sequence[Change]) -> Iterator[None]:
    handles = []
    try:
        look = looking(family, model, seen, changes, At("", "output"), "embed", 0)
        handles.append(hook(model.get_submodule(family.embed), "output", look))
        for layer in range(model.config.num_hidden_layers):
            for component in family.places:
                at = family.place(component, layer)
                if at is not None:
                    look = looking(family, model, seen, changes, at, component, layer)
                    handles.append(hook(model.get_submodule(family.path(at, layer)), at.side, look))
        yield
    finally:
        for handle in handles:
            handle.remove()


def looking(
    family: Family, model: Any, seen: Seen, changes: Sequence[Change], at: At, component: str, layer: int
) -> Any:
    """Reads a component from a module's tensor, and writes what is to be changed of it."""
    # The stream between attention and MLP is read twice, so it is changed through what last makes it.
    makes_mid = component == ("attn_out" if family.place("attn_out", layer) else "mixer")

    def look(tensor: Tensor) -> Tensor:
        # A copy, since some blocks go on to change in place what their modules gave.
        new = tensor.clone()
        whole = new.view(-1, new.shape[-1])
        columns = torch.arange(whole.shape[-1])[None] if at.columns is None else at.columns(model.config)
        for c in changes:
            if (c.component, c.layer) == (component, layer) and component != "resid_mid":
                whole[c.position, columns[c.part or 0]] = c.vector / at.scale
            elif (c.component, c.layer) == ("resid_mid", layer) and makes_mid:
                before = [seen.vector(b, layer, c.position) for b in ("resid_pre", "mixer") if (b, layer) in seen.at]
                whole[c.position] = (c.vector - sum(before)) / at.scale
        seen.at[component, layer] = at.scale * whole[:, columns]
        return new

    return look


def hook(module: torch.nn.Module, side: str, look: Any) -> Any:
    """Hands a module's first argument, or the first of what it gives, to `look`, and goes on with what that returns."""

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (look(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": look(kwargs["hidden_states"])}

    if side == "input":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(
        lambda _, __, out: type(out)((look(out[0]), *out[1:])) if isinstance(out, tuple | list) else look(out)
    )
