"""Assumptions: what is taken for granted of numbers that are not measured yet, to say how many pairs a claim needs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from causaltest.errors import ClaimError

USUAL_ICC = 0.1
FEWEST_SIMULATIONS = 50


@dataclass(frozen=True)
class Assumptions:
    """What power is worked out under; None is filled in claim by claim, and printed.

    Raises ClaimError for a number that no sample could have.
    """

    effect: float | None = None
    """The true effect; None: the one that each claim expects."""
    sd: float | None = None
    """Standard deviation of one pair's effect, in the effect's own units; unused where pairs are right or wrong."""
    icc: float = USUAL_ICC
    """Correlation of two pairs of one cluster."""
    placebo: float | None = None
    """The true effect of the placebo."""
    simulations: int | None = None
    """Samples that are drawn for one number of pairs; None: enough that the pairs needed are good to about a tenth."""

    def __post_init__(self) -> None:
        for name in ("effect", "placebo"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ClaimError(f"{name}={value} must be a finite number.")
        if self.sd is not None and not 0 < self.sd < math.inf:
            raise ClaimError(
                f"sd={self.sd:g} must be above 0 and finite: pairs that all gave the same would need no statistics. "
                "Take it from a pilot, or leave it out."
            )
        if not 0 <= self.icc < 1:
            raise ClaimError(
                f"icc={self.icc:g} must lie from 0 to below 1: 0 says that pairs of one cluster are no more alike than "
                "others, and at 1 a second pair of a cluster would tell nothing."
            )
        number = FEWEST_SIMULATIONS if self.simulations is None else self.simulations
        if type(number) is not int or number < FEWEST_SIMULATIONS:
            raise ClaimError(
                f"simulations={self.simulations} must be a whole number from {FEWEST_SIMULATIONS}: of fewer samples "
                "the share that supports a claim says too little."
            )


def assumptions_of(given: Iterable[str]) -> Assumptions:
    """From options such as "icc=0.2". Raises ClaimError for a name that is not known or a value that is no number."""
    chosen: dict[str, Any] = {}
    names = [field.name for field in fields(Assumptions)]
    for text in given:
        name, _, value = text.partition("=")
        if name not in names:
            raise ClaimError(f"{text!r} is no assumption: write NAME=VALUE, where NAME is one of {', '.join(names)}.")
        try:
            chosen[name] = int(value) if name == "simulations" else float(value)
        except ValueError:
            raise ClaimError(f"{name}={value!r} is no number.") from None
    return Assumptions(**chosen)
