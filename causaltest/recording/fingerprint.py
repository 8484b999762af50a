"""Fingerprint: the hash of all numbers that a verdict rests on, so that a look in the ledger knows its effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from causaltest.effects import Measured
from causaltest.recording.canonical import sha256_of
from causaltest.recording.exact import exact
from causaltest.recording.saved import plain_measured

TOLD = ("provenance", "seen")
"""What is noted beside the numbers: which versions measured them, and what had seen the pairs."""


def fingerprint(effects: Sequence[tuple[str, Measured]], played: Mapping[str, Any] | None) -> str:
    """SHA-256 of a claim's effects, by the names of its variants; empty where nothing was measured.

    The question stands in the spec, and is no part of it.
    """
    if not effects:
        return ""
    return sha256_of(exact([[[name, numbers(plain_measured(effect))] for name, effect in effects], played]))


def numbers(plain: Mapping[str, Any]) -> Any:
    if "effects" in plain:
        return [[name, numbers(member)] for name, member in plain["effects"]]
    return {name: value for name, value in plain["numbers"].items() if name not in TOLD}
