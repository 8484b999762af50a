"""Bound: what one procedure says about an effect, on both sides, so that p and bound agree."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

SMALLEST_P = sys.float_info.min


@dataclass(frozen=True)
class Bound:
    """One-sided bounds, each at the same alpha, and the p-values of the two one-sided tests.

    `p_above` is for "the effect lies above the floor", `p_below` for "the effect lies below the
    ceiling". A claim about one threshold has floor = ceiling; `negligible` has -margin and +margin.
    """

    procedure: str
    lower: float
    upper: float
    p_above: float
    p_below: float


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that a procedure is asked about, and the one-sided alpha of each answer."""

    floor: float
    ceiling: float
    alpha: float


def agreed(procedure: str, thresholds: Thresholds, *, lower: float, upper: float, above: float, below: float) -> Bound:
    """A Bound whose p-values and bounds say the same of the thresholds.

    A bound found by interpolation (BCa) or by search (betting) can differ from its p-value in the
    last digits; where they differ, the threshold counts as not cleared.
    """
    alpha = thresholds.alpha
    if not (lower >= thresholds.floor and above <= alpha):
        lower, above = min(lower, thresholds.floor), max(above, math.nextafter(alpha, 1.0))
    if not (upper <= thresholds.ceiling and below <= alpha):
        upper, below = max(upper, thresholds.ceiling), max(below, math.nextafter(alpha, 1.0))
    return Bound(procedure, lower, upper, probability(above), probability(below))


def probability(p: float) -> float:
    """A p-value within (0, 1]: no sample makes anything impossible."""
    return min(1.0, max(SMALLEST_P, p))


def silent(procedure: str) -> Bound:
    """The Bound of a procedure that can say nothing about this sample."""
    return Bound(procedure, -math.inf, math.inf, 1.0, 1.0)


def widest(bounds: tuple[Bound, ...]) -> Bound:
    """The hull of several bounds, with their largest p-values: what all of them say together."""
    return Bound(
        " and ".join(b.procedure for b in bounds),
        min(b.lower for b in bounds),
        max(b.upper for b in bounds),
        max(b.p_above for b in bounds),
        max(b.p_below for b in bounds),
    )
