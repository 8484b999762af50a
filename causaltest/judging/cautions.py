"""Cautions: what a verdict does not show, each with its source and a name by which a claim can accept it.

A caution changes no verdict. It is printed with the claim, accepted or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from causaltest.asking.experiment import Experiment
from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.effect import Numbers
from causaltest.judging.unread import nobody_reads
from causaltest.judging.validity import more_than_its_whole
from causaltest.verdict import Outcome, Verdict

BEST_PRACTICES = "Zhang and Nanda 2024, arXiv 2309.16042"
HOW_TO = "Heimersheim and Nanda 2024, arXiv 2404.15255"
ILLUSION = "Makelov et al. 2023, arXiv 2311.17030"
SELF_REPAIR = "McGrath et al. 2023, arXiv 2307.15771; Wang et al. 2022, arXiv 2211.00593"
SELECTION = "Hernán, Hernández-Díaz and Robins 2004, Epidemiology 15:615"
FAMILIES = "Shaffer 1995, Annual Review of Psychology 46:561"
FRAMEWORK = "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits"

RIGHT_OR_WRONG = ("accuracy", "exact_match")
UNIQUE = re.compile(r"\bthe\s+(circuit|mechanism|only)\b", re.IGNORECASE)

Place = tuple[str, str]
"""A model and a site of it."""


@dataclass(frozen=True)
class Caution:
    """What to keep in mind, and who found it out."""

    name: str
    says: str
    source: str


@dataclass(frozen=True)
class Cautioned:
    """Everything that cautions are read off."""

    sentence: str
    prediction: Prediction | Ordering
    experiments: tuple[Experiment, ...]
    """Of all variants; none where values were given."""
    numbers: Numbers | None
    verdict: Verdict
    claims_in_run: int = 1
    as_one_family: Callable[[int], Outcome | None] = lambda _: None
    """The outcome if so many claims were one family; None where it cannot be said."""


def cautions_of(case: Cautioned) -> tuple[Caution, ...]:
    """What the reader of this verdict should know, in a fixed order."""
    return tuple(caution for rule in RULES for caution in rule(case))


def accuracy_only(case: Cautioned) -> Iterator[Caution]:
    alone = [e for e in case.experiments if metrics_beside(e, case) <= set(RIGHT_OR_WRONG)]
    if alone:
        metric = str(alone[0].metric)
        yield Caution(
            "accuracy-only",
            f"{metric} is the claim's only metric at {alone[0].site}: right or wrong jumps at a threshold, and shows "
            "nothing of what stays on one side of it. Measure logit_diff there as well, as in "
            "@claim.multiverse(metric=[...])",
            f"{HOW_TO}; {BEST_PRACTICES}",
        )


def place_of(experiment: Experiment) -> Place:
    return experiment.patching.model, experiment.site


def metrics_beside(experiment: Experiment, case: Cautioned) -> frozenset[str]:
    """The claim's own metrics at the site, those of its other variants with them."""
    return frozenset(str(e.metric) for e in case.experiments if place_of(e) == place_of(experiment))


def probability_metric(case: Cautioned) -> Iterator[Caution]:
    if any(str(e.metric) == "probability" for e in case.experiments):
        yield Caution(
            "probability-metric",
            "a probability is not linear in the logits: it can miss what speaks against the answer, and overstates "
            "what acts where the answer is already likely. logit_diff shows both",
            BEST_PRACTICES,
        )


def gaussian_corruption(case: Cautioned) -> Iterator[Caution]:
    if any(e.patching.intervention.kind == "gaussian" for e in case.experiments):
        yield Caution(
            "gaussian-corruption",
            "noise takes the model to activations that it never has, and what breaks there may not be what it uses. "
            "Prompts that differ in one fact keep it where it works",
            BEST_PRACTICES,
        )


def subspace(case: Cautioned) -> Iterator[Caution]:
    if case.numbers is None:
        return
    for told in more_than_its_whole(case.numbers):
        yield Caution("subspace", told, ILLUSION)
        return
    part = any(site.within is not None for e in case.experiments for site in e.patching.sites)
    if part and case.numbers.controls.full is None:
        yield Caution(
            "subspace",
            "a part of a component was patched, and not the whole component beside it: such a patch can work by a "
            "pathway that is dormant in the model itself",
            ILLUSION,
        )


def the_circuit(case: Cautioned) -> Iterator[Caution]:
    found = UNIQUE.search(case.sentence)
    if found is not None:
        yield Caution(
            "the-circuit",
            f"the sentence says {found.group(0)!r}, and a patch shows a way, not that there is no other: models repair "
            "themselves, and heads that were silent take over when others are removed",
            SELF_REPAIR,
        )


def few_eligible(case: Cautioned) -> Iterator[Caution]:
    numbers = case.numbers
    if numbers is not None and 0 < 2 * len(numbers.values) < numbers.pairs_total:
        yield Caution(
            "few-eligible",
            f"{len(numbers.values)} of {numbers.pairs_total} pairs are eligible, under half: what holds for the pairs "
            "that the model gets right need not hold for prompts of this kind",
            SELECTION,
        )


def one_family(case: Cautioned) -> Iterator[Caution]:
    verdict, every = case.verdict, case.claims_in_run
    if every <= verdict.family_size or verdict.outcome not in (Outcome.SUPPORTED, Outcome.REFUTED):
        return
    if verdict.outcome is Outcome.SUPPORTED and verdict.p_value <= case.prediction.alpha / every:
        return
    otherwise = case.as_one_family(every)
    if otherwise is not None and otherwise is not verdict.outcome:
        yield Caution(
            "one-family",
            f"{verdict.outcome} in a family of {verdict.family_size}; if all {every} claims of this run's files were "
            f"one family, it would be {otherwise}",
            FAMILIES,
        )


def null_by_layer(case: Cautioned) -> Iterator[Caution]:
    numbers = case.numbers
    claims_null = isinstance(case.prediction, Prediction) and case.prediction.needs_positive_control
    if numbers is None or not claims_null or not case.experiments:
        return
    layers = int(numbers.provenance.get("layers", 0))
    if any(abs(value) > numbers.rounding for value in numbers.values) or not layers:
        return
    if all(nobody_reads(e, layers) for e in case.experiments):
        yield Caution(
            "null-by-layer",
            f"this null is true of any model: nobody reads {case.experiments[0].site}, in the last of {layers} layers "
            "at a position before the last. It says nothing about what this model has learnt",
            FRAMEWORK,
        )


RULES = (
    accuracy_only,
    probability_metric,
    gaussian_corruption,
    subspace,
    the_circuit,
    few_eligible,
    one_family,
    null_by_layer,
)
