"""What git knows of the lock: whether it was committed, and has not changed since."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Committed:
    """The commit that the lock stands in; empty, with the reason, where it stands in none that counts."""

    commit: str = ""
    head: str = ""
    why_not: str = ""


def committed(file: Path) -> Committed:
    """Whether a file is as it was committed, in the history of HEAD."""
    inside = git(file.parent, "rev-parse", "HEAD")
    if inside is None:
        return Committed(why_not="there is no git repository with a commit here")
    commit = git(file.parent, "log", "-1", "--format=%H", "--", file.name)
    if not commit:
        return Committed(head=inside, why_not=f"{file.name} is not committed")
    if git(file.parent, "status", "--porcelain", "--", file.name):
        return Committed(head=inside, why_not=f"{file.name} has changes that are not committed")
    return Committed(commit, inside)


def git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
