"""Surroundings: everything besides the question that can change what is measured, learnt without torch.

A question is an experiment in its canonical form, which holds every prompt, answer, span and chat, every number that
a user gives (directions, features, the pairs that a mean is over), the seed and the controls. There is no function of
a user's in it: metrics and interventions are data. What stands here is the rest, and one thing more or other makes
another key.

Left out on purpose:

- Where files lie, what they are called beside the model, when they were written, and the working folder.
- How many threads compute, and on which processor of an architecture. They move last bits, as two machines do that
  share a store; every effect has a tolerance for that, and a verdict that hangs on it is none.
- Which other experiments were measured in the same plan, which moves last bits as well: when one claim has changed,
  only that one is measured. An interrupted plan is measured to its end as it was begun.
- Packages that compute nothing here, and what a process writes over inside of torch or transformers by hand: flags,
  registered classes and attention functions are seen, another function in the place of one of theirs is not.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from causaltest.asking.settings import Settings
from causaltest.errors import RecordError
from causaltest.identity.pyproject import said_of_models
from causaltest.identity.whole_model import whole_model
from causaltest.store.altered import altered
from causaltest.store.installed import versions
from causaltest.writing.canonical import digest_of

MEASURES = (
    "asking",
    "clean_runs.py",
    "effect.py",
    "measuring",
    "organisms",
    "plain_numbers.py",
    "store/answers.py",
    "store/entry.py",
    "sweep.py",
    "writing",
)
"""What of this package has a say in the numbers, or in how they are kept."""
NO_SAY = frozenset({"cluster", "offload_folder", "store", "progress"})
"""Settings that say where something lies, who computes or what is shown. What is offloaded is computed with as it was,
and workers of a cluster have to be like this process; what GPUs they have stands among the devices."""
DRIVER = Path("/proc/driver/nvidia/gpus")
CARDS = Path("/sys/class/drm")
NODES = Path("/dev")
KINDS_OF_NODES = ("nvidia[0-9]*", "dxg", "kfd", "dri/renderD*", "accel/*", "davinci[0-9]*")
"""Accelerators as Linux lists them: a container may have the nodes, and not what tells their names."""
MOVES = frozenset({"get_default_device", "ACCELERATE_TORCH_DEVICE"})
"""What a process may have set that puts models on an accelerator without a device map."""
DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


@dataclass(frozen=True)
class Surroundings:
    """The model by its files, how it is loaded and measured, and the code that measures it."""

    plain: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest_of(self.plain)


def surroundings_of(name: str, settings: Settings) -> Surroundings:
    """What surrounds experiments on a model by name. Raises RecordError where its files do not identify it, or cannot
    be read."""
    try:
        return Surroundings(plain_surroundings(name, settings))
    except OSError as error:
        raise RecordError(f"What {name} is measured with cannot be read, so it has no key: {error}") from error


def plain_surroundings(name: str, settings: Settings) -> dict[str, Any]:
    now = altered()
    elsewhere = settings.device_map or settings.quantize or not MOVES.isdisjoint(name for name, _ in now)
    return {
        "model": whole_model(name, remote_code=settings.trust_remote_code),
        "called": name,
        "memory": settings.memory,
        "dtype": settings.dtype,
        "device_map": settings.device_map,
        "max_memory": None if settings.max_memory is None else sorted([repr(d), m] for d, m in settings.max_memory),
        "quantize": settings.quantize,
        "trust_remote_code": settings.trust_remote_code,
        "devices": devices(settings) if elsewhere else ["cpu"],
        "machine": [sys.platform, platform.machine(), sys.byteorder],
        "python": list(sys.version_info[:2]),
        "versions": versions(),
        "source": source_digest(Path(__file__).parents[1]),
        "altered": now,
        "names": said_of_models(Path.cwd())[1],
    }


@cache
def source_digest(package: Path) -> str:
    """A hash of the source that measures: a change of the engine is another measurement."""
    digest = hashlib.sha256()
    for part in MEASURES:
        place = package / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            content = file.read_bytes()
            digest.update(f"{file.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def devices(settings: Settings) -> list[str]:
    """The accelerators that a model may be put on, by what the system says of them, or a cluster."""
    address = os.environ.get("RAY_ADDRESS")
    if settings.cluster is not None and address:
        return cluster_devices(address)
    seen = [f"{name}={os.environ[name]}" for name in DEVICES if name in os.environ]
    with suppress(OSError):
        seen += sorted(file.read_text(encoding="utf-8").split("\n")[0] for file in DRIVER.glob("*/information"))
    with suppress(OSError):
        ids = (card / "device" for card in CARDS.glob("card[0-9]"))
        seen += sorted(" ".join((card / name).read_text().strip() for name in ("vendor", "device")) for card in ids)
    with suppress(OSError):
        seen += sorted(node.name for kind in KINDS_OF_NODES for node in NODES.glob(kind))
    return seen


def cluster_devices(address: str) -> list[str]:
    """The kinds of accelerators in a cluster of Ray's. Raises RecordError where it cannot be asked."""
    try:
        import ray  # late: only workers with GPUs need it

        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        resources: Any = ray.cluster_resources
        kinds = {name for name in resources() if name.startswith("accelerator_type:")}
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise RecordError(f"The cluster at {address} does not say what accelerators it has: {error}") from error
    return sorted(kinds)
