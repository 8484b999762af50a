"""What a sweep of 64 pairs takes above the model's own memory. Runs in a process of its own, as every row does."""

from __future__ import annotations

import dataclasses
import resource
import sys

import torch

from benchmarks import ours
from benchmarks.models import gpt2_small, problem, random_pairs
from benchmarks.row import Options, Row
from causaltest import index, resid_post

PAIRS = 64
POSITIONS = (0, 7, 14, 21)
"""The first position is in it: its forwards are the longest."""


def sixty_four(_: Options) -> list[Row]:
    given, pairs = problem(gpt2_small()), random_pairs(PAIRS)
    with torch.inference_mode():
        given.model(given.corrupt)
    before = peak_gb()
    took = ours.sweep(given, resid_post(range(given.layers), index(*POSITIONS)), pairs=pairs)
    more = peak_gb() - before
    row = Row(
        "peak memory over the model's own, 64 pairs, 12 layers x 4 positions, GPT-2 small",
        "",
        unit="GB",
        better="less",
        at_least=1.5,
        aim=1.5,
        ours=f"{more:.2f} GB",
        figure=more,
    )
    note = f"Positions {', '.join(map(str, POSITIONS))} of 28, {took.seconds:.0f} s; {before:.2f} GB before the sweep."
    return [dataclasses.replace(row, notes=note)]


def peak_gb() -> float:
    """The most that this process ever held, in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
