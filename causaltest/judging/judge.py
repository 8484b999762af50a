"""The judge: one rule from an effect and a prediction to a verdict.

judge_family -> case_of         per claim:
                -> why_invalid      INVALID: the numbers cannot speak
                -> rule_for         which procedures, from how many units on
             -> drawn_for       the resamples, shared by the claims
             -> verdict_of      per claim:
                -> bounds_by        one Bound each, at the family's alpha
                -> finding_of       REFUTED, SUPPORTED, else INCONCLUSIVE
                -> needed_pairs     what would decide

`judge` judges a family of one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from causaltest.asking.predictions import Prediction, Relation
from causaltest.effect import Effect, Numbers, Waived
from causaltest.errors import JudgementError
from causaltest.judging import wording
from causaltest.judging.bca import BCA
from causaltest.judging.bounds import Bound, silent, widest
from causaltest.judging.equivalence import p_of, refutes, supports, thresholds_of
from causaltest.judging.family import Draws, Wanted, drawn_for
from causaltest.judging.multiplicity import adjusted, bonferroni
from causaltest.judging.paired import SIGN_FLIP, contest_of, units_needed_for
from causaltest.judging.power import Plan, needed_pairs, normal_two_sided
from causaltest.judging.resampling import ENUMERATED_UNITS
from causaltest.judging.rules import Drawn, Rule, bounds_by, rule_for
from causaltest.judging.sample import Layouts, Sample, sample_of
from causaltest.judging.validity import control_notes, positive_control_failed, weak_denominators, why_invalid
from causaltest.verdict import Outcome, Verdict

Sign = Literal[">", ">=", "<", "<="]

RELATIONS: dict[Sign, Relation] = {">": "greater_than", ">=": "at_least", "<": "at_most", "<=": "at_most"}

PUBLISHED = "published figure, two-sided normal formula, no family"
TAIL_RESAMPLES = 50
DEFAULT_RESAMPLES = 10_000
# any number that does not come from the effects: those that share it share their resamples
DEFAULT_SEED = 0


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


@dataclass(frozen=True, eq=False)
class Case:
    """A claim whose numbers can speak, and the rule by which they will."""

    effect: Effect
    settings: Settings
    sample: Sample
    rule: Rule

    @property
    def numbers(self) -> Numbers:
        return self.effect.measured

    @property
    def wanted(self) -> Wanted:
        settings, placebo = self.settings, self.numbers.controls.placebo
        contest = None
        if settings.prediction.needs_placebo and isinstance(placebo, tuple):
            contest = contest_of(self.sample)
            contest = contest.turned() if settings.prediction.relation == "at_most" else contest
        draws = Draws(self.sample.units, settings.resamples, settings.seed)
        return Wanted(draws, self.sample, self.rule, contest)


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

    `family_size` is the number of claims judged together (Bonferroni). Without `seed` a fixed one
    is used, so that the same numbers give the same verdict. `minimum_units` replaces the rule's
    own minimum, for calibration.

    Raises RehearsalRead when the effect has no numbers, JudgementError for a family of none.
    """
    return judge_family(
        [effect], [prediction], family_size=family_size, seed=seed, resamples=resamples, minimum_units=minimum_units
    )[0]


def judge_family(
    effects: Sequence[Effect],
    predictions: Sequence[Prediction],
    *,
    family_size: int | None = None,
    seed: int | None = None,
    resamples: int | None = None,
    minimum_units: int | None = None,
) -> list[Verdict]:
    """What may be said of each prediction, given its effect; to the last bit what `judge` says of it alone.

    Effects of as many units share their resamples, which is what makes a family fast: see
    docs/decisions/0006. `family_size` is the number of claims that share alpha; without it, those given.

    Raises what `judge` raises, and JudgementError where effects and predictions differ in number.
    """
    if len(effects) != len(predictions):
        raise JudgementError(
            f"judge_family takes one prediction per effect, and got {len(effects)} effects and {len(predictions)} "
            "predictions."
        )
    layouts: Layouts = {}
    asked = Asked(max(1, len(effects)) if family_size is None else family_size, seed, resamples, minimum_units)
    cases = [case_of(effect, claim, asked, layouts) for effect, claim in zip(effects, predictions, strict=True)]
    verdicts = {place: case for place, case in enumerate(cases) if isinstance(case, Verdict)}
    open_cases = {place: case for place, case in enumerate(cases) if isinstance(case, Case)}
    places = list(open_cases)
    for i, drawn in drawn_for([case.wanted for case in open_cases.values()]):
        verdicts[places[i]] = verdict_of(open_cases[places[i]], drawn)
    return [verdicts[place] for place in range(len(cases))]


