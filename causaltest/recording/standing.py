"""Standing: whether a claim was registered before its data were seen, and what came of it since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from causaltest.recording.git import Committed
from causaltest.recording.lock import Entry
from causaltest.recording.spec import DATA, Spec, differences


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


def standing_of(
    spec: Spec,
    entry: Entry | None,
    *,
    seed: str,
    committed: Committed,
    looks: Sequence[Mapping[str, Any]],
    seen: Sequence[str],
) -> Standing:
    """The standing of a claim about to be recorded.

    `looks` are the ledger's lines about it, `seen` the sentences of what has seen its pairs otherwise.
    """
    if entry is None:
        return Standing(Status.EXPLORATORY, "not registered")
    changed = differences(entry.spec, spec.fields)
    only_data = bool(changed) and all(path.split("[")[0].split(".")[0] in DATA for path in changed)
    if changed and not only_data:
        return Standing(Status.AMENDED, f"{', '.join(changed)} changed", changed, entry.digest)
    if committed.why_not:
        return Standing(Status.EXPLORATORY, committed.why_not)
    confirmed = [look for look in looks if look["status"] == Status.CONFIRMATORY]
    same = [look for look in confirmed if (look["spec"], look["seed"]) == (spec.digest, seed)]
    if same:
        return Standing(Status.REPRODUCED, f"first seen on {same[0]['at']}")
    if entry.prior:
        return Standing(Status.AMENDED, "amended since it was registered", prior=entry.digest)
    before = [*entry.seen, *seen]
    if before:
        return Standing(Status.EXPLORATORY, before[0])
    if only_data:
        return Standing(Status.REPLICATION, f"{', '.join(changed)} are new", changed, entry.digest)
    if looks:
        return Standing(Status.EXPLORATORY, "these data were looked at before, with another seed")
    return Standing(Status.CONFIRMATORY, f"registered in {committed.commit[:8]}")
