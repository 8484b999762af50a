"""How what stands in a record is put in words: counts, days and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(count: int, what: str) -> str:
    """As in "1 claim", "2 batches", "3 entries" and "1,000 claims"."""
    return f"{count:,} {what if count == 1 else several(what)}"


def several(what: str) -> str:
    if what.endswith("ry"):
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith("ch") else f"{what}s"


def day(line: Mapping[str, Any]) -> str:
    """The day of a line of a ledger, or of an event of a lock."""
    return str(line["at"])[:10]


def as_number(written: Any) -> float | None:
    """A number of a line, in which decimals stand as strings; None for what is none."""
    try:
        return None if written is None else float(written)
    except (TypeError, ValueError, OverflowError):
        return None
