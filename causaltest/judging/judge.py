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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from causaltest.asking.orderings import Ordering, mismatch
from causaltest.asking.predictions import Prediction, Relation
from causaltest.effect import Effect, Numbers, Waived
from causaltest.effects import Effects, Name
from causaltest.errors import JudgementError
from causaltest.judging import wording
from causaltest.judging.askable import check_askable
from causaltest.judging.bounds import silent, widest
from causaltest.judging.equivalence import p_of, thresholds_of
from causaltest.judging.family import Draws, Wanted, drawn_for
from causaltest.judging.finding import Evidence, finding_of
from causaltest.judging.multiplicity import adjusted
from causaltest.judging.ordering import judge_ordering
from causaltest.judging.paired import contest_of
from causaltest.judging.power import Plan, needed_pairs, normal_two_sided
from causaltest.judging.rules import Drawn, Rule, bounds_by, rule_for
from causaltest.judging.sample import Layouts, Sample, sample_of
from causaltest.judging.settings import Asked, Settings, settings_for
from causaltest.judging.validity import control_notes, invalid, positive_control_failed, weak_denominators, why_invalid
from causaltest.judging.wrong_places import contests_elsewhere
from causaltest.plain_numbers import plain_whole
from causaltest.verdict import Outcome, Verdict

Sign = Literal[">", ">=", "<", "<="]

RELATIONS: dict[Sign, Relation] = {">": "greater_than", ">=": "at_least", "<": "at_most", "<=": "at_most"}

PUBLISHED = "published figure, two-sided normal formula, no family"


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
        needed = settings.prediction.needs_placebo
        contest = contest_of(self.sample) if needed and isinstance(placebo, tuple) else None
        elsewhere = contests_elsewhere(self.sample) if needed else ()
        if settings.prediction.ceiling < 0:
            contest = None if contest is None else contest.turned()
            elsewhere = tuple(other.turned() for other in elsewhere)
        draws = Draws(self.sample.units, settings.resamples, settings.seed)
        return Wanted(draws, self.sample, self.rule, contest, elsewhere)


def judge(
    effect: Effect | Effects | Mapping[Name, Effect],
    prediction: Prediction | Ordering,
    *,
    family_size: int = 1,
    seed: int | None = None,
    resamples: int | None = None,
    minimum_units: int | None = None,
) -> Verdict:
    """What may be said of a prediction, given an effect's numbers; of an order of effects, given a mapping of them.

    `family_size` is the number of claims judged together (Bonferroni). Without `seed` a fixed one
    is used, so that the same numbers give the same verdict. `minimum_units` replaces the rule's
    own minimum, for calibration.

    Raises RehearsalRead when the effect has no numbers, JudgementError for a family of none.
    """
    return judge_family(
        [effect], [prediction], family_size=family_size, seed=seed, resamples=resamples, minimum_units=minimum_units
    )[0]


