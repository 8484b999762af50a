"""Standing: whether a claim was registered before its data were seen, and what came of it since.

The rules, the first that holds (docs/decisions/0015-standing.md says why):

    EXPLORATORY     nothing can be said of it: the body chose by a number, the record does not hold, not registered
    REPRODUCED      a look at the same spec, data, weights and seed was confirmatory
    AMENDED         it is another claim than the one first registered, or of other data while no look of that one was
                    confirmatory
    EXPLORATORY     no commit says when it was registered, or something has seen the data
    REPLICATION     registered and confirmed on other data or another model
    CONFIRMATORY    registered, committed, and nobody has seen the data
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from causaltest.recording.changes import differences, field_of
from causaltest.recording.git import Committed
from causaltest.recording.lock import Entry
from causaltest.recording.spec import DATA, Spec
from causaltest.recording.wording import as_number, day
from causaltest.writing.canonical import digest_of

NOT_REGISTERED = "not registered"
ROUNDING = 1e-4
"""Numbers that differ by less are the same: other hardware adds up in another order."""


class Status(StrEnum):
    """How far a verdict confirms what was said beforehand."""

    CONFIRMATORY = "CONFIRMATORY"
    """Registered and committed before anybody saw these data."""
    REPRODUCED = "REPRODUCED"
    """The same spec, data, weights and seed as a look that was confirmatory."""
    REPLICATION = "REPLICATION"
    """The same claim, of new data or weights."""
    AMENDED = "AMENDED"
    """Registered, and changed since."""
    EXPLORATORY = "EXPLORATORY"
    """Anything else."""


@dataclass(frozen=True)
class Standing:
    """A status, why, and where the claim is another than the one registered: the fields, and the prior hash."""

    status: Status
    reason: str
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    prior: str = ""
    first: Mapping[str, Any] = field(default_factory=dict)
    """The ledger's line of the look that it rests on, where there is one."""
    seen: tuple[str, ...] = ()
    """What has seen its pairs before, a sentence each."""
    notes: tuple[str, ...] = ()


def standing_of(
    spec: Spec,
    entry: Entry | None,
    *,
    seed: str,
    committed: Committed,
    looks: Sequence[Mapping[str, Any]],
    seen: Sequence[str],
    why_not: str = "",
) -> Standing:
    """The standing of a claim that was just measured.

    `looks` are the ledger's lines about it, `seen` the sentences of what has seen its pairs otherwise, and `why_not`
    is what forbids to say anything better than EXPLORATORY.
    """
    told = tuple(dict.fromkeys([*(() if entry is None else entry.seen), *seen]))
    standing = judged(spec, entry, seed, committed, looks, told, why_not)
    return replace(standing, seen=told)


def judged(
    spec: Spec,
    entry: Entry | None,
    seed: str,
    committed: Committed,
    looks: Sequence[Mapping[str, Any]],
    seen: Sequence[str],
    why_not: str,
) -> Standing:
    """The first rule that holds."""
    if why_not:
        return Standing(Status.EXPLORATORY, why_not)
    if entry is None:
        return Standing(Status.EXPLORATORY, NOT_REGISTERED)
    confirmed = [look for look in looks if look["status"] == Status.CONFIRMATORY and look["spec"] == entry.digest]
    before = next((look for look in looks if (look["spec"], look["seed"]) == (spec.digest, seed)), None)
    first = next((look for look in confirmed if look["seed"] == seed), None)
    if first is not None and spec.digest == entry.digest:
        return Standing(Status.REPRODUCED, f"confirmatory on {day(first)}", first=first)

    changed = differences(entry.spec, spec.fields)
    new_data = bool(changed) and all(field_of(path) in DATA for path in changed)
    if changed and not (new_data and confirmed):
        only = ", which no look has confirmed on the data that were registered" if new_data else ""
        return Standing(
            Status.AMENDED, f"{named(changed)} changed since it was registered{only}", changed, entry.digest
        )
    if entry.prior:
        return Standing(
            Status.AMENDED,
            "amended since it was first registered",
            differences(entry.first, spec.fields),
            digest_of(entry.first),
        )
    if committed.why_not:
        return Standing(Status.EXPLORATORY, committed.why_not)
    if seen:
        return Standing(Status.EXPLORATORY, seen[0])
    if before is not None and before["status"] == Status.REPLICATION:
        return Standing(
            Status.REPLICATION, f"of other {data_of(changed)}, first on {day(before)}", changed, entry.digest, before
        )
    if earlier := [look for look in looks if look["data"] == spec.data_digest]:
        how = looked_before(spec, seed, earlier[0], renamed=new_data)
        told = f"these data were looked at on {day(earlier[0])}, {how}"
        return Standing(Status.EXPLORATORY, told, first=earlier[0])
    if new_data:
        return Standing(Status.REPLICATION, f"of other {data_of(changed)}", changed, entry.digest)
    return Standing(Status.CONFIRMATORY, f"registered in {committed.commit[:8]}")


def other_numbers(standing: Standing, told: Mapping[str, Any]) -> str:
    """That a reproduction gave other numbers than the look that it reproduces; empty where it gave the same."""
    if standing.status is not Status.REPRODUCED:
        return ""
    first = standing.first
    if told["verdict"] == first["verdict"] and all(
        near(as_number(told.get(name)), as_number(first.get(name))) for name in ("estimate", "lower", "upper")
    ):
        return ""
    then, here = (f"{look['verdict']} {shown(look)}" for look in (first, told))
    return f"other numbers than on {day(first)}: {then} then, {here} now; the look of that day is the one that counts"


def near(one: float | None, other: float | None) -> bool:
    """Whether two numbers differ by no more than rounding, which changes from processor to processor."""
    return one is other or (one is not None and other is not None and math.isclose(one, other, abs_tol=ROUNDING))


def shown(look: Mapping[str, Any]) -> str:
    numbers = [as_number(look.get(name)) for name in ("estimate", "lower", "upper")]
    estimate, lower, upper = ("?" if number is None else f"{number:.6g}" for number in numbers)
    return f"{estimate} [{lower}, {upper}]"


def looked_before(spec: Spec, seed: str, look: Mapping[str, Any], *, renamed: bool) -> str:
    """How the claim itself was asked of these data before."""
    if look["spec"] != spec.digest:
        how = "under other names, ids or clusters" if renamed else "as another claim of this id"
    elif look["seed"] != seed:
        how = f"with the seed {look['seed']}, and another seed is another look"
    else:
        how = f"when it was {look['status']}"
        if look.get("reason"):
            # without its advice, which was for that day
            how = f"{how} ({str(look['reason']).split(': ')[0]})"
    return how


def named(changed: Mapping[str, Any]) -> str:
    """The fields, up to three of them."""
    paths = list(changed)
    rest = f" and {len(paths) - 3} more fields" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + rest


def data_of(changed: Mapping[str, Any]) -> str:
    return " and ".join(name for name in DATA if any(path.startswith(name) for path in changed))
