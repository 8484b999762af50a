"""A measured claim in its record: its standing, the look that is written down, and what a baseline keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from causaltest.asking.claims import Claim
from causaltest.asking.lab import Lab
from causaltest.asking.questions import has_values
from causaltest.effect import Question
from causaltest.effects import members_of
from causaltest.errors import RecordError
from causaltest.identity.models import other_model
from causaltest.once import Judged, misdirected
from causaltest.recording.fingerprint import fingerprint
from causaltest.recording.record import Record
from causaltest.recording.saved import SavedClaim
from causaltest.recording.seen import sightings_of
from causaltest.recording.spec import Sources, Spec, spec_of
from causaltest.results import Known, finite

NOT_MEASURED = "its experiment cannot show what its sentence says, and nothing was measured"
GIVEN = "its values were given, and nobody can say when they were first seen"


def stood(
    claim: Claim,
    judged: Judged,
    known: Known,
    record: Record,
    result: Mapping[str, Any],
    *,
    asked: bool,
    why_not: str,
    labs: Sequence[Lab],
) -> dict[str, Any]:
    """The claim's standing in its record, as fields of the result; the look is written down.

    `asked` says whether the same was asked of its pairs before, `why_not` why it is exploratory whatever is recorded.
    """
    if misdirected(claim, next((rehearsed for rehearsed, _ in judged.parts), None)) is not None:
        return {"status_reason": NOT_MEASURED, "record": dict(record.registered)}
    questions = questions_of(judged, chose_by_number=bool(why_not))
    if any(map(has_values, questions)) or numbers_before(judged):
        why_not = why_not or GIVEN
    try:
        spec = as_spec(claim, questions, known, labs)
    except RecordError as error:
        return {"status_reason": why_not or str(error), "record": dict(record.registered)}
    measured = [effect for _, effect in judged.parts]
    why_not = why_not or other_model(spec.fields["models"], measured) or ""
    provenance = result.get("provenance", {})
    standing = record.look(
        spec,
        seed=known.seed,
        seen=result["seen"],
        claims=sightings_of(measured),
        asked=asked,
        why_not=why_not,
        told={
            **told_of(judged),
            "device": provenance.get("device", ""),
            "dtype": provenance.get("dtype", ""),
        },
    )
    return {
        "status": str(standing.status),
        "status_reason": standing.reason,
        "seen": list(standing.seen),
        "notes": [*result["notes"], *standing.notes],
        "record": {
            "id": spec.id,
            "spec": spec.digest,
            "data": spec.data_digest,
            "prior": standing.prior,
            "fields": {path: list(change) for path, change in standing.fields.items()},
            **record.registered,
        },
    }


def saved_claim(claim: Claim, judged: Judged, known: Known, *, kept: bool, labs: Sequence[Lab]) -> SavedClaim:
    """The claim as it was measured. Raises RecordError where its spec cannot be written down."""
    spec = as_spec(claim, questions_of(judged, chose_by_number=not kept), known, labs)
    return SavedClaim(spec.id, spec.fields, known.seed, told_of(judged), judged.effects, judged.played, claim.margin)


def questions_of(judged: Judged, *, chose_by_number: bool) -> list[Question | None]:
    """What a claim asked, part by part; a body that chose by a number has named no experiment before it measured."""
    parts = [measured if chose_by_number else rehearsed for rehearsed, measured in judged.parts]
    return [None if effect is None else effect.question for effect in parts]


def numbers_before(judged: Judged) -> bool:
    """Whether an effect had numbers before any was measured."""
    return any(member.numbers is not None for rehearsed, _ in judged.parts for member in members_of(rehearsed))


def as_spec(
    claim: Claim,
    questions: Sequence[Question | None],
    known: Known,
    labs: Iterable[Lab],
    *,
    sources: Sources | None = None,
) -> Spec:
    """The same spec for the same claim, whether it is registered or was measured. Raises RecordError as `spec_of`."""
    return spec_of(
        claim,
        questions,
        id=known.record_id,
        family=(known.record_family, known.family.size),
        settings=known.settings,
        suite_seed=known.seed,
        labs=labs,
        parameters=known.parameters,
        sources=sources,
    )


def told_of(judged: Judged) -> dict[str, Any]:
    """A verdict, and the numbers that it rests on, as a record has them."""
    verdict = judged.verdict
    return {
        "verdict": str(verdict.outcome),
        "estimate": finite(verdict.estimate),
        "lower": finite(verdict.lower),
        "upper": finite(verdict.upper),
        "n": verdict.n,
        "alpha": finite(verdict.alpha),
        "effects": fingerprint(judged.effects, judged.played),
    }
