"""A checkpoint folder by its files: weights, config, tokenizer, chat template and generation settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from causaltest.bounded import TooLarge, read_bounded
from causaltest.errors import RecordError
from causaltest.weights import remembered_sha256, weights_of
from causaltest.writing.canonical import digest_of

TOKENIZER = (
    "added_tokens.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)
"""Files that say how a text becomes tokens; beside them stands tokenizer_config.json."""
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
"""What peft saves, and transformers adds to the weights without being asked."""
OF_THE_WRITER = frozenset({"_name_or_path", "_commit_hash", "_from_model_config", "transformers_version"})
"""Entries that say who wrote a file and when, and nothing of the model."""
LARGEST_CONFIG = 64 << 20
"""Bytes of a JSON file that is read."""


def described(folder: Path) -> dict[str, Any]:
    """What is hashed of a checkpoint folder. Raises RecordError without weights, and for a config that is not JSON."""
    return dict(described_at(folder, stamp_of(folder)))


def stamp_of(folder: Path) -> tuple[tuple[object, ...], ...]:
    """What changes with any file of a folder, without reading one."""
    there = [(entry.name, entry.stat()) for entry in folder.iterdir() if entry.is_file()]
    return tuple(sorted((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in there))


@lru_cache(maxsize=64)
def described_at(folder: Path, stamp: object) -> Mapping[str, Any]:
    weights = weights_of(folder)
    adapter = hash_of_files(folder, ADAPTER)
    if not weights:
        raise RecordError(
            f"{folder} holds no weights that a hash could name (model*.safetensors or pytorch_model*.bin), so nobody "
            "could tell which model was registered. Save the model there whole, with save_pretrained."
        )
    config = object_in(folder / "config.json") or {}
    reasoning = config.pop("reasoning", None)
    said = object_in(folder / "tokenizer_config.json")
    templates = {"tokenizer_config.json": (said or {}).pop("chat_template", None)} | {
        str(file.relative_to(folder)): template_in(file)
        for pattern in ("chat_template.*", "additional_chat_templates/*")
        for file in sorted(folder.glob(pattern))
        if file.is_file()
    }
    templates = {name: text for name, text in templates.items() if text}
    given = {
        **weights,
        "adapter": adapter,
        "config": digest_of(without_writer(config)),
        "reasoning": reasoning,
        "tokenizer": digest_of([without_writer(said or {}), hash_of_files(folder, TOKENIZER)]),
        "chat_template": digest_of(templates) if templates else None,
        "generation": without_writer(object_in(folder / "generation_config.json") or {}) or None,
        "code": hash_of_files(folder, sorted(file.name for file in folder.glob("*.py")))
        if "auto_map" in config
        else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def template_in(file: Path) -> str:
    """A chat template. Raises RecordError for one that cannot be read."""
    try:
        return read_bounded(file, LARGEST_CONFIG).decode(errors="replace")
    except OSError as error:
        raise RecordError(f"{file} cannot be read, so the model cannot be identified: {error}") from error


def hash_of_files(folder: Path, names: Any) -> str | None:
    """One hash of those of the files that are there; None where none is."""
    hashes = {name: remembered_sha256(folder / name) for name in names if (folder / name).is_file()}
    return digest_of(hashes) if hashes else None


def without_writer(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in OF_THE_WRITER}


def object_in(file: Path) -> dict[str, Any] | None:
    """The object of a JSON file, None where there is no file. Raises RecordError for anything else."""
    try:
        given = json.loads(read_bounded(file, LARGEST_CONFIG).decode())
    except FileNotFoundError:
        return None
    except TooLarge as error:
        raise RecordError(f"{file} has more than {LARGEST_CONFIG >> 20} MB, and is not read.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{file} cannot be read as JSON, so the model cannot be identified: {error}") from error
    if not isinstance(given, dict):
        raise RecordError(f"{file} holds a {type(given).__name__}, and a config is an object.")
    return given
