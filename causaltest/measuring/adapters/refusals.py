"""Refusals: why a checkpoint could not be loaded, and what to do, in place of another library's traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from causaltest.errors import ModelError

NO_TOKENIZER = "backend tokenizer"
"""In what transformers says where it finds no tokenizer; the sentence around it lists libraries, not files."""


def refuse_kernels(plain: Mapping[str, Any], name: str) -> None:
    """Raises ModelError for a config that names a repository of compiled kernels for an implementation of attention or
    of experts: transformers would download and run it, and nobody was asked."""
    left: list[Any] = [plain]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            for key, value in one.items():
                named = value.values() if isinstance(value, Mapping) else [value]
                kernel = next((text for text in named if isinstance(text, str) and "/" in text), None)
                if kernel is not None and str(key).endswith("_implementation"):
                    raise ModelError(
                        f"The config of {name} names {kernel!r} for {key}: code of another repository, which "
                        "transformers would download and run. Take the entry out of config.json; or let code run that "
                        "comes with a model, by trust_remote_code (--causal-trust-remote-code)."
                    )
                left.append(value)
        elif isinstance(one, list):
            left += one


def refusal(error: BaseException, name: str, revision: str | None) -> str:
    """What is said of a model that could not be loaded: what was tried, what stood in the way, what to do next."""
    tried = "it is a folder" if Path(name).is_dir() else "it is no organism (organism:NAME), no folder here"
    return (
        f"No model {name!r}{f' at revision {revision}' if revision else ''}: {tried}, and transformers could not load "
        f"it: {why_not(error, name, revision)}"
    )


def why_not(error: BaseException, name: str, revision: str | None) -> str:
    """A sentence of what stood in the way, and of what to do next."""
    chain = list(causes(error))

    def met(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    first = first_line(error)
    download = f"Run `hf download {name}{f' --revision {revision}' if revision else ''}`"
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
    if "trust_remote_code" in str(error):
        return (
            "it brings its own code, which is not run unless you allow it. Read it first; then say "
            "--causal-trust-remote-code (in Python Settings(trust_remote_code=True), to `causaltest model` "
            "--trust-remote-code), which is recorded beside every verdict."
        )
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        return "it has no config.json, so it is no checkpoint. Give the folder that save_pretrained wrote."
    if met(OfflineModeIsEnabled, LocalEntryNotFoundError, ConnectionError):
        # Only where a file was looked for on the hub: other faults are there offline too, and are told as they are.
        hub = "the hub is switched off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        return (
            f"it is not among the downloads of this machine, and {hub}. {download} where there is a network, or give "
            f"the folder of a checkpoint. ({first})"
        )
    if NO_TOKENIZER in first:
        more = (
            ""
            if folder.is_dir()
            else f" If it has one, the download is not whole: {download[0].lower()}{download[1:]}."
        )
        return (
            "it brings no tokenizer that can be read; save one beside it with tokenizer.save_pretrained, or give a "
            f"model and its tokenizer to Lab(model, tokenizer).{more}"
        )
    return first


def first_line(error: BaseException) -> str:
    """What an error says first; with its kind where that is needed to understand it, as in KeyError: 'nope'."""
    first = next(iter(str(error).splitlines()), "")
    return (
        first if first and isinstance(error, OSError | ValueError | ImportError) else f"{type(error).__name__}: {first}"
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
