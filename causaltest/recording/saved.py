"""A claim as it was measured, as plain data and back: what a baseline keeps and a bundle packs.

Everything that the judge reads comes back to the last bit. The experiments themselves are in the claim's spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from causaltest.effects import Measured
from causaltest.writing.plain_effects import measured_of, number, plain_measured, text


@dataclass(frozen=True)
class SavedClaim:
    """One claim as it was measured: what a baseline keeps and a bundle packs."""

    id: str
    """Within the folder of its record, or of its test file where it has none."""
    spec: Mapping[str, Any]
    """Its spec's fields (recording/spec.py)."""
    seed: str
    """The suite's."""
    told: Mapping[str, Any]
    """The verdict as the ledger has it: verdict, estimate, lower, upper, n, alpha."""
    effects: tuple[tuple[str, Measured], ...]
    """What was measured; of a claim in variants each under its variant's name, else one under ""."""
    played: Mapping[str, Any] | None = None
    """Of a sequential claim: `units`, of each look that brought new ones its number and those that count by then; the
    `order` of play of all units; and the `largest`, in pairs."""
    margin: float | None = None
    """The largest change, in the effect's units, that a comparison counts as none; None where nobody can say."""


def plain_claim(claim: SavedClaim) -> dict[str, Any]:
    """A claim as mappings, lists, strings and numbers, NaN among them."""
    return {
        "id": claim.id,
        "spec": claim.spec,
        "seed": claim.seed,
        "told": claim.told,
        "effects": [[name, plain_measured(effect)] for name, effect in claim.effects],
        "played": claim.played,
        "margin": claim.margin,
    }


def claim_of(data: Mapping[str, Any]) -> SavedClaim:
    """The inverse of `plain_claim`. Raises KeyError, TypeError or ValueError for what is none."""
    return SavedClaim(
        id=text(data["id"]),
        spec=dict(data["spec"]),
        seed=text(data["seed"]),
        told=dict(data["told"]),
        effects=tuple((text(name), measured_of(effect)) for name, effect in data["effects"]),
        played=None if data["played"] is None else dict(data["played"]),
        margin=None if data["margin"] is None else number(data["margin"]),
    )
