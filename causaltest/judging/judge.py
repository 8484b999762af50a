"""The judge: one rule from an effect and a prediction to a verdict.

judge -> why_invalid        INVALID: the numbers cannot speak
      -> rule_for           which procedures, from how many units on
      -> bounds_by          one Bound each, at the family's alpha
      -> beats              the placebo, at the same alpha
      -> finding_of         REFUTED, SUPPORTED, else INCONCLUSIVE
      -> needed_pairs       what would decide
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from causaltest.asking.predictions import Prediction, Relation
from causaltest.effect import Effect, Numbers, Waived
from causaltest.errors import JudgementError
from causaltest.judging import wording
from causaltest.judging.bca import BCA
from causaltest.judging.bounds import Bound, silent, widest
from causaltest.judging.equivalence import p_of, refutes, supports, thresholds_of
from causaltest.judging.multiplicity import adjusted, bonferroni
from causaltest.judging.paired import ENUMERATED_UNITS, SIGN_FLIP, beats, units_needed_for
from causaltest.judging.power import Plan, needed_pairs, normal_two_sided
from causaltest.judging.rules import Rule, bounds_by, rule_for
from causaltest.judging.sample import Sample, sample_of, seed_of
from causaltest.judging.validity import control_notes, positive_control_failed, weak_denominators, why_invalid
from causaltest.verdict import Outcome, Verdict

Sign = Literal[">", ">=", "<", "<="]

RELATIONS: dict[Sign, Relation] = {">": "greater_than", ">=": "at_least", "<": "at_most", "<=": "at_most"}

PUBLISHED = "published two-sided normal formula, no family"
TAIL_RESAMPLES = 50
DEFAULT_RESAMPLES = 10_000


@dataclass(frozen=True)
class Settings:
    """What the caller fixed, resolved once: alpha after the family, the resamples and the seed."""

    prediction: Prediction
    family_size: int
    alpha: float
    resamples: int
    seed: int

    @property
    def resamples_wanted(self) -> int:
        """Enough that the tail of size alpha holds fifty."""
        return math.ceil(TAIL_RESAMPLES / self.alpha)

    @property
    def alpha_in_words(self) -> str:
        return wording.alpha_in_words(self.prediction.alpha, self.family_size)


@dataclass(frozen=True)
class Evidence:
    """Everything that the outcome is decided from."""

    sample: Sample
    rule: Rule
    bound: Bound
    placebo: float | Waived | None
    """The p-value against the placebo; None: needed and not measured."""

    @property
    def placebo_p(self) -> float | None:
        return self.placebo if isinstance(self.placebo, float) else None


def judge(
    effect: Effect,
    prediction: Prediction,
    *,
    family_size: int = 1,
    seed: int | None = None,
    resamples: int | None = None,
    minimum_units: int | None = None,
) -> Verdict:
    """What may be said of a prediction, given an effect's numbers.

    `family_size` is the number of claims judged together (Bonferroni). Without `seed` it derives
    from the numbers, so that the same numbers give the same verdict. `minimum_units` replaces
    the rule's own minimum, for calibration.

    Raises RehearsalRead when the effect has no numbers, JudgementError for a family of none.
    """
    if not isinstance(effect, Effect):
        raise JudgementError(
            f"judge takes an Effect, and got {type(effect).__name__}; a lab's run becomes one by .recovery(metric), "
            "and numbers of your own by Effect.from_values(...)."
        )
    if not isinstance(prediction, Prediction):
        raise JudgementError(f"judge takes a prediction such as at_least(0.3), and got {prediction!r}.")
    numbers = effect.measured
    settings = settings_for(numbers, prediction, family_size=family_size, seed=seed, resamples=resamples)
    broken = why_invalid(numbers, prediction)
    if broken is not None:
        return invalid(effect, settings, broken)
    sample = sample_of(numbers)
    weak = weak_denominators(sample)
    if weak is not None:
        return invalid(effect, settings, weak)
    rule = rule_for(sample, prediction)
    if minimum_units is not None:
        rule = dataclasses.replace(rule, minimum_units=minimum_units)
    evidence = weigh(numbers, sample, rule, settings)
    verdict = verdict_of(numbers, evidence, settings)
    dead = positive_control_failed(numbers) if verdict.outcome is Outcome.REFUTED else None
    # Where not even the positive control has an effect, a lack of one refutes nothing.
    return verdict if dead is None else invalid(effect, settings, dead)


def judge_comparison(effect: Effect, sign: Sign, threshold: float) -> Verdict:
    """The verdict of `effect > 0.3` and its kin: by the same judge, and exploratory."""
    prediction = Prediction(RELATIONS[sign], threshold)
    verdict = judge(effect, prediction)
    return dataclasses.replace(
        verdict, reason=f"{verdict.reason} (Exploratory: an inline comparison belongs to no registered family.)"
    )


def settings_for(
    numbers: Numbers, prediction: Prediction, *, family_size: int, seed: int | None, resamples: int | None
) -> Settings:
    alpha = bonferroni(prediction.alpha, family_size)
    if seed is not None and seed < 0:
        raise JudgementError(f"seed={seed}: a seed is 0 or more.")
    if resamples is not None and resamples < 1:
        raise JudgementError(f"resamples={resamples}: give at least {math.ceil(TAIL_RESAMPLES / alpha)}, or none.")
    return Settings(
        prediction=prediction,
        family_size=family_size,
        alpha=alpha,
        resamples=max(DEFAULT_RESAMPLES, math.ceil(TAIL_RESAMPLES / alpha)) if resamples is None else resamples,
        seed=seed_of(numbers) if seed is None else seed,
    )


def weigh(numbers: Numbers, sample: Sample, rule: Rule, settings: Settings) -> Evidence:
    """The bounds of every procedure, and the test against the placebo."""
    prediction = settings.prediction
    bounds = bounds_by(
        rule,
        sample,
        thresholds_of(prediction, settings.alpha),
        tuned_at=prediction.alpha,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    placebo: float | Waived | None = Waived("not needed by this prediction")
    if prediction.needs_placebo:
        given = numbers.controls.placebo
        placebo = given if given is None or isinstance(given, Waived) else placebo_p_of(sample, settings)
    return Evidence(sample, rule, widest(bounds) if bounds else silent("none"), placebo)


def placebo_p_of(sample: Sample, settings: Settings) -> float:
    """Paired and one-sided: whether the units exceed their own placebo."""
    assert sample.placebo is not None  # called where the placebo is a tuple
    differences = sample.totals_of(sample.values - sample.placebo)
    if settings.prediction.relation == "at_most":
        differences = -differences
    return beats(differences, resamples=settings.resamples, seed=settings.seed)


def verdict_of(numbers: Numbers, evidence: Evidence, settings: Settings) -> Verdict:
    sample, rule, bound, prediction = evidence.sample, evidence.rule, evidence.bound, settings.prediction
    p = max(p_of(prediction, bound), evidence.placebo_p or 0.0)
    finding = finding_of(evidence, settings)
    needed_n, needed = pairs_needed(evidence, settings)
    if finding.outcome is Outcome.INCONCLUSIVE and not finding.pairs_would_help:
        needed_n, needed = None, {}
    next_step = wording.next_step(needed_n, prediction.expecting, at_estimate(needed), sample.estimate)
    return Verdict(
        outcome=finding.outcome,
        reason=finding.reason + (next_step if finding.pairs_would_help else ""),
        estimate=sample.estimate,
        lower=bound.lower,
        upper=bound.upper,
        alpha=settings.alpha,
        n=sample.n,
        units=sample.units,
        p_value=p,
        p_adjusted=adjusted(p, settings.family_size),
        family_size=settings.family_size,
        needed_n=needed_n,
        prediction=str(prediction),
        procedures=rule.procedures,
        notes=(*rule.notes, *control_notes(numbers, prediction)),
        needed=needed,
        seed=settings.seed,
    )


@dataclass(frozen=True)
class Finding:
    """The outcome with its reason, and whether more pairs could change it."""

    outcome: Outcome
    reason: str
    pairs_would_help: bool = False


def finding_of(evidence: Evidence, settings: Settings) -> Finding:
    """REFUTED, then SUPPORTED, else INCONCLUSIVE; nothing is decided by a sample that is too small."""
    sample, bound, prediction = evidence.sample, evidence.bound, settings.prediction
    thresholds, alpha = thresholds_of(prediction, settings.alpha), settings.alpha_in_words
    obstacle = obstacle_to(evidence, settings)
    if obstacle is not None:
        return obstacle
    if refutes(prediction, bound, thresholds):
        return Finding(Outcome.REFUTED, wording.refuted(sample, prediction, bound, alpha=alpha))
    if not supports(prediction, bound, thresholds):
        undecided = wording.undecided(sample, prediction, bound, alpha=alpha)
        return Finding(Outcome.INCONCLUSIVE, undecided, pairs_would_help=True)
    if evidence.placebo is None:
        return Finding(Outcome.INCONCLUSIVE, wording.placebo_missing(sample, prediction, bound))
    if evidence.placebo_p is not None and evidence.placebo_p > settings.alpha:
        return Finding(Outcome.INCONCLUSIVE, unbeaten(evidence, settings), pairs_would_help=True)
    reason = wording.supported(sample, prediction, bound, alpha=alpha, placebo_p=evidence.placebo_p)
    return Finding(Outcome.SUPPORTED, reason)


def obstacle_to(evidence: Evidence, settings: Settings) -> Finding | None:
    """What keeps any procedure from deciding, either way."""
    sample, rule, wanted = evidence.sample, evidence.rule, settings.resamples_wanted
    if not rule.procedures:
        return Finding(Outcome.INCONCLUSIVE, wording.without_spread(sample, settings.prediction))
    if resampled(evidence) and settings.resamples < wanted:
        few = wording.too_few_resamples(settings.resamples, wanted, alpha=settings.alpha_in_words)
        return Finding(Outcome.INCONCLUSIVE, few)
    if sample.units < rule.minimum_units:
        few = wording.too_few_units(sample, rule.minimum_units)
        return Finding(Outcome.INCONCLUSIVE, few, pairs_would_help=True)
    return None


def resampled(evidence: Evidence) -> bool:
    """Whether any number rests on random resamples; few units are enumerated instead."""
    flipped = SIGN_FLIP in evidence.rule.procedures or evidence.placebo_p is not None
    return BCA in evidence.rule.procedures or (flipped and evidence.sample.units > ENUMERATED_UNITS)


def unbeaten(evidence: Evidence, settings: Settings) -> str:
    sample, p = evidence.sample, evidence.placebo_p
    assert sample.placebo is not None and p is not None  # the placebo was measured and tested
    return wording.placebo_unbeaten(
        sample,
        settings.prediction,
        evidence.bound,
        placebo=float(sample.placebo.sum() / sample.denominators.sum()),
        p=p,
        alpha=settings.alpha_in_words,
        reachable=units_needed_for(settings.alpha),
    )


def pairs_needed(evidence: Evidence, settings: Settings) -> tuple[int | None, Mapping[str, int | None]]:
    """At the effect expected, and labelled: at the estimate, and by the published formula."""
    sample, prediction = evidence.sample, settings.prediction

    def at(truth: float) -> int | None:
        plan = Plan(prediction, truth, settings.alpha)
        return needed_pairs(sample, evidence.rule, plan, uses_placebo=True)

    needed: dict[str, int | None] = {}
    estimate = sample.estimate
    if prediction.holds(estimate) and abs(estimate) != abs(prediction.threshold):
        needed[f"if the truth is {estimate:.3f}"] = at(estimate)
    if sample.kind == "binary" and prediction.relation != "negligible" and 0 <= prediction.threshold <= 1:
        published = normal_two_sided(estimate, prediction.threshold)
        if published is not None:
            needed[PUBLISHED] = published
    return None if prediction.expecting is None else at(prediction.expecting), needed


def at_estimate(needed: Mapping[str, int | None]) -> int | None:
    return next((pairs for label, pairs in needed.items() if label != PUBLISHED), None)


def invalid(effect: Effect, settings: Settings, reason: str) -> Verdict:
    """A verdict without bounds: the numbers were not judged."""
    numbers, prediction = effect.measured, settings.prediction
    clusters = numbers.clusters if numbers.clusters is not None else numbers.pair_ids
    return Verdict(
        outcome=Outcome.INVALID,
        reason=reason,
        estimate=effect.estimate,
        lower=-math.inf,
        upper=math.inf,
        alpha=settings.alpha,
        n=effect.n,
        units=len(set(clusters)),
        p_value=1.0,
        p_adjusted=1.0,
        family_size=settings.family_size,
        needed_n=None,
        prediction=str(prediction),
        procedures=(),
        notes=control_notes(numbers, prediction),
        seed=settings.seed,
    )
