"""Covered: whether a run of pytest takes every test of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

SELECTING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf")
"""Pytest's options, as it names them, by which some of the tests that were named do not run."""


def covers(config: pytest.Config, folder: Path) -> bool:
    """Whether a folder was named whole, and nothing selects among its tests."""
    if any(getattr(config.option, name, None) for name in SELECTING):
        return False
    named = [(config.invocation_params.dir / str(argument)).resolve() for argument in config.args]
    return any(folder == path or path in folder.parents for path in named)
