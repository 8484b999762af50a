"""Predictions: what a claim says its effect will be, before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from causaltest.errors import ClaimError

Relation = Literal["at_least", "at_most", "negligible", "greater_than"]


@dataclass(frozen=True)
class Prediction:
    """A relation and its threshold, with the effect expected (for the pairs needed) and the power.

    `at_least` X, `at_most` X and `greater_than` X bound the effect on one side; `negligible`
    X says that it lies within -X and +X.
    """

    relation: Relation
    threshold: float
    expecting: float | None = None
    power: float = 0.8
    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.threshold, Real) or not math.isfinite(self.threshold):
            raise ClaimError(f"{self.relation} needs a finite threshold, and got {self.threshold!r}.")
        if self.relation == "negligible" and self.threshold <= 0:
            raise ClaimError(
                f"negligible(within={self.threshold}) leaves no room: no sample can show an effect of "
                "exactly zero. Give the largest effect that you would still call nothing."
            )
        if not 0 < self.alpha < 0.5:
            raise ClaimError(f"alpha={self.alpha} must lie between 0 and 0.5; 0.05 is the default.")
        if not self.alpha < self.power < 1:
            raise ClaimError(f"power={self.power} must lie between alpha and 1; 0.8 is the default.")
        if self.expecting is not None and not (math.isfinite(self.expecting) and self.holds(self.expecting)):
            raise ClaimError(
                f"expecting={self.expecting} would not make {self} true; an expected effect lies on "
                "the claim's own side of the threshold."
            )

    def holds(self, effect: float) -> bool:
        """Whether the prediction is true of an effect known exactly."""
        if self.relation == "at_most":
            return effect <= self.threshold
        if self.relation == "negligible":
            return abs(effect) <= self.threshold
        if self.relation == "greater_than":
            return effect > self.threshold
        return effect >= self.threshold

    @property
    def needs_placebo(self) -> bool:
        """A claim that something matters, in either direction, must beat a patch that should not."""
        return self.relation in ("at_least", "greater_than") or (self.relation == "at_most" and self.threshold < 0)

    @property
    def needs_positive_control(self) -> bool:
        """A claim that nothing happens must show that something could have."""
        return self.relation in ("at_most", "negligible")

    def __str__(self) -> str:
        sign = {"at_least": ">=", "at_most": "<=", "greater_than": ">"}
        if self.relation == "negligible":
            return f"within ±{self.threshold:g}"
        return f"{sign[self.relation]} {self.threshold:g}"


def at_least(
    threshold: float, *, expecting: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> Prediction:
    """The effect is `threshold` or more."""
    return Prediction("at_least", threshold, expecting, power, alpha)


def at_most(threshold: float, *, expecting: float | None = None, power: float = 0.8, alpha: float = 0.05) -> Prediction:
    """The effect is `threshold` or less."""
    return Prediction("at_most", threshold, expecting, power, alpha)


def negligible(*, within: float, expecting: float | None = None, power: float = 0.8, alpha: float = 0.05) -> Prediction:
    """The effect lies between -within and +within: two one-sided tests."""
    return Prediction("negligible", within, expecting, power, alpha)


def greater_than(
    margin: float = 0.0, *, expecting: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> Prediction:
    """The effect, usually a difference of two, is more than `margin`."""
    return Prediction("greater_than", margin, expecting, power, alpha)
