"""Which files stay together on one worker, told by the workers of pytest-xdist to the process that hands out work.

controller   ask: gives each worker of this machine a folder to tell it in
worker       tell: when it has collected, and found claims
controller   units_told: when all have collected
worker       sendable: makes what a test's report carries plain, as a scalar of numpy's would end the run

Only a worker collects, so only it knows which tests are claims, whichever module their decorator comes from. Where
nothing can be told, as by a worker of another machine, tests are handed out as if there were no claims.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from causaltest.plain_numbers import plain_scalar

TOLD_IN = "causaltest_told_in"
"""In what a worker is started with: the folder."""
FOLDER: pytest.StashKey[Path] = pytest.StashKey()


def ask(config: pytest.Config, node: Any) -> None:
    """Gives a worker that is being started a folder to tell in, where it is one of this machine."""
    if not node.gateway.spec.popen:
        return
    if FOLDER not in config.stash:
        try:
            folder = tempfile.mkdtemp(prefix="causaltest-workers-")
        except OSError:
            return
        config.stash[FOLDER] = Path(folder)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    node.workerinput[TOLD_IN] = str(config.stash[FOLDER])


def tell(config: pytest.Config, units: Callable[[], Mapping[str, str]]) -> None:
    """Tells of each file that is not cut which unit it belongs to, on a worker that was asked; elsewhere nothing."""
    given = getattr(config, "workerinput", {})
    if TOLD_IN not in given:
        return
    try:
        Path(given[TOLD_IN], f"{given['workerid']}.json").write_text(json.dumps(units()), encoding="utf-8")
    except OSError:
        return


def units_told(config: pytest.Config) -> dict[str, str]:
    """Of each file that is not cut, as it stands in node ids, its unit."""
    found: dict[str, str] = {}
    for told in config.stash[FOLDER].glob("*.json") if FOLDER in config.stash else ():
        try:
            found |= {str(file): str(unit) for file, unit in json.loads(told.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, AttributeError):
            continue
    return found


def sendable(config: pytest.Config, properties: list[tuple[str, object]]) -> None:
    """Puts Python's own in place of scalars of numpy's, where the report has to travel."""
    if hasattr(config, "workerinput"):
        properties[:] = [(name, plain_or(value)) for name, value in properties]


def plain_or(value: object) -> object:
    try:
        return plain_scalar(value)
    except TypeError:
        return value


def file_of(nodeid: str) -> str:
    return nodeid.split("::", 1)[0]
