"""Refusals: why a checkpoint could not be loaded, and what to do, in place of another library's traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def why_not(error: BaseException, name: str, revision: str | None) -> str:
    """A sentence of what stood in the way, and of what to do next."""
    chain = list(causes(error))

    def met(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    first = next(iter(str(error).splitlines()), type(error).__name__)
    if Path(name).is_dir() and "trust_remote_code" not in str(error):
        return first
    if met(GatedRepoError):
        return (
            f"its owner asks who you are. Accept its terms on https://huggingface.co/{name}, log in with `hf auth "
            "login` (or set HF_TOKEN), and run again."
        )
    if met(RevisionNotFoundError):
        return f"the repository has no revision {revision!r}: name a branch, a tag or a commit that it has."
    if met(RepositoryNotFoundError):
        return (
            "the hub has no such repository, or does not show it to you. Check org/name letter by letter; for a "
            "private one log in with `hf auth login`, or set HF_TOKEN."
        )
    if constants.HF_HUB_OFFLINE or met(OfflineModeIsEnabled):
        return (
            f"it is not among the downloads of this machine, and the hub is switched off (HF_HUB_OFFLINE). Run "
            f"`hf download {name}` where there is a network, or give the folder of a checkpoint. ({first})"
        )
    if met(LocalEntryNotFoundError, ConnectionError):
        return (
            f"it is not among the downloads of this machine, and the hub cannot be reached. Run `hf download {name}` "
            f"where there is a network, or give the folder of a checkpoint. ({first})"
        )
    if "trust_remote_code" in str(error):
        return (
            "it brings its own code, which is not run unless you allow it. Read it first; then say "
            "--causal-trust-remote-code, or Settings(trust_remote_code=True), which is recorded beside every verdict."
        )
    return first


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
