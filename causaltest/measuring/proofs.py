"""Shortcuts, proven on the numbers of a model's first prompt before any is taken.

A patched run that begins in the middle is right only where nothing before the patch can change: not
under attention that looks ahead, nor in a model whose state cannot be forked. So a few patched runs
are computed both ways, with vectors large enough that a difference shows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.engine import WHOLE, Columns, Patch, Shortcuts, written_out
from causaltest.measuring.planner import Limits, Rows, plan
from causaltest.measuring.timeline import timeline
from causaltest.measuring.trajectory import Run, run, run_wave, vocabulary_of

STREAM: tuple[Component, ...] = ("embed", "resid_pre", "resid_post")
LARGE = 3.0
"""The size of the probes' vectors, relative to the stream's own."""
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
ROUGH = 0.1
"""Relative to the largest logit; rounding in half precision is that coarse, a wrong run is off by more."""


@torch.inference_mode()
def prove(model: LoadedModel, prompt: Tensor) -> Shortcuts:
    """What holds for a model, from one prompt. [1, token]"""
    places = probes(model, prompt)
    prompts = prompt.expand(len(places), -1)
    try:
        base = run(model, prompt, new_tokens=1, record=STREAM, keep_keys=True)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
        return replace(WHOLE, why=f"its keys and values cannot be kept ({type(error).__name__}: {error})")
    stream = [base.activations["resid_post", layer][0, position] for layer, position in places]
    generator = torch.Generator().manual_seed(0)
    vectors = []
    for own in stream:
        drawn = torch.randn(own.shape, generator=generator).to(own)
        vectors.append(own + drawn * (LARGE * own.norm() / drawn.norm()))
    whole = run(model, prompts, new_tokens=1, patches=written(model, places, vectors), shortcuts=WHOLE)
    within = rounding_at_most(model.model.dtype) * float(whole.logits.abs().max())
    why = ""
    all_of_them = Shortcuts(fused=written_out(model))
    for shortcuts in (all_of_them, replace(all_of_them, trims=False), Shortcuts(trims=False)):
        try:
            forked = fork(model, prompt, places, vectors, base, shortcuts)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            why = f"{type(error).__name__}: {error}"
            continue
        off = float((forked.logits - whole.logits).abs().max())
        if off <= within:
            return shortcuts
        why = f"a run that begins at its patch is off by {off:.2g} from the whole run"
    return replace(WHOLE, why=why)


def rounding_at_most(dtype: torch.dtype) -> float:
    """What rounding may move a logit by, relative to the largest: more is another run."""
    return TOLERANCE.get(dtype, ROUGH)


def probes(model: LoadedModel, prompt: Tensor) -> list[tuple[int, int]]:
    """Blocks and positions that are patched: low and high, early and late, and in a thought."""
    layers, last = len(model.blocks), prompt.shape[1] - 1
    places = [(0, last // 2), (layers // 2, last // 2), (max(layers - 2, 0), last // 3), (layers // 2, last)]
    if model.reasoning is not None:
        places.append((layers // 2, prompt.shape[1] + len(model.reasoning.begin)))
    return sorted(set(places), key=lambda place: (place[1], place[0]))


def fork(
    model: LoadedModel,
    prompt: Tensor,
    places: list[tuple[int, int]],
    vectors: list[Tensor],
    base: Run,
    shortcuts: Shortcuts,
) -> Run:
    """The probes as rows that begin at their patch, in the order of the places."""
    layers, segments = len(model.blocks), timeline(model, prompt.shape[1], 1)
    index = np.arange(len(places))
    join, start = (np.array(column) for column in zip(*((min(p[0] + 1, layers), p[1]) for p in places), strict=True))
    waves = plan(Rows(index, index * 0, start, join), segments, layers, Limits(1 << 20, 1 << 10, 0))
    vocabulary, _ = vocabulary_of(model)
    columns = Columns(torch.arange(vocabulary, device=prompt.device), all_computed=True)
    logits = torch.empty(len(places), 1, vocabulary, device=prompt.device)
    for wave in waves:
        arms = wave.rows.arm.tolist()
        patches = written(model, [places[a] for a in arms], [vectors[a] for a in arms])
        ran = run_wave(model, prompt, wave, segments, columns=columns, base=base, patches=patches, shortcuts=shortcuts)
        logits[torch.from_numpy(wave.rows.arm).to(prompt.device)] = ran.logits.to(logits.dtype)
    return Run(torch.empty(0), logits, torch.isfinite(logits).all(-1).all(-1))


def written(model: LoadedModel, places: list[tuple[int, int]], vectors: list[Tensor]) -> list[Patch]:
    """One patch per row."""
    patches = []
    for row, ((layer, position), vector) in enumerate(zip(places, vectors, strict=True)):
        slot, at = (torch.tensor([n]) for n in (row, position))
        last = layer + 1 == len(model.blocks)
        component: Component = "resid_post" if last else "resid_pre"
        patches.append(Patch(component, layer if last else layer + 1, None, slot, at, vector[None]))
    return patches
