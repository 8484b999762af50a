"""Which files have claims, told by the workers of pytest-xdist to the process that hands out their work.

controller   ask: gives each worker of this machine a folder to tell it in
worker       tell: when it has collected, and found claims
controller   claim_files: when all have collected
worker       sendable: makes what a test's report carries plain, as a scalar of numpy's would end the run

Only a worker collects, so only it knows which tests are claims, whichever module their decorator comes from. Where
nothing can be told, as by a worker of another machine, tests are handed out as if there were no claims.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
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


def tell(config: pytest.Config, claims: Iterable[str]) -> None:
    """Tells which node ids are claims, on a worker that was asked; elsewhere nothing happens."""
    given = getattr(config, "workerinput", {})
    if TOLD_IN not in given:
        return
    files = sorted({file_of(nodeid) for nodeid in claims})
    try:
        Path(given[TOLD_IN], f"{given['workerid']}.json").write_text(json.dumps(files), encoding="utf-8")
    except OSError:
        return


def claim_files(config: pytest.Config) -> frozenset[str]:
    """The files that have claims, as they stand in node ids."""
    found: set[str] = set()
    for told in config.stash[FOLDER].glob("*.json") if FOLDER in config.stash else ():
        try:
            found.update(map(str, json.loads(told.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
    return frozenset(found)


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
