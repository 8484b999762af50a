"""q, k, v and resid_mid, known by what they move when they are written.

All probes are rows of one batch, and in every row each block is handed the unpatched stream again, so that one
run asks every layer. Attention is recomputed by nobody, since every family does it its own way; what follows
from any softmax over earlier positions is enough to tell q, k and v apart and their heads from one another:

- where v is the same at every position, each head gives out just that v, whatever q and k are;
- a head's q at one position moves this head's output at this position, and nothing else;
- a head's k at one position moves the outputs of its group of heads there and later, and never at position 0,
  where there is nothing else to attend to.

The stream between attention and MLP is there where what attention adds moves the MLP of the same block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import Patch, Place
from causaltest.measuring.trajectory import run

OWN, CONSTANT, NOISE, Q_MOVED, K_MOVED, ADDED = range(ROWS := 6)
"""The rows: q, k and v as they are; noise, with v the same everywhere; noise; that with q, or k, of each head moved
at one position; and noise for what attention adds."""
PROJECTED: tuple[Component, ...] = ("q", "k", "v")
HEADS: tuple[Component, ...] = (*PROJECTED, "head")
LEANS_ON: tuple[Component, ...] = ("resid_pre", "attn_out", "mlp_out")
"""What resid_mid is made of, and what it is known by."""

Activations = Mapping[Place, Tensor]


def probe(
    model: LoadedModel, prompt: Tensor, seen: Activations, tolerance: float, disabled: Mapping[str, str]
) -> dict[str, str]:
    """Why q, k, v or resid_mid is not offered, where one fails in some layer.

    `seen` are the activations of the prompt's own run, and `disabled` what failed in it.
    """
    probes = [Probe(model, layer, prompt.shape[1], seen, tolerance) for layer in range(len(model.blocks))]
    patches = [patch for one in probes for patch in one.patches()]
    given = run(model, prompt.expand(ROWS, -1), new_tokens=1, patches=patches, record=("head", "mlp_out")).activations
    failed: dict[str, str] = {}
    for one in reversed(probes):  # the first layer that fails is the one that is told
        failed |= one.told_apart(given)
    missing = next((component for component in LEANS_ON if component in disabled), None)
    deaf = next((one.layer for one in probes if one.deaf(given)), None)
    if missing is not None:
        failed["resid_mid"] = f"it is resid_pre + attn_out, and {missing} is not offered: {disabled[missing]}"
    elif deaf is not None:
        failed["resid_mid"] = (
            f"in layer {deaf} what attention adds does not reach the MLP of the same block: both read the same "
            "stream side by side, and no stream lies between them."
        )
    return failed


class Probe:
    """What is written to one layer in each row, and what must follow from it."""

    def __init__(self, model: LoadedModel, layer: int, length: int, seen: Activations, tolerance: float) -> None:
        self.taps, self.layer, self.length, self.tolerance = model.blocks[layer].taps, layer, length, tolerance
        self.own = {c: seen[c, layer][:, :length] for c in ("resid_pre", "mlp_out", *HEADS) if (c, layer) in seen}
        self.generator = torch.Generator().manual_seed(layer)
        self.attends = all(component in self.taps for component in HEADS)
        if self.attends:
            self.heads, self.groups = len(self.taps["head"].parts), len(self.taps["v"].parts)
            self.values = {component: self.written(component) for component in PROJECTED}

    def patches(self) -> list[Patch]:
        stream = self.own["resid_pre"]
        added = self.noise(stream) * stream.float().square().mean().sqrt().to(stream)
        written = [
            self.patch("resid_pre", range(ROWS), stream.expand(ROWS, -1, -1)),
            self.patch("attn_out", (ADDED,), added),
        ]
        if self.attends:
            written += [self.patch(c, range(ADDED), values.flatten(2)) for c, values in self.values.items()]
        return written

    def patch(self, component: Component, rows: Sequence[int], values: Tensor) -> Patch:
        at = torch.cartesian_prod(torch.tensor(list(rows)), torch.arange(self.length)).to(values.device)
        return Patch(component, self.layer, None, at[:, 0], at[:, 1], values.flatten(0, 1))

    def written(self, component: Component) -> Tensor:
        """What a component is in the rows before ADDED. [row, position, part, width]"""
        own = self.own[component].unflatten(-1, (len(self.taps[component].parts), -1))
        values = self.noise(own).repeat(ADDED, 1, 1, 1)
        values[OWN] = own[0]
        if component == "v":
            values[CONSTANT] = values[CONSTANT, :1]
        elif component == "q":
            heads = torch.arange(self.heads)
            values[Q_MOVED, self.q_at, heads] = self.noise(own)[0, self.q_at, heads]
        else:
            groups = torch.arange(self.groups)
            values[K_MOVED, self.k_at, groups] = self.noise(own)[0, self.k_at, groups]
        return values

    @property
    def q_at(self) -> Tensor:
        """Where each head's q is moved: never at position 0, which attends to itself alone. [head]"""
        return 1 + torch.arange(self.heads) % (self.length - 1)

    @property
    def k_at(self) -> Tensor:
        """Where each group's k is moved: never at the last position, which no later one attends to. [group]

        The first group's at position 0, where v would move something and k does not; no other's at 1, which
        could not be told from it.
        """
        return torch.tensor([0, *(2 + group % (self.length - 3) for group in range(self.groups - 1))])

    def told_apart(self, given: Activations) -> dict[str, str]:
        """Why q, k or v is not what its name says in this layer."""
        if not self.attends:
            return {}
        if self.heads % self.groups:
            why = f"in layer {self.layer} {self.heads} query heads cannot share {self.groups} key-value heads evenly."
            return dict.fromkeys(PROJECTED, why)
        z = given["head", self.layer][:, : self.length].unflatten(-1, (self.heads, -1)).float()
        failed: dict[str, str] = {}
        group = torch.arange(self.heads) // (self.heads // self.groups)
        value = self.values["v"][CONSTANT, 0].float().to(z.device)[group.to(z.device)]
        if bool(self.moved(z[CONSTANT], value.expand_as(z[CONSTANT])).any()):
            failed["v"] = f"in layer {self.layer} heads do not give out the v that is the same everywhere."
        at = torch.arange(self.length)[:, None]
        moved = self.moved(z[Q_MOVED], z[NOISE])
        if bool((moved & (at != self.q_at)).any()) or not bool(moved.any()):
            failed["q"] = f"in layer {self.layer} a head's q does not move this head at its own position, and it alone."
        moved, first = self.moved(z[K_MOVED], z[NOISE]), self.k_at[group]
        if bool((moved & ((at < first) | (at == 0))).any()) or not bool((moved & (at > first)).any()):
            failed["k"] = f"in layer {self.layer} a head's k does not move its group of heads from its position on."
        own = self.own["head"].float().unflatten(-1, (self.heads, -1))
        if bool(self.moved(z[OWN], own[0]).any()):
            why = f"in layer {self.layer} the heads change when q, k and v are written as they are."
            failed = dict.fromkeys(PROJECTED, why) | failed
        return failed

    def moved(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Which heads' outputs differ at which positions. [position, head]"""
        return ((found - wanted).abs().amax(-1) > self.tolerance * wanted.abs().amax()).cpu()

    def deaf(self, given: Activations) -> bool:
        """Whether the MLP hears its position, and yet not what attention adds there."""
        own, scale = self.own["mlp_out"][0].float(), self.tolerance * self.own["mlp_out"].float().abs().amax()
        hears = bool(((own - own[:1]).abs() > scale).any())
        return hears and not bool(((given["mlp_out", self.layer][ADDED, : self.length] - own).abs() > scale).any())

    def noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)
