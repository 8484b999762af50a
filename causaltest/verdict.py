"""Verdict: what may be said of a claim, with the bounds, the pairs needed and the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from causaltest.errors import NoTruthValue


class Outcome(StrEnum):
    """The four things a verdict can say. Not significant is never refuted."""

    SUPPORTED = "SUPPORTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Verdict:
    """The judgement of one prediction about one effect.

    `lower` and `upper` are one-sided bounds, each at `alpha` (already divided by the family
    size), the widest of the procedures used: they cannot contradict the outcome. `p_value` is
    the largest of the procedures' p-values, before the family; `p_adjusted` is after it. At a look of several, both
    are of all looks.
    """

    outcome: Outcome
    reason: str
    estimate: float
    lower: float
    upper: float
    alpha: float
    n: int
    units: int
    """Independent units: clusters, or pairs declared independent."""
    p_value: float
    p_adjusted: float
    family_size: int
    needed_n: int | None
    """Pairs for the power wanted, by this verdict's own rule; None when it cannot be said."""
    prediction: str
    procedures: tuple[str, ...]
    notes: tuple[str, ...] = ()
    needed: Mapping[str, int | None] = field(default_factory=dict)
    """Pairs needed under other assumptions, each with its label."""
    seed: int | None = None
    placebo_p: float | None = None
    """The p-value against the placebo, where one was measured and is asked for; beaten at `alpha` or below."""
    minimum_units: int = 0
    """Units below which this kind of claim is not decided."""

    def __str__(self) -> str:
        return "\n".join([f"{self.outcome} ({self.prediction}): {self.reason}", *(f"note: {n}" for n in self.notes)])

    def __bool__(self) -> bool:
        if self.outcome is Outcome.SUPPORTED:
            return True
        if self.outcome is Outcome.REFUTED:
            return False
        raise NoTruthValue(
            f"{self.outcome}: {self.reason} A verdict that is neither SUPPORTED nor REFUTED is neither "
            "true nor false, so `assert` and `assert not` both fail. Read verdict.outcome instead."
        )


@dataclass(frozen=True)
class Look:
    """What one look at a growing sample says, and whether it could have decided anything."""

    verdict: Verdict
    passed: str = ""
    """Why it could not."""
