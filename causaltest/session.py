"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.effect import Effect
from causaltest.once import Judged, at_once, counted, rehearse
from causaltest.recording.seen import SeenLog
from causaltest.results import NOT_REGISTERED, ClaimResult, Known, effect_fields, shared_fields

CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known, *, log: SeenLog | None = None) -> ClaimResult:
    """Rehearse, measure and judge one claim; `log` says what has seen its pairs before.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    rehearsed = rehearse(claim, arguments)
    labs = [a for a in arguments.values() if isinstance(a, Lab)]
    before = counted(labs)
    judged = at_once(claim, arguments, known)
    log = SeenLog(None) if log is None else log
    seen = log.label(labs, [judged.effect])
    told: dict[str, Any] = {
        **shared_fields(claim, judged.verdict),
        **({} if judged.effect is None else effect_fields(judged.effect)),
        "status_reason": (seen or [NOT_REGISTERED])[0] if kept_to(rehearsed, judged.effect) else CHOSE_BY_NUMBER,
        "seen": seen,
        "notes": [*notes_without(judged, "exploratory: "), *filter(None, [log.problem()])],
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
        **judged.extra,
    }
    return ClaimResult(**told, id=known.claim_id, nodeid=known.nodeid, family=known.family.name, suite_seed=known.seed)


def notes_without(judged: Judged, prefix: str) -> list[str]:
    """The verdict's notes, without what the lab alone knew of earlier looks: the log knows all of it, and the order."""
    told = set() if judged.effect is None else {f"{prefix}{seen}" for seen in judged.effect.measured.seen}
    return [note for note in judged.verdict.notes if note not in told]


def kept_to(rehearsed: Effect | None, measured: Effect | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None or measured.question is None:
        return True
    return rehearsed.question.canonical() == measured.question.canonical()