@dataclass(frozen=True)
class Asked:
    """What the caller said of all claims."""

    family_size: int
    seed: int | None
    resamples: int | None
    minimum_units: int | None


def case_of(effect: Effect, prediction: Prediction, asked: Asked, layouts: Layouts) -> Case | Verdict:
    """The claim ready to be judged, or INVALID."""
    if not isinstance(effect, Effect):
        raise JudgementError(
            f"judge takes an Effect, and got {type(effect).__name__}; a lab's run becomes one by .recovery(metric), "
            "and numbers of your own by Effect.from_values(...)."
        )
    if not isinstance(prediction, Prediction):
        raise JudgementError(f"judge takes a prediction such as at_least(0.3), and got {prediction!r}.")
    numbers = effect.measured
    settings = settings_for(prediction, asked)
    broken = why_invalid(numbers, prediction)
    if broken is not None:
        return invalid(effect, settings, broken)
    sample = sample_of(numbers, layouts)
    weak = weak_denominators(sample)
    if weak is not None:
        return invalid(effect, settings, weak)
    rule = rule_for(sample, prediction)
    if asked.minimum_units is not None:
        rule = dataclasses.replace(rule, minimum_units=asked.minimum_units)
    return Case(effect, settings, sample, rule)


def judge_comparison(effect: Effect, sign: Sign, threshold: float) -> Verdict:
    """The verdict of `effect > 0.3` and its kin: by the same judge, and exploratory."""
    prediction = Prediction(RELATIONS[sign], threshold)
    verdict = judge(effect, prediction)
    return dataclasses.replace(
        verdict, reason=f"{verdict.reason} (Exploratory: an inline comparison belongs to no registered family.)"
    )


def settings_for(prediction: Prediction, asked: Asked) -> Settings:
    alpha, seed, resamples = bonferroni(prediction.alpha, asked.family_size), asked.seed, asked.resamples
    if seed is not None and seed < 0:
        raise JudgementError(f"seed={seed}: a seed is 0 or more.")
    if resamples is not None and resamples < 1:
        raise JudgementError(f"resamples={resamples}: give at least {math.ceil(TAIL_RESAMPLES / alpha)}, or none.")
    return Settings(
        prediction=prediction,
        family_size=asked.family_size,
        alpha=alpha,
        resamples=max(DEFAULT_RESAMPLES, math.ceil(TAIL_RESAMPLES / alpha)) if resamples is None else resamples,
        seed=DEFAULT_SEED if seed is None else seed,
    )


def verdict_of(case: Case, drawn: Drawn) -> Verdict:
    verdict = told(case, weigh(case, drawn))
    dead = positive_control_failed(case.numbers) if verdict.outcome is Outcome.REFUTED else None
    # Where not even the positive control has an effect, a lack of one refutes nothing.
    return verdict if dead is None else invalid(case.effect, case.settings, dead)


def weigh(case: Case, drawn: Drawn) -> Evidence:
    """The bounds of every procedure, and the test against the placebo."""
    prediction, settings, sample = case.settings.prediction, case.settings, case.sample
    bounds = bounds_by(
        case.rule,
        sample,
        thresholds_of(prediction, settings.alpha),
        drawn,
        tuned_at=prediction.alpha,
        seed=settings.seed,
    )
    placebo: float | Waived | None = Waived("not needed by this prediction")
    if prediction.needs_placebo:
        given = case.numbers.controls.placebo
        placebo = given if given is None or isinstance(given, Waived) else drawn.placebo_p
    return Evidence(sample, case.rule, widest(bounds) if bounds else silent("none"), placebo)


def told(case: Case, evidence: Evidence) -> Verdict:
    numbers, settings = case.numbers, case.settings
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
        placebo_p=evidence.placebo_p,
        minimum_units=rule.minimum_units,
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
    if prediction.holds(estimate) and abs(abs(estimate) - abs(prediction.threshold)) > sample.estimate_slack:
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
