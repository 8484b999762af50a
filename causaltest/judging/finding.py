"""Finding: REFUTED, SUPPORTED or INCONCLUSIVE from the evidence, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from causaltest.effect import Numbers, Waived
from causaltest.judging import wording
from causaltest.judging.bca import BCA
from causaltest.judging.bounds import Bound
from causaltest.judging.equivalence import refutes, supports, thresholds_of
from causaltest.judging.paired import MCNEMAR, SIGN_FLIP, units_needed_for
from causaltest.judging.power import fewest_units
from causaltest.judging.proportion import EXACT, KORN_GRAUBARD
from causaltest.judging.resampling import ENUMERATED_UNITS
from causaltest.judging.rules import Rule
from causaltest.judging.sample import Sample
from causaltest.judging.settings import Settings
from causaltest.judging.wrong_places import unbeaten_elsewhere
from causaltest.verdict import Outcome


@dataclass(frozen=True)
class Evidence:
    """Everything that the outcome is decided from."""

    sample: Sample
    rule: Rule
    bound: Bound
    placebo: float | Waived | None
    """The p-value against the placebo; None: needed and not measured."""
    elsewhere: tuple[float, ...] = ()
    """The p-values against the wrong places that were asked for."""

    @property
    def placebo_p(self) -> float | None:
        return self.placebo if isinstance(self.placebo, float) else None


@dataclass(frozen=True)
class Finding:
    """The outcome with its reason, and whether more pairs could change it."""

    outcome: Outcome
    reason: str
    pairs_would_help: bool = False


def finding_of(evidence: Evidence, settings: Settings, numbers: Numbers) -> Finding:
    """REFUTED, then SUPPORTED, else INCONCLUSIVE; nothing is decided by a sample that is too small."""
    sample, bound, prediction = evidence.sample, evidence.bound, settings.prediction
    alpha = settings.alpha_in_words
    obstacle = obstacle_to(evidence, settings)
    if obstacle is not None:
        return obstacle
    if refutes(prediction, bound):
        return Finding(Outcome.REFUTED, wording.refuted(sample, prediction, bound, alpha=alpha))
    if not supports(prediction, bound, thresholds_of(prediction, settings.alpha)):
        undecided = wording.undecided(sample, prediction, bound, alpha=alpha)
        return Finding(Outcome.INCONCLUSIVE, undecided + out_of_reach(evidence, settings), pairs_would_help=True)
    if evidence.placebo is None:
        return Finding(Outcome.INCONCLUSIVE, wording.placebo_missing(sample, prediction, bound))
    if evidence.placebo_p is not None and evidence.placebo_p > settings.alpha:
        return Finding(Outcome.INCONCLUSIVE, unbeaten(evidence, settings), pairs_would_help=True)
    if evidence.elsewhere:
        unbeaten_at = unbeaten_elsewhere(numbers, evidence.elsewhere, level=settings.alpha, alpha=alpha)
        if unbeaten_at is not None:
            return Finding(Outcome.INCONCLUSIVE, unbeaten_at)
    reason = wording.supported(sample, prediction, bound, alpha=alpha, placebo_p=evidence.placebo_p)
    return Finding(Outcome.SUPPORTED, reason)


def obstacle_to(evidence: Evidence, settings: Settings) -> Finding | None:
    """What keeps any procedure from deciding, either way."""
    sample, rule, wanted = evidence.sample, evidence.rule, settings.resamples_wanted
    if not rule.procedures:
        return Finding(Outcome.INCONCLUSIVE, wording.without_spread(sample, settings.prediction))
    contested = evidence.placebo_p is not None or bool(evidence.elsewhere)
    if resampled(evidence.rule, evidence.sample, contested=contested) and settings.resamples < wanted:
        few = wording.too_few_resamples(settings.resamples, wanted, alpha=settings.alpha_in_words)
        return Finding(Outcome.INCONCLUSIVE, few)
    if sample.units < rule.minimum_units:
        few = wording.too_few_units(sample, max(rule.minimum_units, fewest_for(rule, settings)))
        return Finding(Outcome.INCONCLUSIVE, few, pairs_would_help=True)
    return None


def fewest_for(rule: Rule, settings: Settings) -> int:
    """Below how many units (of McNemar's test: pairs that differ) no sample whatever could be SUPPORTED."""
    if rule.procedures in ((EXACT,), (KORN_GRAUBARD,)):
        return fewest_units(settings.prediction, settings.alpha)
    return units_needed_for(settings.alpha) if set(rule.procedures) & {MCNEMAR, SIGN_FLIP} else 0


def out_of_reach(evidence: Evidence, settings: Settings) -> str:
    """A sentence where so few units could not have reached alpha, whatever they gave."""
    sample, fewest = evidence.sample, fewest_for(evidence.rule, settings)
    alpha = settings.alpha_in_words
    if MCNEMAR in evidence.rule.procedures:
        differ = int(np.count_nonzero(sample.values))
        return wording.too_few_differ(differ, fewest, alpha=alpha) if differ < fewest else ""
    return wording.out_of_reach(sample, fewest, alpha=alpha) if sample.units < fewest else ""


def resampled(rule: Rule, sample: Sample, *, contested: bool) -> bool:
    """Whether any number rests on random resamples; few units are enumerated instead.

    `contested`: whether it is also tested against a placebo or a wrong place.
    """
    flipped = SIGN_FLIP in rule.procedures or contested
    return BCA in rule.procedures or (flipped and sample.units > ENUMERATED_UNITS)


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
