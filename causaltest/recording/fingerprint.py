"""Fingerprint: the hash of all numbers that a verdict rests on, so that a look in the ledger knows its effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from causaltest.effects import Measured
from causaltest.recording.saved import SavedClaim
from causaltest.writing.canonical import digest_of, sha256_of
from causaltest.writing.exact import exact
from causaltest.writing.plain_effects import plain_measured

TOLD = ("provenance", "seen")
"""What is noted beside the numbers: which versions measured them, and what had seen the pairs."""


def fingerprint(effects: Sequence[tuple[str, Measured]], played: Mapping[str, Any] | None) -> str:
    """SHA-256 of a claim's effects, by the names of its variants; empty where nothing was measured.

    The question stands in the spec, and is no part of it.
    """
    if not effects:
        return ""
    return sha256_of(exact([[[name, numbers(plain_measured(effect))] for name, effect in effects], played]))


def is_of(saved: SavedClaim, look: Mapping[str, Any]) -> bool:
    """Whether saved effects are those that a look in the ledger was made of, of the same spec."""
    if look["kind"] != "look" or look["claim"] != saved.id or not look.get("effects"):
        return False
    told = (fingerprint(saved.effects, saved.played), digest_of(saved.spec))
    return told == (look["effects"], look["spec"])


def numbers(plain: Mapping[str, Any]) -> Any:
    if "effects" in plain:
        return [[name, numbers(member)] for name, member in plain["effects"]]
    return {name: as_floats(value) for name, value in plain["numbers"].items() if name not in TOLD}


def as_floats(data: Any) -> Any:
    """The same with every number as a float: one that was kept may have come back as one."""
    if isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, Mapping):
        return {name: as_floats(value) for name, value in data.items()}
    return [as_floats(value) for value in data] if isinstance(data, list | tuple) else data
