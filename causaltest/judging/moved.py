"""Moved: one effect in two runs, and whether it still is what it was: within rounding, or by the paired test."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from causaltest.effect import Effect, Numbers
from causaltest.errors import JudgementError
from causaltest.judging.drift import FINE
from causaltest.judging.shift import Shift
from causaltest.judging.side import Side, Word
from causaltest.judging.still import missed_at_most, units_without_change
from causaltest.verdict import Outcome, Verdict

Cause = Literal["rounding", "finding"]
ALPHA = 0.05
"""Of each claim, at the margin."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every comparison of a claim."""

    side: Side
    margin: float | None
    seed: int | None
    same: bool
    """Whether both runs are of the same model, computed in the same dtype."""
    among: int = 1
    """How many comparisons say together what became of the claim."""


@dataclass(frozen=True)
class Said:
    """A word, its bounds, and the sentences for them."""

    word: Word
    told: str
    lower: float = math.nan
    upper: float = math.nan


@dataclass(frozen=True)
class Moved:
    """One comparison."""

    alone: Said
    """At alpha."""
    among: Said
    """At its share of alpha among several."""
    cause: Cause
    estimate: float
    """After minus before."""
    against: float
    """How far the estimate moved against the claim."""
    n: int


def moved(shift: Shift, asked: Asked) -> Moved:
    """Whether the effect still is what it was. Raises JudgementError where the two runs cannot be compared."""
    why_not = shift.why_not
    if why_not is not None:
        raise JudgementError(why_not)
    return by_rounding(shift, asked) or by_test(shift, asked)


def by_rounding(shift: Shift, asked: Asked) -> Moved | None:
    """Where no number moved by more than rounding explains, nothing is inferred; else None.

    Equal outcomes are equal runs only where the model is the same: right or wrong is too coarse to tell others apart.
    Rounding that is no small part of the margin could hide a change: then the pairs are a sample again.
    """
    if not (shift.is_still and shift.counts_alike) or (shift.is_coarse and not asked.same):
        return None
    if asked.margin is not None and shift.reach > FINE * asked.margin:
        return None
    told = f"every number is the same in {counted(shift)}."
    if shift.furthest:
        told = (
            f"no number of {counted(shift)} moved by more than {shift.furthest:.2g}, and rounding may move it by "
            f"{shift.noise:.2g}."
        )
    said = Said("HOLDS", told, shift.estimate - shift.reach, shift.estimate + shift.reach)
    return Moved(said, said, "rounding", shift.estimate, 0.0, shift.n)


def by_test(shift: Shift, asked: Asked) -> Moved:
    """The paired test of a change beyond the margin, against the claim."""
    against = asked.side.against(shift.estimate_before, shift.estimate_after)
    if asked.margin is None:
        how = "No pair changed" if shift.is_still else f"Some number moved by {shift.furthest:.2g}"
        told = f"{change(shift)} in {counted(shift)}. {how}: declare a margin to say whether it still holds."
        alone = among = Said("INCONCLUSIVE", told)
    else:
        alone = tested(shift, asked, asked.margin, family_size=1)
        among = alone if asked.among == 1 else tested(shift, asked, asked.margin, family_size=asked.among)
    still = shift.is_still and shift.counts_alike
    cause: Cause = "rounding" if still and alone.word == "HOLDS" else "finding"
    return Moved(alone, among, cause, shift.estimate, against, shift.n)


def tested(shift: Shift, asked: Asked, margin: float, *, family_size: int) -> Said:
    missed = missed_at_most(shift, ALPHA / family_size)
    if missed is not None:
        return Said(*none_changed(shift, asked.side, margin, missed, ALPHA / family_size), -missed, missed)
    from causaltest.judging.judge import judge  # late: scipy is not loaded where all is within rounding

    turn = asked.side.way == "down"
    effect = Effect(None, turned(shift.difference) if turn else shift.difference)
    verdict = judge(effect, asked.side.question(margin), family_size=family_size, seed=asked.seed)
    word = word_of(verdict, margin, asked.side.against(shift.estimate_before, shift.estimate_after))
    low, high = (-verdict.upper, -verdict.lower) if turn else (verdict.lower, verdict.upper)
    bounds = f" [{low:+.3g}, {high:+.3g}]" if math.isfinite(low) and math.isfinite(high) else ""
    told = f"{change(shift)}{bounds} in {counted(shift)}."
    return Said(word, f"{told} {conclusion(shift, verdict, word, asked.side, margin)}.", low, high)


def word_of(verdict: Verdict, margin: float, against: float) -> Word:
    """The judge's outcome in words of change."""
    if verdict.outcome is Outcome.REFUTED:
        return "REGRESSED" if against > 0 else "IMPROVED"
    if verdict.outcome is not Outcome.SUPPORTED:
        return "INCONCLUSIVE"
    return "IMPROVED" if verdict.lower > margin else "HOLDS"


def none_changed(shift: Shift, side: Side, margin: float, missed: float, alpha: float) -> tuple[Word, str]:
    """Right-or-wrong outcomes of which none changed: another model could have changed others."""
    told = f"{change(shift)} [{-missed:+.3g}, {missed:+.3g}] in {counted(shift)}, and no pair changed."
    if missed <= margin:
        return "HOLDS", f"{told} {side.says('HOLDS', margin)}."
    needed, unit = units_without_change(shift, margin, alpha), "pairs" if shift.before.clusters is None else "clusters"
    return "INCONCLUSIVE", f"{told} {needed} {unit} without a change would show that it holds."


def conclusion(shift: Shift, verdict: Verdict, word: Word, side: Side, margin: float) -> str:
    if not verdict.procedures:
        return "Every pair moved alike, and without a declared range that says nothing of other pairs"
    if word == "INCONCLUSIVE" and verdict.units < verdict.minimum_units:
        unit = "pairs" if shift.before.clusters is None else "clusters"
        return f"A test needs {verdict.minimum_units} {unit} or more"
    return side.says(word, margin)


def change(shift: Shift) -> str:
    return f"{shift.estimate_before:.3g} before, {shift.estimate_after:.3g} after: a change of {shift.estimate:+.3g}"


def counted(shift: Shift) -> str:
    pairs = f"{shift.n} pair{'s' * (shift.n != 1)}"
    clusters = f" in {shift.units} cluster{'s' * (shift.units != 1)}"
    return pairs if shift.before.clusters is None else pairs + clusters


def turned(numbers: Numbers) -> Numbers:
    """The same change, counted the other way."""
    limits = numbers.range
    return replace(
        numbers,
        values=tuple(-v for v in numbers.values),
        range=None if limits is None else (-limits[1], -limits[0]),
        references={name: tuple(-v for v in column) for name, column in numbers.references.items()},
    )
