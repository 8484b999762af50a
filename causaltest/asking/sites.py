"""Sites: where in a network. One value is used for reading and for writing.

Layers count blocks from 0. `resid_pre(l)` is the input of block l, `resid_post(l)` its output;
transformers' `hidden_states[l]` is `resid_pre(l)`, which is why no such index appears here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from causaltest.asking.directions import Direction, direction
from causaltest.asking.features import SAE, Features, features_of
from causaltest.asking.positions import Position, compact, every
from causaltest.errors import SiteError
from causaltest.seen import Found

Component = Literal[
    "embed",
    "resid_pre",
    "resid_mid",
    "resid_post",
    "attn_out",
    "mlp_out",
    "head",
    "q",
    "k",
    "v",
    "neuron",
    "pattern",
    "final_norm",
    "logits",
]
STREAM: tuple[Component, ...] = ("embed", "resid_pre", "resid_mid", "resid_post", "final_norm", "logits")
"""The components that are the residual stream itself, or what is made of all of it: its last norm, and the logits."""


@dataclass(frozen=True)
class Site:
    """A component, its layers and parts, and a position. Several of each are patched together,
    and are the axes of a sweep."""

    component: Component
    layers: tuple[int, ...]
    parts: tuple[int, ...]
    """Indices of heads, or of neurons; of key-value heads for k and v. Empty for a component without parts."""
    position: Position
    within: Direction | Features | None = None
    """The directions or features that are patched; None for all of the component."""
    found: Found | None = field(default=None, repr=False, compare=False)
    """Where a sweep or a search found it; None where it was written down. It is the same site either way."""

    def __str__(self) -> str:
        layer = f" L{compact(self.layers)}" if self.layers else ""
        parts = f" {self.letter}{compact(self.parts)}" if self.parts else ""
        within = "" if self.within is None else f" along {self.within}"
        return f"{self.component}{layer}{parts} @ {self.position}{within}"

    def along(self, vectors: Any) -> Site:
        """The same place, of which only the part along a direction is patched, or inside a subspace.

        `vectors` is a `direction(...)`, or what one is made of: numbers [width], or rows of them, which need
        not be orthonormal. What is orthogonal to them stays as it is: x becomes x + P(s - x), with P the
        projection onto them (interchange interventions in a subspace: Geiger et al. 2024, arXiv 2303.02536).
        The effect also says what the same patch of the whole component does.

            lab.denoise(pairs, at=resid_post(6, last()).along(truth)).recovery(logit_diff)

        Raises SiteError for what is no direction.
        """
        return self._within(direction(vectors))

    def features(self, sae: SAE, index: int | Iterable[int]) -> Site:
        """The same place, of which only features of a sparse autoencoder are patched.

        x moves along each feature's decoder row by the difference between the activation that it should have
        and the one that it has; what the autoencoder does not explain stays as it is.

            lab.ablate(pairs, at=resid_post(6, last()).features(sae, 1234), by=zero).drop(logit_diff)

        Raises SiteError for what is no SAE, and for a feature that is no whole number from 0.
        """
        return self._within(features_of(sae, index))

    def _within(self, within: Direction | Features) -> Site:
        if self.component == "pattern":
            raise SiteError(
                f"{self} has an entry for every key, and no directions or features; patch all of it, or take head(...)."
            )
        if self.within is not None:
            raise SiteError(f"{self} is a part already; give its directions in one, as rows of one subspace.")
        return replace(self, within=within)

    def whole(self) -> Site:
        """The same place with all of its component."""
        return replace(self, within=None)

    @property
    def letter(self) -> str:
        """What a part is called in short: H for a head, N for a neuron."""
        return "N" if self.component == "neuron" else "H"

    def cells(self) -> tuple[tuple[tuple[Site, ...], ...], ...]:
        """Single sites, by layer, part and position: `cells()[layer][part][position]`."""
        return tuple(
            tuple(
                tuple(replace(self, layers=layers, parts=parts, position=p) for p in self.position.single())
                for parts in each(self.parts)
            )
            for layers in each(self.layers)
        )


def resid_pre(layer: int | Iterable[int], position: Position | None = None) -> Site:
    """The residual stream before block `layer`."""
    return site("resid_pre", layer, position)


def resid_mid(layer: int | Iterable[int], position: Position | None = None) -> Site:
    """The residual stream in block `layer` after attention has added to it and before the MLP reads it.

    A block whose attention and MLP read the same stream side by side has none.
    """
    return site("resid_mid", layer, position)


def resid_post(layer: int | Iterable[int], position: Position | None = None) -> Site:
    """The residual stream after block `layer`."""
    return site("resid_post", layer, position)


def attn_out(layer: int | Iterable[int], position: Position | None = None) -> Site:
    """What attention adds to the residual stream in block `layer`."""
    return site("attn_out", layer, position)


def mlp_out(layer: int | Iterable[int], position: Position | None = None) -> Site:
    """What the MLP adds to the residual stream in block `layer`."""
    return site("mlp_out", layer, position)


def head(layer: int | Iterable[int], head: int | Iterable[int], position: Position | None = None) -> Site:
    """z: the output of an attention head, before the output projection."""
    return part("head", "head", layer, head, position)


def q(layer: int | Iterable[int], head: int | Iterable[int], position: Position | None = None) -> Site:
    """A head's query, as it leaves its projection: before a norm or a rotary embedding."""
    return part("q", "head", layer, head, position)


