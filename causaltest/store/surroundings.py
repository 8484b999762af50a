"""Surroundings: everything besides the question that can change what is measured, learnt without torch."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from causaltest.asking.settings import Settings
from causaltest.bounded import read_bounded
from causaltest.identity.models import identity_of
from causaltest.writing.canonical import digest_of

VERSIONS = ("torch", "transformers", "tokenizers", "accelerate", "bitsandbytes")
MEASURES = ("asking", "measuring", "effect.py", "sweep.py", "organisms")
"""What of this package has a say in the numbers."""
LARGEST_TOML = 1 << 20
"""Bytes of a pyproject.toml that is read."""
DRIVER = Path("/proc/driver/nvidia/gpus")


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
    return Surroundings(
        {
            "model": identity_of(name),
            "called": name,
            "memory": settings.memory,
            "dtype": settings.dtype,
            "device_map": settings.device_map,
            "max_memory": None if settings.max_memory is None else [list(map(str, one)) for one in settings.max_memory],
            "quantize": settings.quantize,
            "remote_code": settings.trust_remote_code,
            "devices": devices() if settings.device_map or settings.quantize else ["cpu"],
            "versions": {name: version_of(name) for name in VERSIONS},
            "source": source_digest(),
            "names": named_modules(Path.cwd()),
        }
    )


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def source_digest() -> str:
    """A hash of the source that measures: a change of the engine is another measurement."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for part in MEASURES:
        place = package / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def devices() -> list[str]:
    """The accelerators that a model may be put on, by what the system says of them."""
    seen = [os.environ.get("CUDA_VISIBLE_DEVICES", ""), "torch" if find_spec("torch") else ""]
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
