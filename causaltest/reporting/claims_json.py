"""--causal-json: one object per claim, in a file that is never half written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from causaltest.writing.whole_file import write_whole

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
    text = json.dumps(claims, indent=2, ensure_ascii=False, allow_nan=False)
    # Half a character, as a model's answer may hold, stands escaped, which JSON reads as it was.
    write_whole(path, f"{text}\n".encode(errors="backslashreplace"))


def ordered(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in (*FIELDS, *MORE)}