def k(layer: int | Iterable[int], head: int | Iterable[int], position: Position | None = None) -> Site:
    """A head's key, as it leaves its projection. `head` counts key-value heads, which query heads may share."""
    return part("k", "head", layer, head, position)


def v(layer: int | Iterable[int], head: int | Iterable[int], position: Position | None = None) -> Site:
    """A head's value, as it leaves its projection. `head` counts key-value heads, which query heads may share."""
    return part("v", "head", layer, head, position)


def pattern(layer: int | Iterable[int], head: int | Iterable[int], position: Position | None = None) -> Site:
    """What a head's query at a position attends to: its weights over all positions up to there, after the softmax.

    The position is the query's. The weights of a head without attention sinks sum to 1. `head` counts query heads.
    """
    return part("pattern", "head", layer, head, position)


def neuron(layer: int | Iterable[int], neuron: int | Iterable[int], position: Position | None = None) -> Site:
    """What an MLP's neuron gives: an input of the projection back to the residual stream."""
    return part("neuron", "neuron", layer, neuron, position)


def embed(position: Position | None = None) -> Site:
    """The input embedding; `embed(thought(k))` is the continuous thought itself."""
    return Site("embed", (), (), where("embed", position))


def final_norm(position: Position | None = None) -> Site:
    """The output of the decoder's last norm: what the head reads its logits from, and a thought is made of."""
    return Site("final_norm", (), (), where("final_norm", position))


def logits(position: Position | None = None) -> Site:
    """What the head gives, before a soft cap or factor: one number per token. Patched at `last()`, the other run's
    answer is there by construction, which shows that all else is in order."""
    return Site("logits", (), (), where("logits", position))


def site(component: Component, layer: int | Iterable[int], position: Position | None) -> Site:
    return Site(component, whole("layer", layer), (), where(component, position))


def part(
    component: Component, name: str, layer: int | Iterable[int], at: int | Iterable[int], position: Position | None
) -> Site:
    return Site(component, whole("layer", layer), whole(name, at), where(component, position))


def where(component: Component, position: Position | None) -> Position:
    if position is not None and not isinstance(position, Position):
        told = f"{component} takes a position such as last() or index(3), and got "
        if isinstance(position, list | tuple):
            several = (
                f"{len(position)} in a {type(position).__name__}: give a site for each, or every() for all tokens."
            )
            raise SiteError(told + several)
        raise SiteError(f"{told}{position!r}.")
    return position or every()


def each(numbers: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """One at a time; where there is none, none once."""
    return tuple((n,) for n in numbers) or ((),)


def whole(name: str, numbers: int | Iterable[int]) -> tuple[int, ...]:
    given = tuple(numbers) if isinstance(numbers, Iterable) else (numbers,)
    if not given or any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in given):
        raise SiteError(f"A {name} is a whole number from 0, or several of them, and {numbers!r} was given.")
    return given
