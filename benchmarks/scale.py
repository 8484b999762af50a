"""`python -m benchmarks.scale`: the shape of a job of a million patched runs, from the plan of one of its chunks.

Nothing of the job is run but one task and one chunk's unpatched runs, to time them and to weigh what travels. Every
chunk is planned alike, so the job is that many chunks; docs/scale.md has the table and says what each line is made of.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ray import cloudpickle  # as Ray packs it

from benchmarks.faults.ray_work import saved, some_pairs
from causaltest import index, logit_diff, resid_post
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import replace
from causaltest.asking.settings import Settings
from causaltest.asking.sites import Site
from causaltest.measuring.backend import open_backend
from causaltest.measuring.batch import Batch
from causaltest.measuring.budget import Shape
from causaltest.measuring.costing import cost_of
from causaltest.measuring.executors.packed import Packed, lent, packed_readings
from causaltest.measuring.plans import Plan
from causaltest.measuring.readings import Readings, Task

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- shape: written by python -m benchmarks.scale -->", "<!-- /shape -->"
RUNS, TOKENS, LAYERS, POSITIONS = 1_000_000, 24, 12, 20
WORKERS = (1, 8, 64)
TIMES = 5
GPU_FLOPS = 50e12
"""What one GPU is supposed to do on such matrices, in multiplications and additions a second."""
WIRE = 1.25e9
"""Bytes a second of a network of 10 gigabits."""


def main() -> int:
    lines = table()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    print("\n".join(lines))
    return 0


def table() -> list[str]:
    """The job's shape, a line each."""
    torch.set_num_threads(1)
    with saved() as name:
        backend = open_backend(name, None, None, Settings(progress=False))
        sites = [resid_post(layer, index(at)) for layer in range(LAYERS) for at in range(1, 1 + POSITIONS)]
        size = backend.references.budget.pairs(backend.loaded, TOKENS)
        chunks = -(-RUNS // (size * len(sites)))
        batch, _ = backend.opened(plan_of(name, sites, size))
        cost, tasks = cost_of(batch, len(sites), 0.0), batch.tasks()
        weights = Shape.of(backend.loaded).block_weights
        clean = lent(batch.lend(0)).nbytes
        ran = [timed(batch, tasks[len(tasks) // 2]) for _ in range(TIMES)]
        read = weight(packed_readings(ran[0][0]))
        told = len(cloudpickle.dumps(plan_of(name, sites, chunks * size)))
    of_a_task = statistics.median(seconds for _, seconds in ran)
    seconds, flops = chunks * len(tasks) * of_a_task, 2 * chunks * cost.token_layers * weights
    hours = [f"{seconds / 3600 / workers:.2g}" for workers in WORKERS]
    there = [f"{flops / GPU_FLOPS / workers:.2g}" for workers in WORKERS]
    count = chunks * len(tasks)
    return [
        "| | of a chunk | of the job |",
        "|---|---|---|",
        f"| pairs | {size} | {chunks * size:,} in {chunks:,} chunks |",
        f"| patched runs, at {len(sites)} sites | {size * len(sites):,} | {chunks * size * len(sites):,} |",
        f"| clean and corrupt runs | {cost.reference_runs} | {chunks * cost.reference_runs:,} |",
        f"| tokens x layers | {cost.token_layers:,} | {chunks * cost.token_layers:,} |",
        f"| the same with a whole run each | {cost.plain_token_layers:,} | {chunks * cost.plain_token_layers:,} |",
        f"| tasks, of {of_a_task:.1f} s on a core like this one | {len(tasks)} | {count:,} |",
        f"| what every worker is told of the plan | | {told / 2**20:.1f} MiB |",
        f"| what a task sends back | {read / 2**10:,.0f} KiB | {count * read / 2**20:,.0f} MiB |",
        f"| a chunk's clean runs, if they are lent | {clean / 2**20:,.0f} MiB, {clean / WIRE:.1f} s at 10 Gbit/s "
        "| at the end, once for each worker that helps |",
        f"| hours on {', '.join(map(str, WORKERS))} cores like this one | | {', '.join(hours)} |",
        f"| seconds of arithmetic alone on {', '.join(map(str, WORKERS))} GPUs of {GPU_FLOPS / 1e12:.0f} TFLOP/s "
        f"| | {', '.join(there)} |",
    ]


def plan_of(name: str, sites: Sequence[Site], count: int) -> Plan:
    """A sweep of the sites on so many pairs."""
    pairs = some_pairs(count, TOKENS, seed=0)
    patchings = [Patching(name, "denoise", pairs, (site,), replace) for site in sites]
    return Plan(tuple(Experiment(one, "recovery", logit_diff, controls=False) for one in patchings), roughly=True)


def timed(batch: Batch, task: Task) -> tuple[Readings, float]:
    """What a task reads, and its seconds."""
    begun = time.perf_counter()
    readings = batch.run_task(task, lambda runs, forwards: None)
    return readings, time.perf_counter() - begun


def weight(travelling: Any) -> int:
    """Bytes of the numbers in what travels."""
    if isinstance(travelling, Packed):
        return travelling.data.nbytes
    if isinstance(travelling, dict):
        return sum(weight(value) for value in travelling.values())
    if isinstance(travelling, list):
        return sum(map(weight, travelling))
    return getattr(travelling, "nbytes", 0)


if __name__ == "__main__":
    sys.exit(main())
