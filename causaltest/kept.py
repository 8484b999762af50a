"""What can be computed again, kept between runs: small JSON files in the user's cache."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "CAUSALTEST_CACHE_DIR"


def cache_folder() -> Path:
    """Where causaltest keeps what can be computed again: $CAUSALTEST_CACHE_DIR, or the user's cache."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "causaltest"
    except RuntimeError:
        # A user without a home, as in some containers: a path under which nothing can be kept.
        return Path(os.devnull)


def keep(file: Path, data: dict[str, Any]) -> None:
    """Writes a file whole or not at all; says nothing where it cannot be written."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(data, sort_keys=True), encoding="utf-8")
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
