"""One claim from its body to its result: rehearse, measure, judge. Joins the rooms, knows no pytest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.effects import Measured, members_of
from causaltest.looks import in_looks
from causaltest.once import Judged, at_once, counted, labs_of, misdirected, rehearse, returned_effect, unmeasured
from causaltest.recorded import saved_claim, stood
from causaltest.recording.seen import SeenLog, sightings_of
from causaltest.results import NOT_REGISTERED, ClaimResult, Known, effect_fields, shared_fields
from causaltest.variants import in_variants, rehearse_variants
from causaltest.warned import warnings_of

CHOSE_BY_NUMBER = "the body reads a number before it has chosen its experiment"
OTHER_EXPERIMENT = "the body has measured another experiment than the one that it named in its rehearsal"


def decide(claim: Claim, arguments: Mapping[str, Any], known: Known, *, log: SeenLog | None = None) -> ClaimResult:
    """Rehearse, measure and judge one claim; `log` says what has seen its pairs before.

    Raises ClaimError when the body returns anything but an Effect; what the body raises passes
    through, except MeasurementError, which makes the claim INVALID.
    """
    # A rehearsal makes the labs that the body itself asks for, so that their runs are counted too.
    rehearsed = rehearse(claim, arguments) if claim.multiverse is None else None
    labs = labs_of(arguments)
    before = counted(labs)
    judged = judged_by(claim, arguments, known, rehearsed)
    broken = [promised for promised, effect in judged.parts if not kept_to(promised, effect)]
    why_not = (OTHER_EXPERIMENT if None not in broken else CHOSE_BY_NUMBER) if broken else ""
    log = SeenLog(None) if log is None else log
    measured = [effect for _, effect in judged.parts]
    record, claims = known.record, sightings_of(measured)
    seen = log.before(labs, measured, looked=None if record is None else record.first_look(known.record_id, claims))
    told: dict[str, Any] = {
        **shared_fields(claim, judged.verdict),
        **({} if judged.effect is None else effect_fields(judged.effect)),
        "status_reason": why_not or (seen or [NOT_REGISTERED])[0],
        "seen": seen,
        "notes": [*notes_without(judged, "exploratory: "), *filter(None, [log.problem()])],
        "runs": {name: n - before[name] for name, n in counted(labs).items()},
        **judged.extra,
    }
    told["warnings"] = warnings_of(claim, judged, known)
    said = {warning["says"] for warning in told["warnings"]}
    told["notes"] = [note for note in told["notes"] if note not in said]
    if record is not None:
        record.note(search for lab in labs if lab.named for search in lab.seen)
        asked = any(map(log.asked, claims))
        told |= stood(claim, judged, known, record, told, asked=asked, why_not=why_not, labs=labs)
    log.note_claim(labs, measured)
    if known.keep is not None:
        told["drift"] = known.keep(lambda: saved_claim(claim, judged, known, kept=not broken, labs=labs))
    return ClaimResult(**told, id=known.claim_id, nodeid=known.nodeid, family=known.family.name, suite_seed=known.seed)


def judged_by(claim: Claim, arguments: Mapping[str, Any], known: Known, rehearsed: Measured | None) -> Judged:
    """The claim judged in the way that it declares; not measured where its experiment cannot show what it says."""
    if claim.multiverse is not None:
        return in_variants(claim, arguments, known)
    if rehearsed is not None:
        # what its prediction cannot be about is told before anything is measured
        returned_effect(claim, rehearsed)
    wrong = misdirected(claim, rehearsed)
    if wrong is not None:
        return Judged(None, unmeasured(claim, known.family, wrong), parts=((rehearsed, None),))
    judged = (at_once if claim.stopping is None else in_looks)(claim, arguments, known)
    return replace(judged, parts=((rehearsed, judged.effect),))


def announce(claim: Claim, arguments: Mapping[str, Any], known: Known, *, all_looks: bool = False) -> list[Measured]:
    """Rehearses a claim, so that its labs come to expect what it will ask: the effects that it names."""
    if claim.multiverse is not None:
        rehearsed = rehearse_variants(claim, arguments, known)
    else:
        rehearsed = [rehearse(claim, arguments, all_looks=all_looks)]
    return [effect for effect in rehearsed if effect is not None]


def notes_without(judged: Judged, prefix: str) -> list[str]:
    """The verdict's notes, without what the lab alone knew of earlier looks: the log knows all of it, and the order."""
    told = {f"{prefix}{seen}" for member in members_of(judged.effect) for seen in member.measured.seen}
    return [note for note in judged.verdict.notes if note not in told]


def kept_to(rehearsed: Measured | None, measured: Measured | None) -> bool:
    """Whether the body measured the experiment that it had named before it saw a number."""
    if rehearsed is None:
        return False
    if measured is None or rehearsed.question is None:
        return True
    if measured.question is None:
        return False  # values that were given, in place of the experiment that was named
    return rehearsed.question.canonical() == measured.question.canonical()
