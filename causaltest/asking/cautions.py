"""The names of the warnings that a claim can be given, and the accepting of them by name."""

from __future__ import annotations

from collections.abc import Iterable

from causaltest.errors import ClaimError

CAUTIONS = (
    "accuracy-only",
    "probability-metric",
    "gaussian-corruption",
    "subspace",
    "the-circuit",
    "few-eligible",
    "one-family",
    "null-by-layer",
)


def accepted(names: Iterable[str]) -> tuple[str, ...]:
    """The warnings that a claim answers for. Raises ClaimError for a name that no warning has."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ClaimError(f"accept={names!r} takes a list of warnings: accept=[{names!r}].")
    given = tuple(names)
    for name in given:
        if name not in CAUTIONS:
            raise ClaimError(f"There is no warning {name!r} to accept; there are {', '.join(CAUTIONS)}.")
    return given
