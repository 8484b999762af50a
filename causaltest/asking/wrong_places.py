"""Wrong places: the same patch at another layer or position, as a control that a claim asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from causaltest.asking.edges import Edge
from causaltest.asking.positions import Position
from causaltest.asking.sites import Site
from causaltest.errors import ClaimError


@dataclass(frozen=True)
class WrongPlace:
    """The sites of a patch, moved to where it should not matter."""

    what: str
    """What is other about it, for the report: "layer 2"."""
    sites: tuple[Site, ...]
    position: Position | None = None
    """The other position, where it is the position that differs."""


def wrong_layers(sites: Sequence[Site], edges: Sequence[Edge], layers: int | Iterable[int]) -> tuple[WrongPlace, ...]:
    """The patch at each of some layers. Raises ClaimError for its own layer, and for a patch without one layer."""
    wanted = [layers] if isinstance(layers, int) else list(layers)
    if not wanted:
        return ()
    odd = [layer for layer in wanted if type(layer) is not int or layer < 0]
    if odd:
        raise ClaimError(f"wrong_layer takes layers, counted from 0, and got {odd[0]!r}.")
    refuse_edges("wrong_layer", edges)
    own = {site.layers for site in sites}
    if len(own) > 1 or any(len(some) != 1 for some in own):
        told = " + ".join(map(str, sites))
        raise ClaimError(
            f"wrong_layer moves a patch of one layer to another, and {told} has {'none' if own == {()} else 'several'}."
            " Ask for the other patch as an experiment of its own, and claim the difference."
        )
    mine = own.pop()[0]
    if mine in wanted:
        raise ClaimError(f"wrong_layer={mine} is the claim's own layer: name one where the patch should not matter.")
    return tuple(
        WrongPlace(f"layer {layer}", tuple(replace(site, layers=(layer,)) for site in sites))
        for layer in dict.fromkeys(wanted)
    )


def wrong_positions(
    sites: Sequence[Site], edges: Sequence[Edge], positions: Position | Iterable[Position]
) -> tuple[WrongPlace, ...]:
    """The patch at each of some positions; that they do not overlap its own is seen when they are resolved.

    Raises ClaimError for its own position, and for a patch of several.
    """
    wanted = [positions] if isinstance(positions, Position) else list(positions)
    if not wanted:
        return ()
    odd = [position for position in wanted if not isinstance(position, Position)]
    if odd:
        raise ClaimError(f"wrong_position takes positions such as index(3) or last(), and got {odd[0]!r}.")
    refuse_edges("wrong_position", edges)
    own = {site.position for site in sites}
    if len(own) > 1:
        raise ClaimError(
            f"wrong_position moves a patch at one position to another, and {' + '.join(map(str, sites))} has several. "
            "Ask for the other patch as an experiment of its own, and claim the difference."
        )
    if (mine := own.pop()) in wanted:
        raise ClaimError(f"wrong_position={mine} is the claim's own position: name one that should not matter.")
    return tuple(
        WrongPlace(str(position), tuple(replace(site, position=position) for site in sites), position)
        for position in dict.fromkeys(wanted)
    )


def refuse_edges(name: str, edges: Sequence[Edge]) -> None:
    if edges:
        raise ClaimError(
            f"{name} moves a site, and an edge has two ends: measure the other edge as an experiment of its own, and "
            "claim the difference."
        )
