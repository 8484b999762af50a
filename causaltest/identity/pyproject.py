"""What the nearest pyproject.toml says of models' modules: what names them, and what a key of the store has of that."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from causaltest.bounded import read_bounded

LARGEST_TOML = 1 << 20
"""Bytes of a pyproject.toml that is read."""
TABLE = ("tool", "causaltest", "models")


def said_of_models(folder: Path) -> tuple[Path | None, Any]:
    """The nearest pyproject.toml, from a folder upwards, and its `[tool.causaltest.models]`; empty where it has none.

    What stands in the place of a table is given as it is, for whoever refuses it.
    """
    file = next((f for place in (folder, *folder.parents) if (f := place / "pyproject.toml").is_file()), None)
    if file is None:
        return None, {}
    try:
        said: Any = tomllib.loads(read_bounded(file, LARGEST_TOML).decode())
    except (OSError, ValueError, RecursionError):
        # Another tool's file that is broken is that tool's to report; there is nothing to read here.
        return file, {}
    for key in TABLE:
        said = said.get(key, {}) if isinstance(said, dict) else said
    return file, said
