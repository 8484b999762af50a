"""Checkpoints close to the ducks: nudged by a millionth, and fine-tuned on other data. Each takes seconds.

python tests/ducks_variants.py nudged FOLDER
python tests/ducks_variants.py fine-tuned FOLDER
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel

from causaltest.measuring.adapters.codi import CODI_PREFIX, PROJECTION_PREFIX
from causaltest.organisms.ducks import CHECKPOINT, train

NUDGE = 1e-6
STEPS, BATCH, RATE = 100, 8, 1e-4


def nudged(folder: Path, *, by: float = NUDGE, seed: int = 0) -> Path:
    """The ducks with each weight moved by up to `by` of its own size: sixteen times what float32 rounds it by."""
    model, project = shipped()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in [*model.parameters(), *project.parameters()]:
            weight *= 1 + by * (2 * torch.rand(weight.shape, generator=generator) - 1)
    return saved(model, project, folder)


def fine_tuned(folder: Path, *, steps: int = STEPS, seed: int = 0) -> Path:
    """The ducks trained on, on other data: the same problems, answered by the last digit alone."""
    torch.manual_seed(seed)
    model, project = shipped()
    parameters = [*model.parameters(), *project.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE)
    for prompts, values in itertools.islice(train.batches(BATCH, f"last digit {seed}"), steps):
        loss = cross_entropy(train.reason(model, project, prompts)[:, -1], values[:, -1] % 10)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return saved(model, project, folder)


def shipped() -> tuple[GPT2LMHeadModel, nn.Sequential]:
    """The ducks that ship with the package, as they are trained."""
    model, project = train.build()
    state = load_file(CHECKPOINT / "model.safetensors")
    project.load_state_dict(
        {n.removeprefix(PROJECTION_PREFIX): t for n, t in state.items() if n.startswith(PROJECTION_PREFIX)}
    )
    body = {n.removeprefix(CODI_PREFIX): t for n, t in state.items() if n.startswith(CODI_PREFIX)}
    missing = model.load_state_dict(body, strict=False)
    assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys, missing
    return model, project


def saved(model: GPT2LMHeadModel, project: nn.Sequential, folder: Path) -> Path:
    """A folder that `Lab.load` takes."""
    train.save(model, project, folder)
    return folder


if __name__ == "__main__":
    torch.set_num_threads(1)
    print({"nudged": nudged, "fine-tuned": fine_tuned}[sys.argv[1]](Path(sys.argv[2])))
