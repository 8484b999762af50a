"""Workers on a Ray cluster: the one at RAY_ADDRESS, or one on this machine that ends with this process.

What travels is pickled by Ray between processes that it has started itself, and that run this package's code. Nothing
of it is ever read from a file; docs/scale.md says who may reach a cluster.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from causaltest.asking.settings import Cluster, Settings
from causaltest.errors import ModelError, WorkersError
from causaltest.measuring.executors.crew import Crew
from causaltest.measuring.executors.pool import Answer
from causaltest.measuring.executors.spread import Spread
from causaltest.measuring.executors.worker import Said, Worker
from causaltest.store.kept import Kept

ADDRESS, AUTHENTICATION = "RAY_ADDRESS", "RAY_AUTH_MODE"
QUIET = {
    # No usage statistics: nothing leaves the machine.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A worker without a GPU sees none, which is what Ray does today and warns that it may not do tomorrow.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
HERE = "127.0.0.1"


def open_spread(name: str | None, model: Any, settings: Settings, kept: Kept | None = None) -> Spread:
    """The backend of a model by name, measured by the workers of a cluster.

    Raises ModelError for a model that is given as an object, and WorkersError where there can be no workers.
    """
    cluster = settings.cluster or Cluster()
    if model is not None or name is None:
        raise ModelError(
            "Workers of a cluster load a model by its name, and this one was given as an object. Save it with "
            'model.save_pretrained(folder) and tokenizer.save_pretrained(folder), and write Lab.load("folder"); or '
            "leave --causal-executor ray out."
        )
    refuse_unplaced(cluster, settings)
    return Spread(name, settings, kept, crew_of(cluster, torch.get_num_threads()))


def refuse_unplaced(cluster: Cluster, settings: Settings) -> None:
    """Raises WorkersError where models would not go to the devices that are asked for."""
    if cluster.workers is not None and cluster.workers < 1:
        raise WorkersError(f"--causal-workers {cluster.workers}: at least one worker measures.")
    if cluster.gpus_per_worker < 0:
        raise WorkersError(f"--causal-gpus-per-worker {cluster.gpus_per_worker}: a share of a GPU is 0 or more.")
    if cluster.gpus_per_worker and settings.device_map is None and settings.quantize is None:
        raise WorkersError(
            f"--causal-gpus-per-worker {cluster.gpus_per_worker:g} gives workers a GPU, and their models would stay on "
            "the processor: add --causal-device-map auto."
        )
    if settings.device_map is not None and not cluster.gpus_per_worker:
        raise WorkersError(
            f"--causal-device-map {settings.device_map} puts models on devices, and workers see none that they were "
            "not given: add --causal-gpus-per-worker 1, or a share such as 0.5."
        )


@cache
def crew_of(cluster: Cluster, threads: int) -> Crew:
    """The workers of this process: Ray knows one cluster per process, and so do all labs of it."""
    ray = ray_module()
    if not ray.is_initialized():
        address = os.environ.get(ADDRESS)
        try:
            if address:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            else:
                refuse_crowded(cluster, threads)
                begin_here((cluster.workers or max(1, processors() // threads)) * threads)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise WorkersError(f"No Ray cluster at {address or 'this machine'}: {error}") from error
    pool = RayPool(ray, threads, cluster.gpus_per_worker)
    return Crew(pool, cluster.workers or pool.room())


def begin_here(processors: int) -> None:
    """Begins a cluster of this machine alone, which nobody reaches from another, and which ends with this process."""
    ray_module().init(
        address="local",
        num_cpus=processors,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _node_ip_address=HERE,
    )


def leave() -> None:
    """Lets the workers of this process go, and ends the cluster if it was started here."""
    crew_of.cache_clear()
    ray = ray_module()
    if ray.is_initialized():
        ray.shutdown()


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_crowded(cluster: Cluster, threads: int) -> None:
    """Raises WorkersError for more threads than this machine has processors: each would wait for the others."""
    workers = cluster.workers or 1
    if workers * threads > max(processors(), threads):
        raise WorkersError(
            f"{workers} workers of {threads} threads each are more than the {processors()} processors of this machine. "
            f"Give each fewer, as OMP_NUM_THREADS={max(1, processors() // workers)}: the number of threads is the same "
            "with workers and without, because it can change the last bits of a number."
        )


def ray_module() -> Any:
    """Ray, told before it is read what it reads from the environment."""
    if "ray" not in sys.modules:
        told = dict(QUIET)
        if ADDRESS not in os.environ and AUTHENTICATION not in os.environ:
            # Who has not got the token cannot give workers orders; made here, it lies in no file.
            told |= {AUTHENTICATION: "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        os.environ.update({name: os.environ.get(name, value) for name, value in told.items()})
    try:
        import ray
    except ImportError as error:
        raise WorkersError(
            'Ray is not installed: pip install "causaltest[ray]", on every machine of the cluster.'
        ) from error
    return ray


@dataclass(frozen=True)
class Shared:
    """Something that lies in the object store."""

    reference: Any


class RemoteWorker:
    """A worker as Ray calls it."""

    def __init__(self) -> None:
        self._worker = Worker()

    def call(self, method: str, arguments: Sequence[Any]) -> tuple[Said, Any]:
        return self._worker.call(method, [fetched(argument) for argument in arguments])


def fetched(argument: Any) -> Any:
    """What lies in the object store; None where it was lost with its machine, and must be computed again."""
    if not isinstance(argument, Shared):
        return argument
    import ray

    try:
        return ray.get(argument.reference)
    except ray.exceptions.ObjectLostError:
        return None


@dataclass(frozen=True, eq=False)
class RayCall:
    """A call of a worker: where what it says will lie, and its result."""

    said: Any
    result: Any
    stays: bool


class RayPool:
    """The cluster that this process is connected to."""

    def __init__(self, ray: Any, threads: int, gpus: float) -> None:
        self._ray, self._threads, self._gpus = ray, threads, gpus
        # What is lost is replaced by the crew, which knows what a worker must be told.
        self._actor = ray.remote(RemoteWorker).options(num_cpus=threads, num_gpus=gpus, max_restarts=0)
        self._workers: dict[int, Any] = {}
        self._begun = 0

    def room(self) -> int:
        """How many workers the cluster has room for."""
        there = self._ray.cluster_resources()
        fit = [there.get("CPU", 0) // self._threads]
        if self._gpus:
            fit.append(there.get("GPU", 0) // self._gpus)
        return max(1, int(min(fit)))

    def begin(self) -> int:
        """Has another worker come up."""
        self._begun += 1
        self._workers[self._begun] = self._actor.remote()
        return self._begun

    def end(self, worker: int) -> None:
        """Lets a worker go."""
        actor = self._workers.pop(worker, None)
        if actor is not None:
            self._ray.kill(actor)

    def call(self, worker: int, method: str, arguments: Sequence[Any], *, stays: bool = False) -> RayCall:
        """Calls a worker."""
        said, result = self._workers[worker].call.options(num_returns=2).remote(method, list(arguments))
        return RayCall(said, result, stays)

    def next(self, calls: Collection[RayCall], seconds: float) -> tuple[RayCall, Answer] | None:
        """The first call that is answered."""
        waited = {call.said: call for call in calls}
        ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=seconds)
        return (waited[ready[0]], self._answer(waited[ready[0]])) if ready else None

    def _answer(self, call: RayCall) -> Answer:
        errors = self._ray.exceptions
        # The memory monitor's error is of none of the other classes.
        lost = (errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)
        try:
            said = self._ray.get(call.said)
            return Answer(said, Shared(call.result) if call.stays else self._ray.get(call.result))
        except errors.RayTaskError as error:
            cause: BaseException = error.cause
            cause.__cause__ = error  # which tells where in the worker it was raised
            return Answer(Said(error=cause))
        except (*lost, errors.ObjectLostError):
            return Answer(None)
        except Exception as error:
            # As of a result that cannot be unpickled here: it would be no other when it is read again.
            return Answer(Said(error=error))

    def share(self, value: Any) -> Shared:
        """Puts something into the object store, from where each worker that is given it reads it."""
        return Shared(self._ray.put(value))
