"""Proofs remembered: what was resolved and proven of a model's weights, so that it is done once.

A proof is kept under everything that could change it: the weights, the configuration, the masks of a reasoner, the
dtype, the versions of torch and transformers, what the user names by hand, and the source of this package's own
measuring room. Where there is nowhere to write, or the weights have no name, the model is proven again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from causaltest.bounded import read_bounded
from causaltest.kept import cache_folder, keep
from causaltest.measuring.adapters.decoder import find
from causaltest.measuring.adapters.model import Block, LoadedModel, Tap
from causaltest.measuring.adapters.overrides import names_for
from causaltest.measuring.timeline import run_length
from causaltest.store.kept import OWN_CLASS

LARGEST = 64 << 20
"""Bytes of a proof that is read."""


def recall(model: LoadedModel, prompt: Tensor) -> LoadedModel | None:
    """The model as it was proven before; None when it was not, or what was kept does not fit it."""
    file = file_of(model, prompt)
    if file is None:
        return None
    try:
        kept = json.loads(read_bounded(file, LARGEST).decode())
        blocks = tuple(bound(block.block, said) for block, said in zip(model.blocks, kept["blocks"], strict=True))
        norm = None if kept["norm"] is None else module(model.model.base_model, kept["norm"])
        return replace(model, blocks=blocks, norm=norm, disabled={**kept["disabled"], **model.disabled})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def remember(model: LoadedModel, prompt: Tensor) -> None:
    """Keeps what was proven; says nothing where it cannot be written."""
    file = file_of(model, prompt)
    if file is None:
        return
    paths = {part: path for path, part in model.model.base_model.named_modules()}
    data = {
        "model": model.name,
        "disabled": dict(model.disabled),
        "blocks": [plain(block) for block in model.blocks],
        "norm": None if model.norm is None else paths[model.norm],
    }
    keep(file, data)


def file_of(model: LoadedModel, prompt: Tensor) -> Path | None:
    """Where a model's proof is kept; None for weights that no file or commit identifies, and for a class or an
    attention function whose source may change beside them."""
    weights = model.provenance.get("weights") or model.provenance.get("commit")
    if weights is None or OWN_CLASS in model.provenance or not type(model.model).__module__.startswith("transformers."):
        return None
    reasoning = model.reasoning
    said = {
        "weights": weights,
        "class": type(model.model).__name__,
        "config": model.model.config.to_json_string(),
        "attention": model.model.config._attn_implementation,
        "dtype": str(model.model.dtype),
        "device": model.device.type,
        "reasoning": None if reasoning is None else [reasoning.thoughts, reasoning.begin, reasoning.end],
        "mask": None
        if model.mask is None
        else digest_of(model.mask(prompt.shape[1], run_length(model, prompt.shape[1], 1))),
        "prompt": prompt.tolist(),
        "names": asdict(names_for(model.model)),
        "versions": [torch.__version__, transformers.__version__, version("causaltest")],
        "source": source_digest(),
    }
    key = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
    return cache_folder() / "proofs" / f"{key}.json"


@cache
def source_digest() -> str:
    """A hash of the measuring room's source: another resolver or another proof may find something else."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def digest_of(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()


def plain(block: Block) -> dict[str, Any]:
    """A block's modules by their paths inside of it."""
    paths = {module: path for path, module in block.block.named_modules()}
    return {
        "taps": {
            name: [paths[tap.module], tap.side, as_numbers(tap.parts), tap.scale, tap.overwritten, tap.flat]
            for name, tap in block.taps.items()
        },
        "into": {name: [paths[module] for module in modules] for name, modules in block.into.items()},
        "trimmed": [[paths[module] for module in modules] for modules in block.trimmed],
    }


def bound(block: nn.Module, said: Mapping[str, Any]) -> Block:
    """The inverse of `plain`. Raises AttributeError for a module that is not there."""
    taps = {
        name: Tap(module(block, path), side, as_ranges(parts), scale, overwritten, flat)
        for name, (path, side, parts, scale, overwritten, flat) in said["taps"].items()
    }
    into = {name: tuple(module(block, path) for path in paths) for name, paths in said["into"].items()}
    trimmed = tuple((module(block, begin), module(block, end)) for begin, end in said["trimmed"])
    return Block(block, taps, into, trimmed)


def module(block: nn.Module, path: str) -> nn.Module:
    found = find(block, path)
    if found is None:
        raise AttributeError(path)
    return found


def as_numbers(parts: tuple[range, ...]) -> list[Any]:
    """[width, first, stride, count], or [width, starts] of parts that are not evenly apart."""
    starts, width = [part.start for part in parts], len(parts[0])
    strides = {after - before for before, after in pairwise(starts)}
    return [width, starts] if len(strides) > 1 else [width, starts[0], *(strides or {width}), len(starts)]


def as_ranges(numbers: list[Any]) -> tuple[range, ...]:
    width, first, *more = numbers
    starts = first if not more else [first + n * more[0] for n in range(more[1])]
    return tuple(range(start, start + width) for start in starts)
