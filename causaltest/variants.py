"""A claim in variants: all rehearsed before the first is measured, so that they share one plan, and judged as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.asking.multiverse import Multiverse, Variant
from causaltest.asking.questions import experiments_of
from causaltest.effects import Measured
from causaltest.errors import ClaimError, MeasurementError
from causaltest.once import Judged, counted, judging_seed, misdirected, rehearse, returned_effect, unmeasured
from causaltest.results import Family, Known, finite
from causaltest.verdict import Verdict

if TYPE_CHECKING:
    from causaltest.judging.robustness import Share


@dataclass(frozen=True)
class Planned:
    """A variant, and what its body is called with."""

    variant: Variant
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Tried:
    """A variant as it was rehearsed, measured and judged."""

    name: str
    rehearsed: Measured | None
    effect: Measured | None
    verdict: Verdict


def in_variants(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Judged:
    """Measures all variants in one plan, and judges them as one claim.

    A variant that gives no usable number is INVALID, and the others still count. Raises what a body raises otherwise,
    and ClaimError for a model or seed where the body is given no lab.
    """
    from causaltest.judging.robustness import Share, judge_together  # late: scipy is not loaded until a claim is judged

    multiverse = declared_by(claim)
    planned = plan_variants(claim, arguments, known)
    labs = [a.origin for p in planned for a in p.arguments.values() if isinstance(a, Lab)]
    before = counted(labs)
    # All are announced before the first is measured.
    rehearsed = [rehearse(claim, p.arguments) for p in planned]
    refuse_alike(planned, rehearsed)
    share = Share(multiverse.needed, multiverse.count)
    measured = [measure(claim, p, asked, share, known) for p, asked in zip(planned, rehearsed, strict=True)]
    together = judge_together(
        [m.name for m in measured],
        [m.verdict for m in measured],
        share,
        alpha=claim.prediction.alpha,
        family_size=known.family.size,
    )
    shown = measured[together.deciding]
    extra = {
        "variants": [row_of(m, shown=m is shown) for m in measured],
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
    }
    return Judged(shown.effect, together.verdict, extra, tuple((m.rehearsed, m.effect) for m in measured))


def refuse_alike(planned: Sequence[Planned], rehearsed: Sequence[Measured | None]) -> None:
    """Raises ClaimError where two variants ask the very same of a model, so that one vote would count double."""
    asked: dict[str, str] = {}
    for plan, effect in zip(planned, rehearsed, strict=True):
        if effect is None or not experiments_of(effect.question):
            continue
        assert effect.question is not None  # it asks for experiments
        question, name = json.dumps(effect.question.canonical(), sort_keys=True), plan.variant.name
        if question in asked:
            raise ClaimError(
                f"The variants {asked[question]} and {name} are the very same experiment: a variant counts once, or "
                "its vote would count double. Let the body use every axis, and leave out values that change nothing."
            )
        asked[question] = name


def rehearse_variants(claim: Claim, arguments: Mapping[str, Any], known: Known) -> list[Measured | None]:
    """Announces what every variant will ask."""
    return [rehearse(claim, planned.arguments) for planned in plan_variants(claim, arguments, known)]


def measure(claim: Claim, planned: Planned, rehearsed: Measured | None, share: Share, known: Known) -> Tried:
    from causaltest.judging.robustness import judge_variant

    name = planned.variant.name

    def invalid(reason: str) -> Tried:
        return Tried(name, rehearsed, None, unmeasured(claim, known.family, reason))

    wrong = misdirected(claim, rehearsed)
    if wrong is not None:
        return invalid(wrong)
    try:
        effect = returned_effect(claim, claim.body(**planned.arguments))
        wrong = misdirected(claim, effect)
        if wrong is not None:
            return invalid(wrong)
        verdict = judge_variant(
            effect, claim.prediction, share, family_size=known.family.size, seed=judging_seed(known.seed)
        )
    except MeasurementError as error:
        return invalid(str(error))
    return Tried(name, rehearsed, effect, verdict)


def plan_variants(claim: Claim, arguments: Mapping[str, Any], known: Known) -> list[Planned]:
    return [Planned(v, arguments_of(v, claim, arguments, known)) for v in declared_by(claim).variants()]


def judged_at(multiverse: Multiverse, family: Family) -> Family:
    """The family in which each variant is judged, so that the share that must hold keeps alpha."""
    part = multiverse.count - multiverse.needed + 1
    if part == 1:
        return family
    return Family(f"{family.name}, {multiverse.needed} of {multiverse.count} variants", family.size * part)


def arguments_of(variant: Variant, claim: Claim, arguments: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The body's arguments: the axes that are its parameters, and its labs of the variant's model and seed."""
    parameters = signature(claim.body).parameters
    own = {axis: value for axis, value in variant.choices.items() if axis in parameters}
    given = {**arguments, **own}
    if "model" in variant.choices:
        given = with_labs(given, model_of(variant, known), "model", alone="model" not in own)
    if "seed" in variant.choices and "seed" not in own:
        seed = str(variant.choices["seed"])
        given = with_labs(given, lambda lab: lab.with_seed(seed), "seed", alone=True)
    return given


def model_of(variant: Variant, known: Known) -> Callable[[Lab], Lab]:
    name = variant.choices["model"]
    if known.lab is None:
        raise ClaimError(f"model={name!r} is opened by the pytest plugin, and this claim is judged without it.")
    lab = known.lab(name)
    return lambda _: lab


def with_labs(given: dict[str, Any], change: Callable[[Lab], Lab], axis: str, *, alone: bool) -> dict[str, Any]:
    """Each lab among the arguments, changed. Raises ClaimError where there is none and nothing else would change."""
    if alone and not any(isinstance(a, Lab) for a in given.values()):
        raise ClaimError(
            f"claim.multiverse({axis}=[...]) changes the labs among the body's arguments, and there is none: take the "
            f"lab fixture, or give the body a parameter {axis!r}."
        )
    return {name: change(a) if isinstance(a, Lab) else a for name, a in given.items()}


def row_of(measured: Tried, *, shown: bool) -> dict[str, Any]:
    """A variant as a report shows it."""
    verdict = measured.verdict
    return {
        "name": measured.name,
        "estimate": finite(verdict.estimate),
        "lower": finite(verdict.lower),
        "upper": finite(verdict.upper),
        "n": verdict.n,
        "verdict": str(verdict.outcome),
        "reason": verdict.reason,
        "shown": shown,
    }


def declared_by(claim: Claim) -> Multiverse:
    assert claim.multiverse is not None  # asked only of claims in variants
    return claim.multiverse
