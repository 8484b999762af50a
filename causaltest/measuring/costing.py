"""Costing: a batch's plan as work, memory and time."""

from __future__ import annotations

import statistics
import time

import torch

from causaltest.asking.costs import Cost
from causaltest.asking.methods import Method
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.attribution import passes
from causaltest.measuring.batch import Batch
from causaltest.measuring.budget import Shape

TRIAL_TOKENS = 256
TRIALS = 5
BACK_AND_FORTH = 3
"""A backward pass takes about two forwards."""


def cost_of(batch: Batch, experiments: int, seconds_per_token_layer: float) -> Cost:
    """What running a batch takes."""
    shape = Shape.of(batch.model)
    forwards = token_layers = patched = plain = most = 0
    segments = [batch.segments(chunk, batch.reference_tokens) for chunk in batch.chunks]
    lengths = [segments_of[-1].stop for segments_of in segments]
    references = 2 * sum(lengths[n] * len(chunk.pairs) for n, chunk in enumerate(batch.chunks))
    for planned in batch.plan():
        length = lengths[planned.chunk]
        for wave in planned.waves:
            forwards += len(wave.steps)
            token_layers += sum(step.token_layers(shape.layers) for step in wave.steps)
            patched += len(wave.rows)
            largest = max((step.stop - step.start) * step.rows for step in wave.steps)
            kept = len(wave.rows) * length * shape.row_bytes if len(wave.steps) > 1 else 0
            most = max(most, largest * shape.token_bytes + kept)
        plain += sum(len(w.rows) for w in planned.waves) * length * shape.layers
    chunks = [2 * len(chunk.pairs) * lengths[n] * shape.reference_bytes for n, chunk in enumerate(batch.chunks)]
    token_layers += references * shape.layers
    others = [chunk for pairs in batch.elsewhere for chunk in batch.references.chunks(pairs)]
    token_layers += 2 * sum(len(chunk.pairs) * chunk.prompt_tokens for chunk in others) * shape.layers
    return Cost(
        experiments=experiments,
        pairs=sum(len(chunk.pairs) for chunk in batch.chunks),
        patched_runs=patched,
        reference_runs=2 * sum(len(chunk.pairs) for chunk in (*batch.chunks, *others)),
        forwards=forwards + sum(map(len, segments)),
        token_layers=token_layers,
        plain_token_layers=plain + references * shape.layers,
        seconds=token_layers * seconds_per_token_layer,
        bytes=most + max(max(chunks, default=0), min(sum(chunks), batch.references.budget.for_references)),
        whole=() if batch.references.shortcuts.forks else (batch.references.shortcuts.why,),
    )


def cost_of_estimates(batch: Batch, method: Method, experiments: int, seconds_per_token_layer: float) -> Cost:
    """What estimating a batch by gradients takes: no patched run, and a few runs forth and back for all of them."""
    shape, budget = Shape.of(batch.model), batch.references.budget
    forwards = token_layers = most = pairs = 0
    for number, chunk in enumerate(batch.chunks):
        segments = batch.segments(chunk, batch.new_tokens)
        length, count, ways = segments[-1].stop, len(chunk.pairs), len(passes(batch, number))
        held = min(count, budget.graphs(batch.model, length))
        # The unpatched run once more to check it, then per step one forth, and back twice as long.
        forwards += len(segments) * (1 + ways * -(-count // held) * (1 + (method.steps or 1)))
        token_layers += length * count * shape.layers * (2 + ways * (1 + BACK_AND_FORTH * (method.steps or 1)))
        most = max(most, held * length * shape.layers * shape.token_bytes + 2 * count * length * shape.reference_bytes)
        pairs += count
    return Cost(
        experiments=experiments,
        pairs=pairs,
        reference_runs=2 * pairs,
        forwards=forwards,
        token_layers=token_layers,
        plain_token_layers=token_layers,
        seconds=token_layers * seconds_per_token_layer,
        bytes=most,
    )


@torch.inference_mode()
def seconds_per_token_layer(model: LoadedModel) -> float:
    """What one token takes in one block: measured, in the first block, on tokens of no meaning."""
    shape, weights = Shape.of(model), []
    for parameter in model.blocks[0].block.parameters():
        if parameter.dim() == 2:
            weights.append(parameter)
    taken = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        for weight in weights:
            torch.empty(TRIAL_TOKENS, weight.shape[0], dtype=weight.dtype, device=weight.device).zero_() @ weight
        if not shape.on_cpu:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) / TRIAL_TOKENS
