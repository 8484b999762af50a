"""Interventions: what is put at a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Intervention:
    """What a patched position holds instead of its own activation."""

    kind: Literal["replace", "zero", "mean"]

    def __str__(self) -> str:
        return self.kind


replace = Intervention("replace")
"""The other run's activation: the clean one when denoising, the corrupt one when noising."""
zero = Intervention("zero")
"""The zero vector."""
mean = Intervention("mean")
"""The mean over the clean runs of all pairs, at the same position."""
