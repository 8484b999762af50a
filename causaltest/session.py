"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.effect import Effect
from causaltest.once import at_once, counted, rehearse
from causaltest.results import NOT_REGISTERED, ClaimResult, Known, effect_fields, shared_fields
from causaltest.variants import in_variants, rehearse_variants

CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known) -> ClaimResult:
    """Rehearse, measure and judge one claim.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    labs = [a for a in arguments.values() if isinstance(a, Lab)]
    before = counted(labs)
    if claim.multiverse is not None:
        judged = in_variants(claim, arguments, known)
        kept = all(kept_to(rehearsed, effect) for rehearsed, effect in judged.parts)
    else:
        rehearsed = rehearse(claim, arguments)
        judged = at_once(claim, arguments, known)
        kept = kept_to(rehearsed, judged.effect)
    told: dict[str, Any] = {
        **shared_fields(claim, judged.verdict),
        **({} if judged.effect is None else effect_fields(judged.effect)),
        "status_reason": NOT_REGISTERED if kept else CHOSE_BY_NUMBER,
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
        **judged.extra,
    }
    return ClaimResult(**told, id=known.claim_id, nodeid=known.nodeid, family=known.family.name, suite_seed=known.seed)


def announce(claim: Claim, arguments: Mapping[str, Any], known: Known) -> None:
    """Rehearses a claim, so that its labs come to expect what it will ask."""
    if claim.multiverse is not None:
        rehearse_variants(claim, arguments, known)
    else:
        rehearse(claim, arguments)


def kept_to(rehearsed: Effect | None, measured: Effect | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None or measured.question is None:
        return True
    return rehearsed.question.canonical() == measured.question.canonical()
