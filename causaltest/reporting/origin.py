"""Origin: how much of what claims rest on was measured in this run, and how much was read from the store."""

from __future__ import annotations

from collections.abc import Sequence

from causaltest.results import ClaimResult


def origin(result: ClaimResult) -> str:
    """Where one claim's numbers come from; empty where all were measured in this run."""
    stored, anew = counts([result])
    if not anew:
        return "in an earlier run, and read from the store" if stored else ""
    return f"{anew} of {stored + anew} in this run, the rest read from the store" if stored else ""


def origins(results: Sequence[ClaimResult]) -> str:
    """The same of all claims."""
    stored, anew = counts(results)
    return f"measurements: {stored} read from the store, {anew or 'none'} made in this run" if stored else ""


def counts(results: Sequence[ClaimResult]) -> tuple[int, int]:
    """Answers that were read, and that were measured."""
    stored, anew = (sum(result.runs.get(name, 0) for result in results) for name in ("stored", "anew"))
    return stored, anew
