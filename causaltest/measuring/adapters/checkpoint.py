"""Checkpoint folders: a config, and tensors by name in one file or in safetensors shards.

Nothing in a checkpoint is executed. A .bin is a pickle, so it is read as tensors only, and an index names
files of its own folder only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from causaltest.bounded import read_bounded
from causaltest.errors import ModelError

SINGLE, INDEX, BIN = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
LARGEST_JSON = 64 << 20
"""Bytes of a config or an index that is read."""
SHOWN = 3
"""How many names an error lists."""


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder. Raises ModelError when there is none, or it is no JSON object."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{folder} holds weights and no config.json. Copy the config and the tokenizer of the model that was "
            "trained into it: published checkpoints of latent reasoners hold only what was added."
        )
    return read_object(path)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name.

    Raises ModelError when there is no weights file or more than one, when one is damaged, and when a .bin holds
    more than tensors.
    """
    there = weight_files(folder)
    if not there:
        raise ModelError(
            f"{folder} holds neither {SINGLE} nor {BIN}, nor shards with {INDEX}. Weights of another name, such as "
            f"checkpoint_33, are read as {BIN}: rename them."
        )
    if len(there) > 1:
        raise ModelError(
            f"{folder} holds {' and '.join(there)}, and which of them is the model cannot be known. Keep one."
        )
    if there[0] == BIN:
        return read_bin(folder / BIN)
    if there[0] == SINGLE:
        return read_safetensors(folder / SINGLE)
    state: dict[str, Tensor] = {}
    for file, names in shards(folder).items():
        shard = read_safetensors(folder / file)
        if set(shard) != names:
            raise ModelError(
                f"{folder / file} does not hold what {INDEX} says: {listed(set(shard) ^ names)}. The files belong to "
                "different checkpoints, or one is damaged."
            )
        state |= shard
    return state


def weight_files(folder: Path) -> list[str]:
    """Those of the files that can hold a checkpoint's weights which are there."""
    return [name for name in (SINGLE, INDEX, BIN) if (folder / name).is_file()]


def weight_names(folder: Path) -> frozenset[str]:
    """The names of a checkpoint's tensors, whichever file they lie in; the tensors themselves are not read."""
    names: set[str] = set()
    for there in weight_files(folder):
        if there == SINGLE:
            names |= safetensors_names(folder / SINGLE)
        elif there == INDEX:
            names = names.union(*shards(folder).values())
        else:
            names |= set(read_bin(folder / BIN))
    return frozenset(names)


def shards(folder: Path) -> dict[str, set[str]]:
    """The tensors' names of each shard, by the index."""
    path = folder / INDEX
    placed = read_object(path).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise ModelError(f'{path} has no "weight_map": {{tensor: file}}, so it names no shard.')
    files: dict[str, set[str]] = {}
    for name, file in placed.items():
        # Only a plain name: a path could lead out of the folder, to whatever lies there.
        if not isinstance(file, str) or not file.endswith(".safetensors") or any(c in file for c in "/\\:\0"):
            raise ModelError(
                f"{path} says that {name} lies in {file!r}. A shard is a .safetensors file of the same folder, "
                "named without a path."
            )
        files.setdefault(file, set()).add(name)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ModelError(
            f"{path} names {listed(missing)}, and the folder has no such file. Download the checkpoint whole."
        )
    return files


def read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged, and is not read: {error}. Download it again.") from error


def safetensors_names(path: Path) -> set[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys())
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged, and is not read: {error}. Download it again.") from error


def read_bin(path: Path) -> dict[str, Tensor]:
    """A pickle's tensors, mapped from the file. Raises ModelError when it holds anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped(path))
    except Exception as error:  # a stranger's bytes: whatever the unpickler says to them, they are no tensors alone
        raise ModelError(
            f"{path} holds more than tensors, or is damaged, and is not read: unpickling it could run code. "
            f"Save the weights as {SINGLE}."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelError(
            f"{path} is not a model's state, one tensor per name. Where the state is a part of it, save that part "
            "alone."
        )
    return dict(state)


def zipped(path: Path) -> bool:
    """Whether a .bin is an archive, as torch writes it since 1.6; only that can be mapped."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def read_object(path: Path) -> dict[str, Any]:
    try:
        given = json.loads(read_bounded(path, LARGEST_JSON).decode())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ModelError(f"{path} holds a {type(given).__name__}, and an object is needed.")
    return given


def parted(
    state: Mapping[str, Tensor], name: str, *, kept: tuple[str, ...], dropped: tuple[str, ...] = ()
) -> tuple[list[dict[str, Tensor]], dict[str, str]]:
    """The tensors under each kept prefix, named without it, and a note of those that were dropped.

    Raises ModelError when a tensor is under none of the prefixes.
    """
    known = (*kept, *dropped)
    unknown = [key for key in state if not key.startswith(known)]
    if unknown:
        raise ModelError(
            f"{name}: the checkpoint has left over {listed(unknown)} ({len(unknown)}). Its layout has tensors under "
            f"{', '.join(kept)}, and {', '.join(dropped) or 'no others'} may stand beside them."
        )
    notes: dict[str, str] = {}
    if counted := [f"{p}* ({n})" for p in dropped if (n := sum(key.startswith(p) for key in state))]:
        notes["not used"] = f"{', '.join(counted)}: tensors of training, which inference has no use for"
    return [under(prefix, state) for prefix in kept], notes


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def load_into(module: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Loads every tensor into a module. Raises ModelError unless names and shapes fit exactly.

    A tied tensor may be left out, or be given under both of its names if it is the same.
    """
    wanted = module.state_dict()
    twins = tied(wanted)
    missing = [key for key in wanted if key not in state and not twins[key] & set(state)]
    left = [key for key in state if key not in wanted]
    if missing or left:
        raise ModelError(
            f"{name}: the checkpoint does not fit its config. Missing {missing[:SHOWN]} ({len(missing)}), left over "
            f"{left[:SHOWN]} ({len(left)})."
        )
    other = [
        f"{k} is {list(t.shape)}, not {list(wanted[k].shape)}" for k, t in state.items() if t.shape != wanted[k].shape
    ]
    if other:
        more = f" ({len(other)} such tensors)" if len(other) > SHOWN else ""
        raise ModelError(f"{name}: the checkpoint does not fit its config: {'; '.join(other[:SHOWN])}{more}.")
    for key, tensor in state.items():
        for twin in sorted(twins[key] & set(state)):
            if not torch.equal(tensor, state[twin]):
                raise ModelError(
                    f"{name}: the config ties {key} to {twin}, and the checkpoint has two different tensors for them. "
                    'Set "tie_word_embeddings": false in config.json if they were trained apart.'
                )
    module.load_state_dict(state, strict=False)


def tied(state: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """For each name, the other names of the same tensor."""
    names: dict[tuple[int, torch.Size], set[str]] = {}
    for name, tensor in state.items():
        names.setdefault((tensor.data_ptr(), tensor.shape), set()).add(name)
    return {name: names[tensor.data_ptr(), tensor.shape] - {name} for name, tensor in state.items()}


def listed(names: Any) -> str:
    """Some of many names."""
    first = sorted(names)[:SHOWN]
    return ", ".join(first) + (", ..." if len(names) > SHOWN else "")
