"""Outcomes of which none changed between two runs: how large a change may have been missed all the same."""

from __future__ import annotations

import math
from collections import Counter

from causaltest.judging.shift import Shift


def missed_at_most(shift: Shift, alpha: float) -> float | None:
    """The largest change of the effect, either way, at which as many units stay as they are with probability alpha.

    With n units of which none changed, the share of those that change is at most 1 - alpha**(1/n): the exact binomial
    bound (Clopper and Pearson 1934, Biometrika 26:404). A cluster in which any pair changes counts as changed whole,
    and as large as the largest. None where some number moved, outcomes are not right or
    wrong, or no range says how far a pair can move.
    """
    if not shift.is_still or not shift.is_right_or_wrong:
        return None
    reach = reach_of(shift)
    if reach is None:
        return None
    return reach * larger_than_usual(shift.before.clusters) * -math.expm1(math.log(alpha) / shift.units)


def units_without_change(shift: Shift, margin: float, alpha: float) -> int:
    """How many units of which none changed would show that the effect moved by no more than the margin."""
    share = margin / (larger_than_usual(shift.before.clusters) * (reach_of(shift) or math.inf))
    return 1 if share >= 1 else math.ceil(math.log(alpha) / math.log1p(-share))


def reach_of(shift: Shift) -> float | None:
    """How far a pair can move: from wrong to right, or through the declared range; None where none is declared."""
    if shift.before.kind == "binary":
        return 1.0
    limits = shift.before.range
    return None if limits is None or shift.before.kind == "ratio" else limits[1] - limits[0]


def larger_than_usual(clusters: tuple[str, ...] | None) -> float:
    """The largest cluster, as a multiple of the mean one."""
    sizes = Counter(clusters or ()).values()
    return max(sizes) * len(sizes) / sum(sizes) if sizes else 1.0
