"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.effect import Effect, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.errors import ClaimError, MeasurementError, RehearsalRead
from causaltest.verdict import Outcome, Verdict

NOT_REGISTERED = "not registered"
CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"


@dataclass(frozen=True)
class Family:
    """The claims that share one alpha."""

    name: str
    size: int


@dataclass(frozen=True)
class ClaimResult:
    """Everything a report says of one claim, as plain data that travels between processes.

    Numbers that do not exist are None, never NaN.
    """

    id: str
    nodeid: str
    sentence: str
    prediction: str
    threshold: float
    verdict: str
    reason: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    alpha: float | None = None
    n: int = 0
    clusters: int | None = None
    """Clusters, or None when the pairs were declared independent."""
    eligible: int = 0
    pairs_total: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    needed_n: int | None = None
    needed: dict[str, int | None] = field(default_factory=dict)
    expecting: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: str = ""
    family_size: int = 1
    controls: dict[str, Any] = field(default_factory=dict)
    procedures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    status: str = "exploratory"
    status_reason: str = NOT_REGISTERED
    seed: int | None = None
    suite_seed: str = ""
    model: str | None = None
    site: str | None = None
    question: str = ""
    kind: str | None = None
    power: float = 0.8
    provenance: dict[str, str] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> ClaimResult:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Known:
    """What the suite knows of a claim before it is measured."""

    nodeid: str
    claim_id: str
    family: Family
    seed: str


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known) -> ClaimResult:
    """Rehearse, measure and judge one claim.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    from causaltest.judging.judge import judge  # late: scipy is not loaded until a claim is judged

    rehearsed = rehearse(claim, arguments)
    labs = [a for a in arguments.values() if isinstance(a, Lab)]
    before = counted(labs)
    effect: Effect | None = None
    try:
        effect = returned_effect(claim, claim.body(**arguments))
        verdict = judge(effect, claim.prediction, family_size=known.family.size, seed=judging_seed(known.seed))
    except MeasurementError as error:
        verdict = unmeasured(claim, known.family, str(error))
    return ClaimResult(
        **shared_fields(claim, verdict),
        **({} if effect is None else effect_fields(effect)),
        id=known.claim_id,
        nodeid=known.nodeid,
        family=known.family.name,
        status_reason=NOT_REGISTERED if kept_to(rehearsed, effect) else CHOSE_BY_NUMBER,
        suite_seed=known.seed,
        runs={name: n - before[name] for name, n in counted(labs).items()},
    )


def not_measured(claim: Claim, known: Known, word: str, reason: str) -> ClaimResult:
    """The result of a claim that gave no effect: a row in the table, so that none goes missing."""
    return ClaimResult(
        id=known.claim_id,
        nodeid=known.nodeid,
        sentence=claim.sentence,
        prediction=str(claim.prediction),
        threshold=claim.prediction.threshold,
        verdict=word,
        reason=reason,
        family=known.family.name,
        family_size=known.family.size,
        suite_seed=known.seed,
    )


def rehearse(claim: Claim, arguments: Mapping[str, Any]) -> Effect | None:
    """The effect that the body would return, learnt without a model; None when it reads a number first.

    It knows its question, or none where the body returns values that were measured elsewhere.
    """
    stand_ins = {name: a.rehearsal() if hasattr(a, "rehearsal") else a for name, a in arguments.items()}
    try:
        effect = claim.body(**stand_ins)
    except RehearsalRead:
        return None
    except Exception:
        # A body that cannot run at all fails again, and is reported, when it is measured.
        return None
    return effect if isinstance(effect, Effect) else None


def kept_to(rehearsed: Effect | None, measured: Effect | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None or measured.question is None:
        return True
    return rehearsed.question.canonical() == measured.question.canonical()


def returned_effect(claim: Claim, returned: object) -> Effect:
    if isinstance(returned, Effect):
        return returned
    if returned is None:
        raise ClaimError(
            f"The claim {claim.sentence!r} returned nothing, so there is nothing to judge. End its body with "
            "`return lab.denoise(...).recovery(...)`; an `assert` belongs in a plain test without @claim."
        )
    advice = {
        "Run": "say what to read off it, for instance .recovery(accuracy).",
        "Sweep": "a sweep is exploratory; pick one site and claim it.",
        "SweepMap": "a sweep is exploratory; pick one site and claim it.",
        "Verdict": "return the effect itself; the claim's prediction does the comparing.",
    }.get(type(returned).__name__, "a claim returns an Effect, from a lab or from Effect.from_values(...).")
    raise ClaimError(f"The claim {claim.sentence!r} returned {type(returned).__name__}: {advice}")


def judging_seed(seed: str) -> int | None:
    """From the suite's seed alone, so that effects of as many units share their resamples; None without one."""
    return int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16) if seed else None


