"""How claims stand in their record, as lines of the report; nothing where no folder has a lock."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.recording.changes import changes
from causaltest.results import ClaimResult

STATUSES = ("CONFIRMATORY", "REPRODUCED", "REPLICATION", "AMENDED", "EXPLORATORY")
GOOD = STATUSES[:2]
"""What needs no reason, and what --causal-confirmatory-only passes."""
MOST_FIELDS = 20
"""What a section lists; --causal-json has all."""
MOST_NAMED = 3


def registered(results: Sequence[ClaimResult]) -> str:
    """How many claims the locks of these folders have."""
    locks = {r.record["lock"]: r.record["registered"] for r in results if r.record}
    if "" in locks:  # a lock without a hash is one that could not be read
        return " · claims.lock cannot be read"
    return f" · claims.lock {sum(locks.values())} registered" if locks else ""


def standings(results: Sequence[ClaimResult]) -> str:
    """How many claims have which status; nothing where no folder has a lock, as all are exploratory there."""
    counts = [f"{n} {word.lower()}" for word in STATUSES if (n := sum(r.status == word for r in results))]
    return f" · {', '.join(counts)}" if any(r.record for r in results) else ""


def stood(results: Sequence[ClaimResult]) -> list[str]:
    """Of claims in folders with a lock, why one is neither confirmatory nor reproduced: a line for each reason."""
    reasons: dict[tuple[str, str], list[ClaimResult]] = {}
    for result in results:
        if result.record and result.status not in GOOD:
            reasons.setdefault((result.status, why(result)), []).append(result)
    return [
        f"{status}: {reason}{was(alike)} ({', '.join(r.id for r in alike[:MOST_NAMED])}"
        f"{f' and {rest} more' if rest else ''})"
        for (status, reason), alike in reasons.items()
        for rest in [max(0, len(alike) - MOST_NAMED)]
    ]


def why(result: ClaimResult) -> str:
    """The reason of a status; of a claim in which little has changed, what it was and what it is."""
    fields = changes(result.record.get("fields", {}))
    told = result.status_reason.endswith("registered")  # and says no more than that something has changed
    few = result.status == "AMENDED" and told and 0 < len(fields) <= MOST_NAMED
    return f"{'; '.join(fields)}, since it was registered" if few else result.status_reason


def was(alike: Sequence[ClaimResult]) -> str:
    """The hash of what was registered, where the line is about one claim."""
    prior = alike[0].record.get("prior", "") if len(alike) == 1 else ""
    return f" as {prior[:8]}" if prior and why(alike[0]).endswith("since it was registered") else ""


def changed(result: ClaimResult) -> list[str]:
    """The fields in which a claim differs from the one that was registered, and that one's hash."""
    fields, prior = changes(result.record.get("fields", {})), result.record.get("prior")
    rest = len(fields) - MOST_FIELDS
    more = [f"and {rest} more fields, all of them in --causal-json"] if rest > 0 else []
    return [*fields[:MOST_FIELDS], *more, *([f"the hash of what was registered: {prior}"] if prior else [])]
