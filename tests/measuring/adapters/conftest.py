"""Checkpoint folders written for a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file


def write(folder: Path, state: dict[str, Any], config: dict[str, Any], tokenizer: Any, kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    if kind == "model.safetensors":
        save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, folder / kind)
    else:
        torch.save(state, folder / kind)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder_with(tmp_path: Path) -> Callable[..., Path]:
    """Writes a state, a config and a tokenizer to a folder."""

    def make(state: Any, config: Any, tokenizer: Any, *, kind: str = "model.safetensors", name: str = "it") -> Path:
        return write(tmp_path / name, state, config, tokenizer, kind)

    return make
