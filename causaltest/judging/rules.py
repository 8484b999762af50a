"""Which procedures judge which effect, and from how many units on.

A rule is chosen from the kind of effect, the claim's threshold and whether the pairs differ at
all; every procedure of a rule must clear, each at the full alpha (an intersection-union test,
Berger 1982, Technometrics 24:295), so that nothing extra is spent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from causaltest.asking.predictions import Prediction
from causaltest.judging.bca import BCA, Replicates, bca
from causaltest.judging.betting import BETTING, betting
from causaltest.judging.bounds import Bound, Thresholds
from causaltest.judging.drift import IDENTICAL, identical, is_fine, is_identical
from causaltest.judging.paired import MCNEMAR, SIGN_FLIP, Flips, mcnemar, sign_flip
from causaltest.judging.proportion import EXACT, KORN_GRAUBARD, exact_binomial, korn_graubard
from causaltest.judging.sample import Sample
from causaltest.judging.student import STUDENT, student

FEWEST_UNITS = 20
FEWEST_UNITS_UNBOUNDED = 50


@dataclass(frozen=True)
class Rule:
    """The procedures that must all clear. Without any, the sample cannot be judged."""

    procedures: tuple[str, ...]
    minimum_units: int
    notes: tuple[str, ...] = ()


def rule_for(sample: Sample, prediction: Prediction) -> Rule:
    """The rule by which this sample answers this prediction."""
    if sample.kind == "binary":
        return Rule((EXACT,), 0) if sample.iid else Rule((KORN_GRAUBARD,), FEWEST_UNITS)
    if is_identical(sample, prediction):
        return Rule(
            (IDENTICAL,),
            0 if is_fine(sample, prediction) else FEWEST_UNITS,
            ("the same within rounding in every pair that was measured: nothing is inferred from a sample",),
        )
    if sample.arms is not None and prediction.is_about_zero:
        return arms_rule(sample)
    if not sample.has_spread:
        return rule_without_spread(sample)
    if has_usable_range(sample):
        return Rule((BCA, STUDENT, BETTING), FEWEST_UNITS)
    return Rule((BCA, STUDENT), FEWEST_UNITS_UNBOUNDED, (unbounded_note(sample),))


def arms_rule(sample: Sample) -> Rule:
    """Whether one arm is larger than the other: tests that are exact when the arms are exchangeable."""
    if sample.binary_arms and sample.iid:
        return Rule((MCNEMAR,), 0)
    if not sample.has_spread:
        return Rule((SIGN_FLIP,), FEWEST_UNITS, ("no spread: judged by the sign-flip alone, which needs none",))
    return Rule((SIGN_FLIP, STUDENT), FEWEST_UNITS)


def rule_without_spread(sample: Sample) -> Rule:
    """Every unit equals the estimate: a sample without spread is no proof, so t and BCa are left out.

    The betting bound needs no spread, only a range. Without a range nothing can be said: how rare
    the kinds of pair are that were not drawn, and how large their effect is, both stay open.
    """
    if has_usable_range(sample):
        return Rule((BETTING,), FEWEST_UNITS, ("no spread: judged by the betting bound alone, which needs none",))
    return Rule((), FEWEST_UNITS_UNBOUNDED)


def has_usable_range(sample: Sample) -> bool:
    """A range is declared, and for a ratio the denominators keep to its reach as well."""
    if sample.range is None:
        return False
    reach = max(abs(end) for end in sample.range)
    return sample.kind != "ratio" or bool(np.abs(sample.denominators).max() <= reach + sample.rounding)


def unbounded_note(sample: Sample) -> str:
    why = "the denominators leave the declared range" if sample.range is not None else "no range is declared"
    return f"coverage is approximate: {why}, so rare extreme pairs are not allowed for"


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one sample comes to in the resamples that its family shares; None where its rule asks for none."""

    replicates: Replicates | None = None
    flips: Flips | None = None
    placebo_p: float | None = None
    elsewhere_p: tuple[float, ...] = ()
    """Against the same patch at each wrong place."""


def bounds_by(
    rule: Rule, sample: Sample, thresholds: Thresholds, drawn: Drawn, *, tuned_at: float, seed: int
) -> tuple[Bound, ...]:
    """One Bound per procedure of the rule."""

    def answer(procedure: str) -> Bound:
        if procedure == EXACT:
            return exact_binomial(float(sample.values.sum()), sample.n, thresholds)
        if procedure == KORN_GRAUBARD:
            return korn_graubard(sample, thresholds)
        if procedure == IDENTICAL:
            return identical(sample, thresholds)
        if procedure == MCNEMAR:
            return mcnemar(sample, thresholds)
        if procedure == SIGN_FLIP:
            assert drawn.flips is not None  # drawn for every rule that asks for it
            return sign_flip(thresholds, drawn.flips)
        if procedure == STUDENT:
            return student(sample, thresholds)
        if procedure == BETTING:
            return betting(sample, thresholds, tuned_at=tuned_at, seed=seed)
        assert drawn.replicates is not None  # drawn for every rule that asks for it
        return bca(sample, thresholds, drawn.replicates)

    return tuple(answer(procedure) for procedure in rule.procedures)
