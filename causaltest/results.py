"""ClaimResult: everything a report says of one claim, as plain data; and how it is made of an effect and a verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.asking.questions import experiments_of
from causaltest.asking.settings import Settings
from causaltest.effect import Numbers, PositiveControl, Question, SelfPatch, Waived
from causaltest.effects import Effects, Measured
from causaltest.plain_numbers import plain_scalar
from causaltest.recording.record import Record
from causaltest.recording.saved import SavedClaim
from causaltest.verdict import Verdict

NOT_REGISTERED = "not registered"
EXPLORATORY = "EXPLORATORY"


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
    threshold: float | None
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
    status: str = EXPLORATORY
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
    excluded_pairs: dict[str, str] = field(default_factory=dict)
    """The reason of each pair that does not count."""
    warnings: list[dict[str, str]] = field(default_factory=list)
    """Each with its name, what it says, its source, and by whom it was accepted, if it was."""
    looks: dict[str, Any] = field(default_factory=dict)
    """Of a sequential claim: the stopping rule, the looks taken and planned, the patched runs saved."""
    variants: list[dict[str, Any]] = field(default_factory=list)
    """Of a multiverse claim: each variant with its estimate, bounds and verdict."""
    seen: list[str] = field(default_factory=list)
    """Sweeps, searches and earlier looks that have seen these pairs."""
    counted_if: str = ""
    """What a pair must be to count, where a rule was applied."""
    minimum_units: int = 0
    """Clusters, or independent pairs, below which this kind of claim is not decided."""
    placebo_p: float | None = None
    record: dict[str, Any] = field(default_factory=dict)
    """Of a claim in a folder with a lock: the hashes of its spec and data, which fields differ from those that were
    registered, and the prior hash."""
    drift: dict[str, Any] = field(default_factory=dict)
    """Beside a baseline: the word, the difference with its bounds, the margin and the cause."""

    def to_json(self) -> str:
        """One line of JSON; a scalar of numpy's that got this far is no reason to lose a verdict."""
        return json.dumps(asdict(self), allow_nan=False, default=plain_scalar)

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
    lab: Callable[[str], Lab] | None = None
    """The lab of a model by its name; None outside of pytest."""
    claims_in_run: int = 1
    """The claims of all files that were collected, whichever of them run."""
    record: Record | None = None
    """The lock and ledger of the claim's folder, where it has them."""
    record_id: str = ""
    """The claim's id within them."""
    record_family: str = ""
    """The name of its family within them."""
    settings: Settings = field(default_factory=Settings)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Those that pytest gave the test."""
    keep: Callable[[Callable[[], SavedClaim]], dict[str, Any]] | None = None
    """Takes what makes the claim as it was measured, where baselines are asked for; gives its drift."""


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
        status_reason="not measured",
        family=known.family.name,
        family_size=known.family.size,
        suite_seed=known.seed,
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
        "minimum_units": verdict.minimum_units,
        "placebo_p": None if verdict.placebo_p is None else finite(verdict.placebo_p),
    }


def effect_fields(effect: Measured) -> dict[str, Any]:
    """Of several effects: what they share, and of each control the worst; what is shown is a difference of them."""
    if isinstance(effect, Effects):
        shared = effect_fields(effect.joint)
        return {**shared, "kind": "ratio" if shared["kind"] == "ratio" else "continuous"}
    numbers, question = effect.measured, effect.question
    why = [exclusion.reason for exclusion in numbers.excluded]
    return {
        "n": len(numbers.values),
        "clusters": None if numbers.clusters is None else len(set(numbers.clusters)),
        "eligible": len(numbers.values),
        "pairs_total": numbers.pairs_total,
        "excluded": {reason: why.count(reason) for reason in dict.fromkeys(why)},
        "excluded_pairs": {exclusion.pair_id: exclusion.reason for exclusion in numbers.excluded},
        "controls": control_fields(numbers),
        "model": numbers.provenance.get("model"),
        "site": None if question is None else question.site,
        "question": "given values" if question is None else question.summary,
        "kind": numbers.kind,
        "counted_if": counted_if(question),
        "provenance": dict(numbers.provenance),
    }


def counted_if(question: Question | None) -> str:
    """The rule by which pairs count, in a report's words; empty where all do, or where nobody said."""
    return "; ".join(dict.fromkeys(filter(None, (e.checks.counted_if(e.metric) for e in experiments_of(question)))))


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
    if controls.elsewhere:
        below = math.fsum(numbers.denominators) if numbers.denominators else len(numbers.values)
        fields["elsewhere"] = {
            place.what: finite(math.fsum(place.values) / below) if below else None for place in controls.elsewhere
        }
    for name in ("self_patch", "placebo", "positive"):
        waived = getattr(controls, name)
        if isinstance(waived, Waived):
            fields[name] = f"waived: {waived.why}"
    return fields


def finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