def judge_family(
    effects: Sequence[Effect | Effects | Mapping[Name, Effect]],
    predictions: Sequence[Prediction | Ordering],
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
    size = max(1, len(effects)) if family_size is None else family_size
    asked = Asked(*map(plain_whole, (size, seed, resamples, minimum_units)))
    cases = [case_of(effect, claim, asked, layouts) for effect, claim in zip(effects, predictions, strict=True)]
    verdicts = {place: case for place, case in enumerate(cases) if isinstance(case, Verdict)}
    open_cases = {place: case for place, case in enumerate(cases) if isinstance(case, Case)}
    places = list(open_cases)
    for i, drawn in drawn_for([case.wanted for case in open_cases.values()]):
        verdicts[places[i]] = verdict_of(open_cases[places[i]], drawn)
    return [verdicts[place] for place in range(len(cases))]


def case_of(
    effect: Effect | Effects | Mapping[Name, Effect], prediction: Prediction | Ordering, asked: Asked, layouts: Layouts
) -> Case | Verdict:
    """The claim ready to be judged; or the verdict, where it is INVALID or about an order of effects."""
    if not isinstance(prediction, Prediction | Ordering):
        raise JudgementError(f"judge takes a prediction such as at_least(0.3), and got {prediction!r}.")
    several = isinstance(effect, Effects | Mapping)
    wrong = mismatch(prediction, several=several) if several or isinstance(effect, Effect) else None
    if wrong is not None:
        raise JudgementError(f"{wrong[0].upper()}{wrong[1:]}")
    if isinstance(effect, Effects | Mapping) and not isinstance(prediction, Prediction):
        effects = effect if isinstance(effect, Effects) else Effects(effect)
        return judge_ordering(effects, prediction, asked, layouts)
    if not isinstance(effect, Effect):
        raise JudgementError(
            f"judge takes an Effect, and got {type(effect).__name__}; a lab's run becomes one by .recovery(metric), "
            "and numbers of your own by Effect.from_values(...)."
        )
    assert isinstance(prediction, Prediction)  # an order of one effect was refused above
    numbers = effect.measured
    check_askable(numbers, prediction)
    settings = settings_for(prediction, asked)
    broken = why_invalid(numbers, prediction)
    if broken is not None:
        return invalid(numbers, prediction, settings, broken, estimate=effect.estimate)
    sample = sample_of(numbers, layouts)
    weak = weak_denominators(sample)
    if weak is not None:
        return invalid(numbers, prediction, settings, weak, estimate=effect.estimate)
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


def verdict_of(case: Case, drawn: Drawn) -> Verdict:
    return concluded(case, weigh(case, drawn))


def concluded(case: Case, evidence: Evidence) -> Verdict:
    verdict = told(case, evidence)
    dead = positive_control_failed(case.numbers) if verdict.outcome is Outcome.REFUTED else None
    if dead is None:
        return verdict
    # Where not even the positive control has an effect, a lack of one refutes nothing.
    settings = case.settings
    return invalid(case.numbers, settings.prediction, settings, dead, estimate=case.effect.estimate)


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
    return Evidence(sample, case.rule, widest(bounds) if bounds else silent("none"), placebo, drawn.elsewhere_p)


def told(case: Case, evidence: Evidence) -> Verdict:
    numbers, settings = case.numbers, case.settings
    sample, rule, bound, prediction = evidence.sample, evidence.rule, evidence.bound, settings.prediction
    # a test that is needed and was not made has shown nothing, and whoever corrects p for a family must know
    placebo_p = 1.0 if evidence.placebo is None else evidence.placebo_p or 0.0
    p = float(max(p_of(prediction, bound), placebo_p, *evidence.elsewhere))
    finding = finding_of(evidence, settings, numbers)
    needed_n, needed = pairs_needed(evidence, settings)
    if finding.outcome is Outcome.INCONCLUSIVE and not finding.pairs_would_help:
        needed_n, needed = None, {}
    next_step = wording.next_step(needed_n, prediction, at_estimate(needed), sample.estimate)
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
        notes=(
            *rule.notes,
            *wording.small_notes(finding.outcome, prediction, bound),
            *control_notes(numbers, prediction),
        ),
        needed=needed,
        seed=settings.seed,
        placebo_p=None if evidence.placebo_p is None else float(evidence.placebo_p),
        minimum_units=rule.minimum_units,
    )


def pairs_needed(evidence: Evidence, settings: Settings) -> tuple[int | None, Mapping[str, int | None]]:
    """At the effect expected, and labelled: at the estimate, and by the published formula."""
    sample, prediction = evidence.sample, settings.prediction

    def at(truth: float) -> int | None:
        plan = Plan(prediction, truth, settings.alpha)
        return needed_pairs(sample, evidence.rule, plan, uses_placebo=True)

    needed: dict[str, int | None] = {}
    estimate = sample.estimate
    if prediction.holds(estimate) and prediction.gap(estimate) > sample.estimate_slack:
        needed[f"if the truth is {estimate:.3f}"] = at(estimate)
    if sample.kind == "binary" and not prediction.is_two_sided and 0 <= prediction.threshold <= 1:
        published = normal_two_sided(estimate, prediction.threshold)
        if published is not None:
            needed[PUBLISHED] = published
    return None if prediction.assumed is None else at(prediction.assumed), needed


def at_estimate(needed: Mapping[str, int | None]) -> int | None:
    return next((pairs for label, pairs in needed.items() if label != PUBLISHED), None)
