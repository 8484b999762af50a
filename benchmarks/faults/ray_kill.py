"""A node of a cluster is killed halfway: its tasks are done by others, and no number is another."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.faults.ray_work import ask, same, saved, serial, some_pairs, workers
from benchmarks.faults.result import Result
from causaltest.measuring.executors.ray import leave, ray_module
from causaltest.measuring.executors.spread import Spread

PAIRS, SITES, TOKENS, TIMES = 96, 10, 16, 10
TRIES = 5
"""At most so many kills for each that strikes while its plan runs."""
SIZES = {"n_layer": 8, "n_embd": 512, "n_head": 4}


@dataclass(frozen=True)
class Survived:
    """What came of the kills."""

    kills: int
    halfway: int
    """Those that were heard of before their plan was done."""
    replaced: int
    """Workers that were seen to be lost."""
    wrong: int
    """Maps that were lost, or were not those of one process to the last bit."""
    twice: int
    """Unpatched runs that were computed by both workers, while nobody was killed."""


@contextmanager
def two_machines() -> Iterator[Any]:
    """A cluster of two nodes with a processor each; the second can be killed, and another be added."""
    ray_module()
    from ray.cluster_utils import Cluster as Nodes

    torch.set_num_threads(1)
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        ray_module().init(address=nodes.address, log_to_driver=False, configure_logging=False)
        yield nodes
    finally:
        leave()
        nodes.shutdown()


def kill_node(nodes: Any, node: Any) -> None:
    """Ends a node's raylet as a power cut would, and with it all its workers."""
    for process in node.all_processes["raylet"]:
        os.kill(process.process.pid, signal.SIGKILL)
    nodes.remove_node(node, allow_graceful=False)


def at_runs(backend: Spread, runs: int, act: Callable[[], None]) -> threading.Thread:
    """Has something done once so many patched runs were heard of."""

    def watch() -> None:
        while backend.counted().get("patched_runs", 0) < runs:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def killed(times: int = TIMES, *, pairs: int = PAIRS, sites: int = SITES, tokens: int = TOKENS) -> Survived:
    """Kills one of two nodes halfway through a plan, and gives the cluster another, until so many were heard of before
    their plan was done; after a plan in which nobody is killed."""
    with saved(**SIZES) as name, two_machines() as nodes:
        node = nodes.add_node(num_cpus=1)
        plain, backend = serial(name), workers(name, 2)
        before, mine = backend.counted(), some_pairs(pairs, tokens, seed=0)
        wrong = int(not same(ask(backend, mine, sites), ask(plain, mine, sites)))
        twice = backend.counted()["reference_runs"] - before["reference_runs"] - plain.counted()["reference_runs"]
        kills = halfway = 0
        while halfway < times and kills < TRIES * times:
            while len(backend.crew.ready) < 2:
                backend.clean(some_pairs(1, 4, seed=-1))
            mine = some_pairs(pairs, tokens, seed=kills + 1)
            runs = backend.counted()["patched_runs"] + pairs * sites * (1 + kills % 3) // 4
            thread = at_runs(backend, runs, partial(kill_node, nodes, node))
            made = ask(backend, mine, sites)
            thread.join()
            kills += 1
            halfway += backend.crew.replaced == kills
            wrong += not same(made, ask(plain, mine, sites))
            while backend.crew.replaced < kills:
                # The other node had done all that was left. Every worker is told of a plan, so the loss is heard.
                ask(backend, some_pairs(2, 4, seed=-1 - kills), 1)
            node = nodes.add_node(num_cpus=1)
        return Survived(kills, halfway, backend.crew.replaced, wrong, twice)


def run() -> Sequence[Result]:
    found = killed()
    return [
        Result(
            figure="Ray node killed halfway: results lost or different",
            at_least="0",
            aim="0",
            measured=str(found.wrong),
            held=found.wrong == 0 and found.replaced == found.kills and found.halfway == TIMES,
            how=f"{found.kills} times the raylet of one of two nodes, by SIGKILL, a quarter to three quarters through "
            f"{PAIRS * SITES} patched runs; {found.replaced} workers lost and replaced, {found.halfway} of them while "
            "their plan ran; every number held against one process's",
        )
    ]
