"""Which model a name stands for, learnt from its files alone: nothing is opened, imported or run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from causaltest.effects import Measured, members_of
from causaltest.errors import RecordError
from causaltest.identity.model_files import described
from causaltest.identity.organism_files import organism_identity

ORGANISM = "organism:"
COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*")


def identity_of(name: str) -> dict[str, Any]:
    """What is hashed of a model: its name, and what its weights, tokenizer and settings are known by.

    Of a folder these are the hashes of its files, of an organism those of its weights or of the source that wires it.
    A repository of the hub is known by its commit, which names every file of it.

    Raises RecordError for a model that cannot be identified, and says what to do.
    """
    if name.startswith(ORGANISM):
        return {"name": name, **organism_identity(name.removeprefix(ORGANISM))}
    folder = Path(name)
    if folder.is_dir():
        # The folder's own name: the way to it is another on every machine.
        return {"name": folder.resolve().name, **described(folder)}
    if name.startswith((".", "/", "~")):
        raise RecordError(f"There is no folder {name}. A model is a folder, organism:NAME, or org/name@revision.")
    repository, _, revision = name.partition("@")
    return {"name": repository, "commit": commit_of(repository, revision or "main")}


def commit_of(repository: str, revision: str) -> str:
    """The commit that a revision stands for in the local cache of the hub; nothing is asked of the network.

    Raises RecordError where the cache does not have it.
    """
    if COMMIT.fullmatch(revision):
        return revision
    cache = hub_cache()
    folder = cache / f"models--{repository.replace('/', '--')}"
    if REVISION.fullmatch(repository) and REVISION.fullmatch(revision) and ".." not in f"{repository}/{revision}":
        try:
            commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            commit = ""
        if COMMIT.fullmatch(commit):
            return commit
    raise RecordError(
        f"Which commit {repository}@{revision} stands for is not known: it is not in the cache of the hub ({cache}). "
        f"Download it first (hf download {repository} --revision {revision}), or name the commit itself: "
        f"{repository}@ and its 40 hexadecimal digits."
    )


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it downloaded, by the variables that it reads itself."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(variable):
            return Path(given).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def other_model(models: Iterable[Mapping[str, Any]], measured: Iterable[Measured | None]) -> str | None:
    """A sentence where the weights that were loaded are not those of the spec; None where they are, or nothing tells.

    `models` are those of the spec. A file can change after it was loaded, and a branch of the hub can move.
    """
    models = list(models)
    for effect in measured:
        for member in members_of(effect):
            if member.numbers is None:
                continue
            for kind in ("weights", "commit"):
                known = {str(model[kind]) for model in models if kind in model}
                loaded = set(filter(None, member.numbers.provenance.get(kind, "").split("; ")))
                if known and loaded - known:
                    return (
                        f"{member.numbers.provenance.get('model', 'the model')} was measured with {kind} "
                        f"{min(loaded - known)[:8]}, and its files are now {kind} {min(known)[:8]}: they changed after "
                        "the model was loaded. Run again."
                    )
    return None
