"""Amendment: a registered claim is changed where all can see it, with the reason, and its prior spec is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from causaltest.errors import RecordError
from causaltest.recording.changes import Change, changes
from causaltest.recording.entering import Event, enter
from causaltest.recording.lock import Entry, Lock
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, by_id, differing_fields


@dataclass(frozen=True)
class Amended:
    """What an amendment did."""

    id: str
    fields: Mapping[str, Change]
    why: str
    was: str = ""
    """Its id before, where that is another."""

    def __str__(self) -> str:
        named = f" (was {self.was})" if self.was else ""
        return f"{self.id}{named} amended: {'; '.join(changes(self.fields)) or 'its name alone'}. Why: {self.why}"


def amend(
    record: Record, candidates: Iterable[Candidate], ids: Sequence[str], *, why: str, was: str | None = None
) -> list[Amended]:
    """Puts the new specs of claims in place of those registered, which are kept. All of them, or none.

    `was` is the id that the one claim is registered under. Raises RecordError for an id that is not known, for a claim
    that is registered as it is, and without a reason.
    """
    given = by_id(candidates)
    if not why.strip():
        raise RecordError('An amendment needs its reason, which stays beside it in the lock: --why "...".')
    if was is not None and len(ids) != 1:
        raise RecordError(f"--was names what one claim was called, and {len(ids)} are to be amended: amend it alone.")
    done: list[Amended] = []

    def change(lock: Lock) -> tuple[Lock, list[Event]]:
        entries, events = dict(lock.entries), list[Event]()
        for id in dict.fromkeys(known_id(id, given, "the code") for id in ids):
            entry = entries[known_id(was or id, entries, "the lock")]
            spec, renamed = given[id].spec, entry.id != id
            if renamed:  # its family stays what it was, as that of its batch
                spec = spec.in_family_of(entry.spec["family"]["size"])
            changed = differing_fields(entry, spec)
            if renamed and id in entries:
                raise RecordError(f"{id} is registered itself, so it cannot have been {entry.id}.")
            if not changed and not renamed:
                raise RecordError(f"{id} is registered as it is: there is nothing to amend.")
            del entries[entry.id]
            entries[id] = Entry(id, spec.fields, entry.batch, entry.seen, (*entry.prior, entry.spec))
            named = {"was": entry.id} if renamed else {}
            prior = {"prior": entry.digest, "spec": entries[id].digest}
            events.append({"kind": "amend", "claim": id, **named, **prior, "why": why.strip()})
            done.append(Amended(id, changed, why.strip(), entry.id if renamed else ""))
        return Lock(entries, lock.events), events

    enter(record, change)
    return done


def known_id(asked: str, known: Mapping[str, object], where: str) -> str:
    """The id that is meant: as it is, or with the folder in front as pytest prints it."""
    if asked in known:
        return asked
    behind = [id for id in known if asked.endswith(f"/{id}")]
    if len(behind) == 1:
        return behind[0]
    near = get_close_matches(asked, known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else f"it has {len(known)} claims."
    raise RecordError(f"{asked} is no claim that is in {where}; {meant}")
