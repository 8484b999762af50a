"""Records for tests: specs that are plain data, a folder with a lock and a ledger, and git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, Registered, register
from causaltest.recording.spec import Spec
from causaltest.writing.canonical import digest_of

GIT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def fields(**changed: Any) -> dict[str, Any]:
    """The fields of a spec, as far as this room looks at them."""
    return {
        "asked": {"metric": {"name": "accuracy"}, "pairs": "pairs 1", "sites": [{"layers": [6]}]},
        "body": "b" * 64,
        "family": {"name": "test_a.py", "size": 2},
        "models": [{"name": "organism:ducks", "weights": "w" * 64}],
        "pairs": [{"hash": "d" * 64, "number": 256}],
        "prediction": {"relation": "at_least", "threshold": "0.3"},
        "sentence": "The first thought carries the total.",
        "stopping": None,
        **changed,
    }


def spec(id: str, *, threshold: str = "0.3", **changed: Any) -> Spec:
    prediction = {"relation": "at_least", "threshold": threshold}
    return Spec(id, fields(**{"prediction": prediction, "sentence": f"Of {id}.", **changed}))


def entered(record: Record, *specs: Spec, whole: bool = False) -> Registered:
    return register(record, [Candidate(one) for one in specs], whole=whole)


def looked(lock: str, one: Spec, *, status: str = "CONFIRMATORY", previous: str = "") -> dict[str, Any]:
    """A ledger's line, as far as this room looks at it."""
    line = {
        "kind": "look",
        "at": "2026-01-01T00:00:00Z",
        "claim": one.id,
        "spec": one.digest,
        "data": one.data_digest,
        "seed": "0",
        "status": status,
        "verdict": "SUPPORTED",
        "lock": lock,
        "previous": previous,
    }
    return {**line, "hash": digest_of(line)}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=GIT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "begun")
    return folder


def commit(folder: Path, message: str = "changed") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")