def unmeasured(claim: Claim, family: Family, reason: str) -> Verdict:
    """The verdict on a claim whose measurement gave no usable number."""
    return Verdict(
        outcome=Outcome.INVALID,
        reason=reason,
        estimate=math.nan,
        lower=math.nan,
        upper=math.nan,
        alpha=claim.prediction.alpha / family.size,
        n=0,
        units=0,
        p_value=math.nan,
        p_adjusted=math.nan,
        family_size=family.size,
        needed_n=None,
        prediction=str(claim.prediction),
        procedures=(),
    )


def shared_fields(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    return {
        "sentence": claim.sentence,
        "prediction": verdict.prediction,
        "threshold": claim.prediction.threshold,
        "power": claim.prediction.power,
        "expecting": claim.prediction.expecting,
        "verdict": str(verdict.outcome),
        "reason": verdict.reason,
        "estimate": finite(verdict.estimate),
        "lower": finite(verdict.lower),
        "upper": finite(verdict.upper),
        "alpha": finite(verdict.alpha),
        "p_value": finite(verdict.p_value),
        "p_adjusted": finite(verdict.p_adjusted),
        "family_size": verdict.family_size,
        "needed_n": verdict.needed_n,
        "needed": dict(verdict.needed),
        "procedures": list(verdict.procedures),
        "notes": list(verdict.notes),
        "seed": verdict.seed,
    }


def effect_fields(effect: Effect) -> dict[str, Any]:
    numbers, question = effect.measured, effect.question
    why = [exclusion.reason for exclusion in numbers.excluded]
    return {
        "n": len(numbers.values),
        "clusters": None if numbers.clusters is None else len(set(numbers.clusters)),
        "eligible": len(numbers.values),
        "pairs_total": numbers.pairs_total,
        "excluded": {reason: why.count(reason) for reason in dict.fromkeys(why)},
        "controls": control_fields(numbers),
        "model": numbers.provenance.get("model"),
        "site": None if question is None else question.site,
        "question": "given values" if question is None else question.summary,
        "kind": numbers.kind,
        "provenance": dict(numbers.provenance),
    }


def control_fields(numbers: Numbers) -> dict[str, Any]:
    """The controls in a report's words: a number, a reason why there is none, or None."""
    controls = numbers.controls
    fields: dict[str, Any] = {"self_patch": None, "placebo": None, "positive": None, "distance": None}
    if isinstance(controls.self_patch, SelfPatch):
        own = controls.self_patch
        fields["self_patch"] = {
            "moved": finite(own.moved),
            "neutral": own.neutral,
            "rounding": finite(own.tolerance),
        }
    if isinstance(controls.placebo, tuple):
        below = math.fsum(numbers.denominators) if numbers.denominators else len(controls.placebo)
        fields["placebo"] = finite(math.fsum(controls.placebo) / below) if below else None
    if isinstance(controls.positive, PositiveControl):
        fields["positive"] = {
            "estimate": finite(controls.positive.estimate),
            "passed": controls.positive.passed,
            "site": controls.positive.what,
        }
    if controls.distance:
        fields["distance"] = finite(math.fsum(controls.distance) / len(controls.distance))
    if controls.full is not None:
        fields["full_component"] = finite(controls.full.estimate)
    for name in ("self_patch", "placebo", "positive"):
        waived = getattr(controls, name)
        if isinstance(waived, Waived):
            fields[name] = f"waived: {waived.why}"
    return fields


def counted(labs: list[Lab]) -> dict[str, int]:
    """What the labs have computed so far."""
    total = {"patched_runs": 0, "forwards": 0, "reference_runs": 0, "reused_runs": 0}
    for lab in dict.fromkeys(labs):
        for name, n in lab.counts.items():
            total[name] += n
    return total


def finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
