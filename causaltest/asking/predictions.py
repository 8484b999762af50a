"""Predictions: what a claim says its effect will be, before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from causaltest.errors import ClaimError
from causaltest.plain_numbers import make_plain

Relation = Literal["at_least", "at_most", "between", "negligible", "greater_than", "unchanged"]


@dataclass(frozen=True)
class Prediction:
    """A relation and its threshold, with the effect expected (for the pairs needed) and the power.

    `at_least` X, `at_most` X and `greater_than` X bound the effect on one side; `between` X and `upper` on
    both; `negligible` X says that it lies within -X and +X; `unchanged` X that a difference has not fallen
    below -X. `smallest` is the smallest effect of interest.
    """

    relation: Relation
    threshold: float
    expecting: float | None = None
    power: float = 0.8
    alpha: float = 0.05
    smallest: float | None = None
    upper: float | None = None
    """The upper end of `between`, whose lower end is the threshold."""

    def __post_init__(self) -> None:
        check_ends(self.relation, self.threshold, self.upper)
        check_errors(self.alpha, self.power)
        if self.expecting is not None and not (math.isfinite(self.expecting) and self.holds(self.expecting)):
            raise ClaimError(
                f"expecting={self.expecting} would not make {self} true; an expected effect lies on "
                "the claim's own side of the threshold."
            )
        check_smallest(self.smallest)
        if self.smallest is not None and not self.holds(self.smallest):
            raise ClaimError(
                f"smallest={self.smallest} would not make {self} true; the smallest effect of interest lies on "
                "the claim's own side of the threshold."
            )
        make_plain(self, "threshold", "expecting", "power", "alpha", "smallest", "upper")

    @property
    def floor(self) -> float:
        """The effect is claimed to lie at or above this (`greater_than`: above)."""
        if self.relation in ("negligible", "unchanged"):
            return -self.threshold
        return -math.inf if self.relation == "at_most" else self.threshold

    @property
    def ceiling(self) -> float:
        """The effect is claimed to lie at or below this."""
        if self.relation == "between":
            assert self.upper is not None  # checked as the prediction was made
            return self.upper
        return self.threshold if self.relation in ("at_most", "negligible") else math.inf

    @property
    def is_two_sided(self) -> bool:
        """Whether the effect is bounded on both sides, each of which needs a test of its own."""
        return math.isfinite(self.floor) and math.isfinite(self.ceiling)

    @property
    def is_about_zero(self) -> bool:
        """Whether only the direction of the effect is claimed."""
        return not self.is_two_sided and self.threshold == 0

    @property
    def assumed(self) -> float | None:
        """The effect for which the pairs needed are counted: the one expected, else the smallest of interest."""
        return self.smallest if self.expecting is None else self.expecting

    def gap(self, effect: float) -> float:
        """How far an effect lies within what is claimed; below 0: outside of it."""
        return min(effect - self.floor, self.ceiling - effect)

    def holds(self, effect: float) -> bool:
        """Whether the prediction is true of an effect known exactly."""
        if self.relation == "greater_than":
            return effect > self.threshold
        return self.floor <= effect <= self.ceiling

    @property
    def needs_placebo(self) -> bool:
        """A claim that something matters, in either direction, must beat a patch that should not."""
        if self.relation in ("at_least", "greater_than"):
            return True
        return self.ceiling < 0 or (self.relation == "between" and self.floor > 0)

    @property
    def needs_positive_control(self) -> bool:
        """A claim that nothing happens, or nothing has changed, must show that something could have."""
        if self.relation == "between":
            return self.floor <= 0 <= self.ceiling
        return self.relation in ("at_most", "negligible", "unchanged")

    def __str__(self) -> str:
        if self.relation == "between":
            return f"between {self.threshold:g} and {self.upper:g}"
        if self.relation == "negligible":
            return f"within ±{self.threshold:g}"
        if self.relation == "unchanged":
            return f"unchanged, margin {self.threshold:g}"
        sign = {"at_least": ">=", "at_most": "<=", "greater_than": ">"}
        return f"{sign[self.relation]} {self.threshold:g}"


def at_least(
    threshold: float,
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The effect is `threshold` or more."""
    return Prediction("at_least", threshold, expecting, power, alpha, smallest)


def at_most(
    threshold: float,
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The effect is `threshold` or less."""
    return Prediction("at_most", threshold, expecting, power, alpha, smallest)


def between(
    low: float,
    high: float,
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The effect lies between `low` and `high`: two one-sided tests."""
    return Prediction("between", low, expecting, power, alpha, smallest, high)


def negligible(
    *,
    within: float,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The effect lies between -within and +within: two one-sided tests."""
    return Prediction("negligible", within, expecting, power, alpha, smallest)


def greater_than(
    margin: float = 0.0,
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The effect, usually a difference of two, is more than `margin`."""
    return Prediction("greater_than", margin, expecting, power, alpha, smallest)


def unchanged(
    *,
    margin: float,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Prediction:
    """The difference `now - before` of two effects has not fallen by more than `margin`: a test of non-inferiority.

    It HOLDS (SUPPORTED) where the lower bound is at or above -margin, and has REGRESSED (REFUTED) where the upper
    bound is below.
    """
    return Prediction("unchanged", margin, expecting, power, alpha, smallest)


def check_ends(relation: Relation, threshold: object, upper: object) -> None:
    for end in (threshold, upper) if relation == "between" else (threshold,):
        if isinstance(end, bool) or not isinstance(end, Real) or not math.isfinite(end):
            raise ClaimError(f"{relation} needs a finite threshold, and got {end!r}.")
    if relation != "between" and upper is not None:
        raise ClaimError(f"{relation} has one threshold, and upper={upper!r} was given too: use between(low, high).")
    if relation == "between" and not threshold < upper:  # type: ignore[operator]
        raise ClaimError(
            f"between({threshold}, {upper}) leaves no room: no sample can show an effect to the last digit. Give the "
            "smaller end first, and the larger clearly above it."
        )
    if relation == "negligible" and threshold <= 0:  # type: ignore[operator]
        raise ClaimError(
            f"negligible(within={threshold}) leaves no room: no sample can show an effect of "
            "exactly zero. Give the largest effect that you would still call nothing."
        )
    if relation == "unchanged" and threshold <= 0:  # type: ignore[operator]
        raise ClaimError(
            f"unchanged(margin={threshold}) leaves no room: no sample can show that an effect has not fallen at all. "
            "Give the largest fall that you would still call unchanged."
        )


def check_errors(alpha: float, power: float) -> None:
    if not 0 < alpha < 0.5:
        raise ClaimError(f"alpha={alpha} must lie between 0 and 0.5; 0.05 is the default.")
    if not alpha < power < 1:
        raise ClaimError(f"power={power} must lie between alpha and 1; 0.8 is the default.")


def check_smallest(smallest: object) -> None:
    if smallest is None:
        return
    if isinstance(smallest, bool) or not isinstance(smallest, Real) or not math.isfinite(smallest) or smallest == 0:
        raise ClaimError(
            f"smallest={smallest!r}: the smallest effect of interest is a finite number other than 0, in the units "
            "of the effect."
        )
