"""The time, as a record has it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """UTC, in whole seconds; two such texts compare as their times do."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
