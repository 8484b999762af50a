"""Models by name: an organism, a checkpoint folder, or a repository of the hub."""

from __future__ import annotations

import hashlib
import pickle
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from causaltest.errors import ModelError
from causaltest.measuring.adapters.checkpoint import INDEX, shards
from causaltest.measuring.adapters.families import count_heads, resolve_blocks
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.adapters.reasoners import LOADERS, layout_of

ORGANISM = "organism:"
ORGANISM_GROUP = "causaltest.organisms"


def load_model(name: str) -> LoadedModel:
    """The model of a name. Raises ModelError that says what was tried."""
    if name.startswith(ORGANISM):
        return load_organism(name)
    folder = Path(name)
    if folder.is_dir():
        layout = layout_of(folder)
        loaded = load_decoder(name, None) if layout is None else LOADERS[layout](folder, name, file_provenance(folder))
    elif name.startswith((".", "/", "~")):
        raise ModelError(f"There is no folder {name}. A model is a folder, organism:NAME, or org/name@revision.")
    else:
        repository, _, revision = name.partition("@")
        loaded = load_decoder(repository, revision or None)
    return loaded


def load_organism(name: str) -> LoadedModel:
    found = {point.name: point for point in entry_points(group=ORGANISM_GROUP)}
    wanted = name.removeprefix(ORGANISM)
    if wanted not in found:
        raise ModelError(
            f"There is no organism {wanted!r}; there are {sorted(found) or 'none (is causaltest installed?)'}. "
            "Other models are given as a folder or as org/name@revision."
        )
    loaded: LoadedModel = found[wanted].load()()
    return loaded


def load_decoder(name: str, revision: str | None) -> LoadedModel:
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, trust_remote_code=False, dtype=torch.float32
        )
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"No model {name!r}{f' at revision {revision}' if revision else ''}: it is no organism (organism:NAME), "
            f"no folder here, and transformers could not load it: {str(error).splitlines()[0]}"
        ) from error
    if uncapped(model):
        model.set_attn_implementation("eager")
    commit = str(getattr(model.config, "_commit_hash", None) or revision)
    return wrap(model.eval(), tokenizer, name, file_provenance(Path(name)) or {"revision": commit})


def wrap(model: PreTrainedModel, tokenizer: Any, name: str, provenance: dict[str, str] | None = None) -> LoadedModel:
    """A LoadedModel from a decoder and its tokenizer.

    Raises ModelError for unknown shapes, train mode, and attention that leaves the model's soft cap out.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} gives no character offsets, which positions by text need; "
            "load the fast tokenizer of this model."
        )
    if uncapped(model):
        raise ModelError(
            f"{name} caps its attention scores, and its attention implementation, sdpa, leaves the cap out, so it is "
            'another model than was trained. Load it with attn_implementation="eager".'
        )
    return proven(
        LoadedModel(
            name=name,
            model=model,
            tokenizer=tokenizer,
            blocks=resolve_blocks(model),
            heads=count_heads(model),
            provenance=provenance or {},
        )
    )


def uncapped(model: PreTrainedModel) -> bool:
    """Whether attention scores should be soft-capped and are not."""
    config = model.config.get_text_config(decoder=True)
    return bool(getattr(config, "attn_logit_softcapping", None)) and config._attn_implementation == "sdpa"


def file_provenance(folder: Path) -> dict[str, str]:
    """The weights by their hash; of shards, that of their hashes in the order of their names."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return {"weights": sha256(folder / name)}
    if (folder / INDEX).is_file():
        hashes = "".join(sha256(folder / name) for name in sorted(shards(folder)))
        return {"weights": hashlib.sha256(hashes.encode()).hexdigest()}
    return {}


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, wanted: str) -> str:
    """The file's hash. Raises ModelError when it is not the one that is recorded for it."""
    found = sha256(path)
    if found != wanted:
        raise ModelError(
            f"{path.name} has SHA-256 {found[:16]}..., and {wanted[:16]}... is recorded for it: the file was "
            "changed or damaged. Install causaltest again, or check out the file from version control."
        )
    return found
