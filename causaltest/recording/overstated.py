"""Overstated: looks in a ledger whose status says more than the record could give them.

What is given to a look is what the record gives at its best: the lock was committed before, and nothing beside the
ledger has seen the pairs. Who claims less than that has had another reason, and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from causaltest.errors import RecordError
from causaltest.recording.git import Committed
from causaltest.recording.lock import Entry, Lock
from causaltest.recording.others import seen_before
from causaltest.recording.past import Past
from causaltest.recording.sighted import Sighted
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Status, standing_of

Look = Mapping[str, Any]

WORTH: Mapping[str, int] = {
    Status.EXPLORATORY: 0,
    Status.AMENDED: 1,
    Status.REPLICATION: 2,
    Status.REPRODUCED: 3,
    Status.CONFIRMATORY: 3,
}
"""How much a status says for a verdict."""
AT_BEST = Committed("committed before", "committed before")


class Ground:
    """A lock and a ledger, as what looks are held against; looks are asked about in the ledger's order."""

    def __init__(self, lock: Lock, lines: Sequence[Look]) -> None:
        self.lock = lock
        self.lines = lines
        self._sighted = Sighted()

    def entry(self, claim: str) -> Entry | None:
        """That of a claim, by any id that it has had."""
        return self.lock.entries.get(self.names.get(claim, claim))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The id that a claim has now, by each that it has had."""
        return {had: id for id in self.lock.entries for had in self.lock.names(id)}

    def looks_before(self, place: int) -> list[Look]:
        """The looks before one at the same claim, whichever id it had."""
        claim = str(self.lines[place]["claim"])
        had = self.lock.names(self.names.get(claim, claim))
        return [self.lines[i] for i in sorted(i for name in had for i in self.looks.get(name, ())) if i < place]

    @cached_property
    def looks(self) -> Mapping[str, Sequence[int]]:
        """The places of the looks at each claim, by its id then."""
        places: dict[str, list[int]] = {}
        for i, line in enumerate(self.lines):
            if line["kind"] == "look":
                places.setdefault(str(line["claim"]), []).append(i)
        return places

    def seen_before(self, place: int) -> list[str]:
        """What the ledger's lines before a look say of its pairs. Raises RecordError where they do not say it."""
        self._sighted.take(self.lines[:place])
        claims, claim = self._sighted.named_in(self.lines[place]), str(self.lines[place]["claim"])
        return seen_before(claims, self._sighted, self.lock, self.names.get(claim, claim))

    def entry_then(self, claim: str, head: str) -> Entry | None:
        """A claim's entry as it was when the lock ended with the event `head`; None where it was not registered yet."""
        entry, then = self.entry(claim), self.past.number.get(head)
        registered = None if entry is None else self.lock.event_of(entry)
        if entry is None or then is None or registered is None:
            return None
        if not self.past.has(then, self.past.number[registered["hash"]]):
            return None
        amended = (event for had in dict.fromkeys(self.lock.names(entry.id)) for event in self.amended.get(had, ()))
        later = sum(not self.past.has(then, event) for event in amended)
        specs = [*entry.prior, entry.spec]
        known = specs[: len(specs) - later]
        return Entry(entry.id, known[-1], entry.batch, entry.seen, tuple(known[:-1])) if known else None

    @cached_property
    def past(self) -> Past:
        """What came before each event."""
        return Past(self.lock.events)

    @cached_property
    def amended(self) -> Mapping[str, Sequence[int]]:
        """The amendments of each claim, by its id then."""
        events: dict[str, list[int]] = {}
        for i, event in enumerate(self.lock.events):
            if event["kind"] == "amend":
                events.setdefault(str(event["claim"]), []).append(i)
        return events


def overstated(place: int, ground: Ground, spec: Spec | None) -> str:
    """Why a look cannot have the status that it states; empty where it can.

    `spec` is what was looked at; None where nobody knows it.
    """
    look = ground.lines[place]
    claim, stated = str(look["claim"]), str(look["status"])
    if stated not in WORTH:
        return f"{claim}: {stated!r} is no status"
    if WORTH[stated] == 0:
        return ""
    entry = ground.entry_then(claim, str(look["lock"]))
    if spec is None:
        never = entry is None or WORTH[stated] == WORTH[Status.CONFIRMATORY]
        return f"{claim}: it is called {stated}, and what was looked at was never registered" if never else ""
    if look["data"] != spec.data_digest:
        return f"{claim}: the look of {look['at']} names other data than its spec"
    try:
        seen = ground.seen_before(place)
    except RecordError as error:
        return f"{claim}: {error}"
    best = standing_of(
        spec,
        entry,
        seed=str(look["seed"]),
        committed=AT_BEST,
        looks=ground.looks_before(place),
        seen=seen,
    )
    if WORTH[best.status] >= WORTH[stated]:
        return ""
    return (
        f"{claim}: the look of {look['at']} is called {stated}, and by the lock and the ledger it was {best.status} "
        f"({best.reason})"
    )
