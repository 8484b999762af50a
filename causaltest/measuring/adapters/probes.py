"""Components known by what they move when they are written, and writes seen to arrive.

All probes are rows of one batch, and in every row each block is handed the unpatched stream again, so that one
run asks every layer. Attention is recomputed by nobody, since every family does it its own way; what follows
from any softmax over earlier positions is enough to tell q, k and v apart and their heads from one another:

- where v is the same at every position, each head gives out just that v, whatever q and k are;
- a head's q at one position moves this head's output at this position, and nothing else;
- a head's k at one position moves the outputs of its group of heads there and later, and never at position 0,
  where there is nothing else to attend to.

An MLP reads one position: where another one's stream is moved and attention's output is held, it must not notice.
The stream between attention and MLP is there where what attention adds moves the MLP of the same block. And noise
written to what a block adds, or to its parts, must be found in the stream behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import PLAIN, Patch, Place, Shortcuts
from causaltest.measuring.trajectory import run

OWN, CONSTANT, NOISE, Q_MOVED, K_MOVED, ADDED, MLP_ADDED, HEADS_MOVED, NEURONS_MOVED, BEFORE_MOVED = range(ROWS := 10)
"""The rows: q, k and v as they are; noise, with v the same everywhere; noise; that with q, or k, of each head moved
at one position. Noise for what attention adds; for what the MLP adds; for all heads; for all neurons. And the stream
moved at position 0, with what attention adds held."""
PROJECTED: tuple[Component, ...] = ("q", "k", "v")
HEADS: tuple[Component, ...] = (*PROJECTED, "head")
MOVED: Mapping[Component, int] = {
    "attn_out": ADDED,
    "mlp_out": MLP_ADDED,
    "head": HEADS_MOVED,
    "neuron": NEURONS_MOVED,
}
LEANS_ON: tuple[Component, ...] = ("resid_pre", "attn_out", "mlp_out")
"""What resid_mid is made of, and what it is known by."""

Activations = Mapping[Place, Tensor]


def probe(
    model: LoadedModel,
    prompt: Tensor,
    seen: Activations,
    tolerance: float,
    disabled: Mapping[str, str],
    shortcuts: Shortcuts = PLAIN,
) -> dict[str, str]:
    """Why a component is not offered, where a probe of it fails in some layer.

    `seen` are the activations of the prompt's own run, and `disabled` what failed in it.
    """
    probes = [Probe(model, layer, prompt.shape[1], seen, tolerance) for layer in range(len(model.blocks))]
    patches = [patch for one in probes for patch in one.patches()]
    record: tuple[Component, ...] = ("head", "attn_out", "mlp_out", "resid_post")
    prompts = prompt.expand(ROWS, -1)
    given = run(model, prompts, new_tokens=1, patches=patches, record=record, shortcuts=shortcuts).activations
    failed: dict[str, str] = {}
    for one in reversed(probes):  # the first layer that fails is the one that is told
        failed |= one.told_apart(given)
        failed |= one.arrived(given)
        failed |= one.mixed_up(given)
    missing = next((component for component in LEANS_ON if component in {**disabled, **failed}), None)
    deaf = next((one.layer for one in probes if one.deaf(given)), None)
    if missing is not None:
        why = {**disabled, **failed}[missing]
        failed["resid_mid"] = f"it is resid_pre + attn_out, and {missing} is not offered: {why}"
    elif deaf is not None:
        failed["resid_mid"] = (
            f"in layer {deaf} what attention adds does not reach the MLP of the same block: both read the same "
            "stream side by side, and no stream lies between them."
        )
    return failed


class Probe:
    """What is written to one layer in each row, and what must follow from it."""

    def __init__(self, model: LoadedModel, layer: int, length: int, seen: Activations, tolerance: float) -> None:
        self.block, self.taps = model.blocks[layer], model.blocks[layer].taps
        self.layer, self.length, self.tolerance = layer, length, tolerance
        self.own = {c: seen[c, layer][:, :length] for c in ("resid_pre", *MOVED, *PROJECTED) if (c, layer) in seen}
        self.generator = torch.Generator().manual_seed(layer)
        self.asked = [component for component in PROJECTED if component in self.taps]
        self.uncounted = self.miscounted()
        self.attends = "q" in self.taps and "head" in self.taps and not self.uncounted
        self.noises: dict[Component, Tensor] = {}
        if self.attends:
            self.heads = len(self.taps["head"].parts)
            self.groups = len(self.taps["v"].parts) if "v" in self.taps else self.heads
            self.values = {component: self.written(component) for component in self.asked}

    def miscounted(self) -> dict[str, str]:
        """Why q, k and v are not offered: there are not as many of them as there are heads to move."""
        counts = {c: len(self.taps[c].parts) for c in HEADS if c in self.taps}
        heads, groups = counts.get("head", 0), counts.get("v", counts.get("k", counts.get("q", 1)))
        fits = counts.get("q", heads) == heads and counts.get("k", groups) == groups and heads % max(groups, 1) == 0
        if fits or not heads:
            return {}
        found = ", ".join(f"{count} of {component}" for component, count in counts.items())
        why = f"in layer {self.layer} query heads cannot share key-value heads evenly: there are {found}."
        return dict.fromkeys((*self.asked, "head"), why)

    def patches(self) -> list[Patch]:
        stream = self.own["resid_pre"]
        size = stream.float().square().mean().sqrt().to(stream)
        before = stream.repeat(ROWS, 1, 1)
        before[BEFORE_MOVED, 0] += self.noise(before[0, 0]) * size
        written = [self.patch("resid_pre", range(ROWS), before)]
        for component, row in MOVED.items():
            if component in self.taps:
                self.noises[component] = self.noise(self.own[component]) * size
                written.append(self.patch(component, (row,), self.noises[component]))
        if "attn_out" in self.taps:
            written.append(self.patch("attn_out", (BEFORE_MOVED,), self.own["attn_out"]))
        if self.attends:
            written += [self.patch(c, range(ADDED), values.flatten(2)) for c, values in self.values.items()]
        return written

    def patch(self, component: Component, rows: Sequence[int], values: Tensor) -> Patch:
        at = torch.cartesian_prod(torch.tensor(list(rows)), torch.arange(self.length)).to(values.device)
        return Patch(component, self.layer, None, at[:, 0], at[:, 1], values.flatten(0, 1))

    def written(self, component: Component) -> Tensor:
        """What a component is in the rows before ADDED. [row, position, part, width]"""
        own = self.own[component].unflatten(-1, (len(self.taps[component].parts), -1))
        values = self.noise(own[:1]).repeat(ADDED, 1, 1, 1)
        values[OWN] = own[0]
        if component == "v":
            # One number a position, so that what heads give out says how they attend and nothing else.
            values[NOISE:] = values[NOISE:, :, :1, :1]
            values[CONSTANT] = self.noise(own)[0, :1]
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
        """Why q, k, v or z is not what its name says in this layer."""
        if not self.attends:
            return self.uncounted
        z = given["head", self.layer][:, : self.length].unflatten(-1, (self.heads, -1)).float()
        own = self.own["head"].float().unflatten(-1, (self.heads, -1))
        failed: dict[str, str] = {}
        group = torch.arange(self.heads) // (self.heads // self.groups)
        at = torch.arange(self.length)[:, None]
        if "v" in self.asked:
            value = self.values["v"][CONSTANT, 0].float().to(z.device)[group.to(z.device)]
            wide = value.shape[-1] == z.shape[-1]
            if not wide or bool(self.moved(z[CONSTANT], value.expand_as(z[CONSTANT])).any()):
                failed["v"] = f"in layer {self.layer} heads do not give out the v that is the same everywhere."
            if (why := self.misdivided(z[NOISE])) is not None:
                failed = dict.fromkeys((*self.asked, "head"), why)
        moved = self.moved(z[Q_MOVED], z[NOISE])
        if bool((moved & (at != self.q_at)).any()) or not bool(moved.any()):
            why = f"in layer {self.layer} a head's q does not move this head at its own position, and it alone."
            # Where v does not show which columns are which head's, q alone does.
            failed |= {"q": why} if "v" in self.asked else {"q": why, "head": why}
        moved, first = self.moved(z[K_MOVED], z[NOISE]), self.k_at[group]
        wrong = bool((moved & ((at < first) | (at == 0))).any()) or not bool((moved & (at > first)).any())
        if "k" in self.asked and wrong:
            failed["k"] = f"in layer {self.layer} a head's k does not move its group of heads from its position on."
        if bool(self.moved(z[OWN], own[0]).any()):
            why = f"in layer {self.layer} the heads change when q, k and v are written as they are."
            failed = dict.fromkeys(self.asked, why) | failed
        return failed

    def misdivided(self, z: Tensor) -> str | None:
        """Why columns are not divided into heads as they are, where all read one number a position: the columns of
        a head attend alike, and no two heads do. [position, head, width]"""
        scale = self.tolerance * z.abs().amax()
        if bool((z - z.mean(-1, keepdim=True) > scale).any()):
            return f"in layer {self.layer} the columns of a head do not attend alike: they are of several heads."
        apart = (z[:, :, None, 0] - z[:, None, :, 0]).abs().amax(0) > scale
        if bool((~apart).sum() > len(apart)):
            return f"in layer {self.layer} two heads attend alike whatever their q: they are parts of one."
        return None

    def arrived(self, given: Activations) -> dict[str, str]:
        """Why what a block adds, or its parts, is not offered in this layer: noise written there does not arrive."""
        failed: dict[str, str] = {}
        for component, noise in self.noises.items():
            row = MOVED[component]
            if component in ("head", "neuron"):
                whole: Component = "attn_out" if component == "head" else "mlp_out"
                wanted = self.block.added_by(component, noise)[0]
                found = given[whole, self.layer][row, : self.length] if whole in self.taps else wanted
            else:
                other: Component = "mlp_out" if component == "attn_out" else "attn_out"
                wanted = noise[0] + (given[other, self.layer][row, : self.length] if other in self.taps else 0)
                found = given["resid_post", self.layer][row, : self.length] - self.own["resid_pre"][0]
            if torch.dist(found.float(), wanted.float()) > self.within(wanted):
                failed[component] = f"in layer {self.layer} what is written there is not found in what the block gives."
        return failed

    def mixed_up(self, given: Activations) -> dict[str, str]:
        """Why attn_out and mlp_out are not offered: the MLP reads other positions than its own."""
        if "attn_out" not in self.taps or "mlp_out" not in self.taps:
            return {}
        own = self.own["mlp_out"][0, 1:]
        found = given["mlp_out", self.layer][BEFORE_MOVED, 1 : self.length]
        if torch.dist(found.float(), own.float()) <= self.within(own):
            return {}
        why = (
            f"in layer {self.layer} the MLP changes with another position's stream while what attention adds is held: "
            "the two are not what their names say."
        )
        return {"attn_out": why, "mlp_out": why}

    def within(self, wanted: Tensor) -> Tensor:
        """How far a tensor may be off: a share of itself, and the rounding of the stream that it was added to."""
        eps = torch.finfo(wanted.dtype).eps
        stream, share = (torch.linalg.vector_norm(t.float()) for t in (self.own["resid_pre"], wanted))
        off: Tensor = self.tolerance * share + 8 * eps * stream
        return off

    def moved(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Which heads' outputs differ at which positions. [position, head]"""
        return ((found - wanted).abs().amax(-1) > self.tolerance * wanted.abs().amax()).cpu()

    def deaf(self, given: Activations) -> bool:
        """Whether the MLP hears its position, and yet not what attention adds there."""
        if "mlp_out" not in self.own:
            return False
        own, scale = self.own["mlp_out"][0].float(), self.tolerance * self.own["mlp_out"].float().abs().amax()
        hears = bool(((own - own[:1]).abs() > scale).any())
        return hears and not bool(((given["mlp_out", self.layer][ADDED, : self.length] - own).abs() > scale).any())

    def noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)
