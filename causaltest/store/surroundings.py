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
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from causaltest.asking.settings import Settings
from causaltest.bounded import read_bounded
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
    "store/answers.py",
    "store/entry.py",
    "sweep.py",
    "writing",
)
"""What of this package has a say in the numbers, or in how they are kept."""
NO_SAY = frozenset({"offload_folder", "store", "progress"})
"""Settings that say where something lies or what is shown. What is offloaded is computed with as it was."""
LARGEST_TOML = 1 << 20
"""Bytes of a pyproject.toml that is read."""
DRIVER = Path("/proc/driver/nvidia/gpus")
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
    """What surrounds experiments on a model by name. Raises RecordError where its files do not identify it."""
    elsewhere = settings.device_map or settings.quantize
    return Surroundings(
        {
            "model": whole_model(name, remote_code=settings.trust_remote_code),
            "called": name,
            "memory": settings.memory,
            "dtype": settings.dtype,
            "device_map": settings.device_map,
            "max_memory": None if settings.max_memory is None else sorted([repr(d), m] for d, m in settings.max_memory),
            "quantize": settings.quantize,
            "trust_remote_code": settings.trust_remote_code,
            "devices": devices() if elsewhere else ["cpu"],
            "machine": [sys.platform, platform.machine(), sys.byteorder],
            "python": list(sys.version_info[:2]),
            "versions": versions(),
            "source": source_digest(Path(__file__).parents[1]),
            "altered": altered(),
            "names": named_modules(Path.cwd()),
        }
    )


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


def devices() -> list[str]:
    """The accelerators that a model may be put on, by what the system says of them."""
    seen = [f"{name}={os.environ[name]}" for name in DEVICES if name in os.environ]
    try:
        seen += sorted(file.read_text(encoding="utf-8").split("\n")[0] for file in DRIVER.glob("*/information"))
    except OSError:
        pass
    return seen


def named_modules(folder: Path) -> Any:
    """What the nearest pyproject.toml says of models' modules."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if file.is_file():
            try:
                tool = tomllib.loads(read_bounded(file, LARGEST_TOML).decode()).get("tool", {})
                return tool.get("causaltest", {}).get("models")
            except (OSError, ValueError, AttributeError, RecursionError):
                return None
    return None
