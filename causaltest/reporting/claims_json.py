"""--causal-json: one object per claim, in a file that is never half written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FIELDS = (
    "id", "sentence", "verdict", "reason", "estimate", "lower", "upper", "threshold", "n", "clusters", "eligible",
    "needed_n", "p_value", "p_adjusted", "family", "controls", "status", "seed", "model", "site",
)  # fmt: skip
MORE = (
    "nodeid", "prediction", "question", "kind", "alpha", "power", "family_size", "pairs_total", "excluded", "needed",
    "expecting", "procedures", "notes", "status_reason", "suite_seed", "provenance", "runs",
    "excluded_pairs", "warnings", "looks", "variants", "seen", "counted_if",
    "minimum_units", "placebo_p", "record", "drift",
)  # fmt: skip


def write_json(path: Path, lines: Iterable[str]) -> None:
    """The claims' results as a JSON array, sorted by id."""
    claims = [ordered(json.loads(line)) for line in lines]
    claims.sort(key=lambda c: str(c["id"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(claims, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def ordered(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in (*FIELDS, *MORE)}
