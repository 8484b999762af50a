"""Commits: which state of a repository a branch or a tag stands for."""

from __future__ import annotations

import re
from typing import Any

from transformers.utils import hub

COMMIT = re.compile(r"[0-9a-f]{40}")


def pinned(name: str, revision: str | None) -> str | None:
    """A revision that names one commit, for the tokenizer and the weights alike, where transformers can tell; else as
    it is given. It reads as the revision that was asked for."""
    # Releases before it existed keep the commit in the model's config.
    resolve = getattr(hub, "resolve_revision", None)
    found: str | None = revision if resolve is None else resolve(name, revision)
    return found


def commit_of(revision: str | None, config: Any) -> str | None:
    """The commit that was loaded, None for a folder."""
    found = getattr(revision, "resolved", None) or getattr(config, "_commit_hash", None)
    if found is None and revision is not None and COMMIT.fullmatch(revision):
        found = revision
    return None if found is None else str(found)
