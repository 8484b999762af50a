"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.effect import Effect
from causaltest.once import Judged, at_once, counted, misdirected, rehearse, unmeasured
from causaltest.results import NOT_REGISTERED, ClaimResult, Known, effect_fields, shared_fields
from causaltest.variants import in_variants, rehearse_variants
from causaltest.warned import warnings_of

CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known) -> ClaimResult:
    """Rehearse, measure and judge one claim.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    labs = [a for a in arguments.values() if isinstance(a, Lab)]
    before = counted(labs)
    judged = judged_by(claim, arguments, known)
    kept = all(kept_to(rehearsed, effect) for rehearsed, effect in judged.parts)
    told: dict[str, Any] = {
        **shared_fields(claim, judged.verdict),
        **({} if judged.effect is None else effect_fields(judged.effect)),
        "status_reason": NOT_REGISTERED if kept else CHOSE_BY_NUMBER,
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
        **judged.extra,
    }
    told["warnings"] = warnings_of(claim, judged, known)
    said = {warning["says"] for warning in told["warnings"]}
    told["notes"] = [note for note in told["notes"] if note not in said]
    return ClaimResult(**told, id=known.claim_id, nodeid=known.nodeid, family=known.family.name, suite_seed=known.seed)


def judged_by(claim: Claim, arguments: Mapping[str, Any], known: Known) -> Judged:
    """The claim judged in the way that it declares; not measured where its experiment cannot show what it says."""
    if claim.multiverse is not None:
        return in_variants(claim, arguments, known)
    rehearsed = rehearse(claim, arguments)
    wrong = misdirected(claim, rehearsed)
    if wrong is not None:
        return Judged(None, unmeasured(claim, known.family, wrong), parts=((rehearsed, None),))
    judged = at_once(claim, arguments, known)
    return replace(judged, parts=((rehearsed, judged.effect),))


def announce(claim: Claim, arguments: Mapping[str, Any], known: Known) -> list[Effect]:
    """Rehearses a claim, so that its labs come to expect what it will ask: the effects that it names."""
    if claim.multiverse is not None:
        rehearsed = rehearse_variants(claim, arguments, known)
    else:
        rehearsed = [rehearse(claim, arguments)]
    return [effect for effect in rehearsed if effect is not None]


def kept_to(rehearsed: Effect | None, measured: Effect | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None or measured.question is None:
        return True
    return rehearsed.question.canonical() == measured.question.canonical()
