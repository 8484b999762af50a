"""A claim measured whole and judged once; and what every way of measuring a claim has in common."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.asking.orderings import Ordering, mismatch
from causaltest.asking.portions import in_portion
from causaltest.asking.predictions import Prediction
from causaltest.asking.sufficiency import why_misdirected
from causaltest.effect import Effect
from causaltest.effects import Effects, Measured
from causaltest.errors import ClaimError, MeasurementError, RehearsalRead
from causaltest.results import Family, Known
from causaltest.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Judged:
    """What came of a claim: its effect, where one was measured, its verdict, and what only its kind has to report."""

    effect: Measured | None
    verdict: Verdict
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the result, by name."""
    parts: tuple[tuple[Measured | None, Measured | None], ...] = ()
    """What was rehearsed, and what was then measured; of a claim in variants, for each of them."""
    played: Mapping[str, Any] | None = None
    """What else the verdict of a sequential claim rests on (`SavedClaim.played`)."""

    @property
    def effects(self) -> tuple[tuple[str, Measured], ...]:
        """What was measured, by the name of its variant; under "" where the claim has none."""
        names = [row["name"] for row in self.extra.get("variants", ())] or [""] * len(self.parts)
        return tuple((name, e) for name, (_, e) in zip(names, self.parts, strict=True) if e is not None)


def at_once(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Judged:
    """Runs the body on all pairs and judges what it returns; without a usable number the verdict is INVALID.

    Raises ClaimError when the body returns anything but what its prediction is about, and whatever else it raises.
    """
    from causaltest.judging.judge import judge  # late: scipy is not loaded until a claim is judged

    try:
        effect = returned_effect(claim, claim.body(**arguments))
        wrong = misdirected(claim, effect)
        if wrong is not None:
            return Judged(effect, unmeasured(claim, known.family, wrong))
        verdict = judge(effect, claim.prediction, family_size=known.family.size, seed=judging_seed(known.seed))
    except MeasurementError as error:
        return Judged(None, unmeasured(claim, known.family, str(error)))
    return Judged(effect, verdict)


def rehearse(claim: Claim, arguments: Mapping[str, Any], *, all_looks: bool = False) -> Measured | None:
    """The effect that the body would return, learnt without a model; None when it reads a number first.

    It knows its question, or none where the body returns values that were measured elsewhere. Its labs come to expect
    what it will ask: of a sequential claim the first portion, as the others may never be measured, or with `all_looks`
    every portion.
    """
    if claim.stopping is None:
        return rehearsed(claim, arguments)
    looks = claim.stopping.looks if all_looks else 1
    first, *_ = [rehearsed(claim, in_portion(arguments, claim.stopping, look)) for look in range(looks)]
    return first


def rehearsed(claim: Claim, arguments: Mapping[str, Any]) -> Measured | None:
    """One rehearsal of the body."""
    try:
        effect = claim.body(**stand_ins(arguments))
        return as_effects(effect) if isinstance(effect, Effect | Effects | Mapping) else None
    except RehearsalRead:
        return None
    except Exception:
        # A body that cannot run at all fails again, and is reported, when it is measured.
        return None


def reads_a_number(claim: Claim, arguments: Mapping[str, Any]) -> bool:
    """Whether the body asks for a number itself, so that it can show it."""
    try:
        claim.body(**stand_ins(arguments))
    except RehearsalRead:
        return True
    except BaseException:
        return False
    return False


def stand_ins(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: a.rehearsal() if hasattr(a, "rehearsal") else a for name, a in arguments.items()}


def returned_effect(claim: Claim, returned: object) -> Measured:
    if isinstance(returned, Effect | Effects | Mapping):
        wrong = mismatch(claim.prediction, several=not isinstance(returned, Effect))
        if wrong is not None:
            raise ClaimError(f"The claim {claim.sentence!r}: {wrong}")
        return as_effects(returned)
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


def as_effects(returned: Effect | Effects | Mapping[Any, Effect]) -> Measured:
    return Effects(returned) if isinstance(returned, Mapping) else returned


def misdirected(claim: Claim, effect: Measured | None) -> str | None:
    """Why the effect's experiments cannot show what the claim's sentence says, or None; known in rehearsal."""
    return None if effect is None else why_misdirected(claim.sentence, effect.question)


def judging_seed(seed: str) -> int | None:
    """From the suite's seed alone, so that effects of as many units share their resamples; None without one."""
    return int(hashlib.sha256(seed.encode(errors="surrogatepass")).hexdigest()[:8], 16) if seed else None


def unmeasured(claim: Claim, family: Family, reason: str) -> Verdict:
    """The verdict on a claim whose measurement gave no usable number."""
    return unmeasured_by(claim.prediction, family.size, reason)


def unmeasured_by(prediction: Prediction | Ordering, family_size: int, reason: str) -> Verdict:
    """The same, of a prediction."""
    return Verdict(
        outcome=Outcome.INVALID,
        reason=reason,
        estimate=math.nan,
        lower=math.nan,
        upper=math.nan,
        alpha=prediction.alpha / family_size,
        n=0,
        units=0,
        p_value=math.nan,
        p_adjusted=math.nan,
        family_size=family_size,
        needed_n=None,
        prediction=str(prediction),
        procedures=(),
    )


def labs_of(arguments: Mapping[str, Any]) -> tuple[Lab, ...]:
    """The labs that a body is given, and those that its rehearsal had made."""
    given = [a for a in arguments.values() if isinstance(a, Lab)]
    made = [lab for a in arguments.values() for lab in getattr(a, "made", ()) if isinstance(lab, Lab)]
    return tuple(dict.fromkeys([*given, *made]))


def counted(labs: Iterable[Lab]) -> dict[str, int]:
    """What the labs have computed so far."""
    total = {"patched_runs": 0, "forwards": 0, "reference_runs": 0, "reused_runs": 0, "stored": 0, "anew": 0}
    for lab in dict.fromkeys(labs):
        for name, n in lab.counts.items():
            total[name] += n
    return total
