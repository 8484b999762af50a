"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.effect import Effect
from causaltest.looks import in_looks
from causaltest.once import at_once, counted, labs_of, rehearse
from causaltest.results import NOT_REGISTERED, ClaimResult, Known, effect_fields, shared_fields

CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known) -> ClaimResult:
    """Rehearse, measure and judge one claim.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    rehearsed = rehearse(claim, arguments)
    labs = labs_of(arguments)
    before = counted(labs)
    judged = (at_once if claim.stopping is None else in_looks)(claim, arguments, known)
    told: dict[str, Any] = {
        **shared_fields(claim, judged.verdict),
        **({} if judged.effect is None else effect_fields(judged.effect)),
        "status_reason": NOT_REGISTERED if kept_to(rehearsed, judged.effect) else CHOSE_BY_NUMBER,
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
        **judged.extra,
    }
    return ClaimResult(**told, id=known.claim_id, nodeid=known.nodeid, family=known.family.name, suite_seed=known.seed)


def kept_to(rehearsed: Effect | None, measured: Effect | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None or measured.question is None:
        return True
    return rehearsed.question.canonical() == measured.question.canonical()
