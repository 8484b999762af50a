"""Settings: how a lab measures, as a user declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TextIO

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class StorePlace:
    """Where what was measured is kept."""

    address: str
    """A folder."""
    most_bytes: int = 10 * GIGABYTE
    """Beyond this, what was used longest ago goes."""


@dataclass(frozen=True)
class Cluster:
    """Workers of a Ray cluster that measure in place of this process: the one at RAY_ADDRESS, or one on this machine.

    They load models by name, so that a folder must lie under the same path on every machine.
    """

    workers: int | None = None
    """Processes with a model each; None: as many as there is room for."""
    gpus_per_worker: float = 0.0
    """The share of a GPU that each has."""


@dataclass(frozen=True)
class Settings:
    """How models are loaded and measured. What concerns loading is for models that are named, not given as objects."""

    memory: int = GIGABYTE
    """Bytes for measuring, above the model's own."""
    dtype: Dtype = "float32"
    device_map: str | None = None
    """How weights are spread over devices: "auto", or what else transformers takes."""
    max_memory: tuple[tuple[int | str, str], ...] | None = None
    """Per device, what `device_map` may fill."""
    offload_folder: str | None = None
    """Where weights go that fit no device."""
    quantize: Literal["int8", "nf4"] | None = None
    """Bits that weights are loaded in."""
    trust_remote_code: bool = False
    """Whether code that comes with a checkpoint may run. It is recorded when it does."""
    store: StorePlace | None = None
    """Where effects and clean runs are kept, so that none is measured twice; None: nowhere. Models that are given as
    objects are known by no file, and theirs are not kept."""
    cluster: Cluster | None = None
    """Who measures; None: this process."""
    progress: TextIO | bool = True
    """A terminal, or whether to show progress on stderr where that is one."""


def memory_bytes(size: str) -> int:
    """The bytes of a size such as 800MB or 4GB, in powers of 1024; at least a megabyte."""
    number, unit = size.upper().removesuffix("B").removesuffix("I").strip(), 1
    for letter, factor in (("K", 2**10), ("M", 2**20), ("G", 2**30), ("T", 2**40)):
        if number.endswith(letter):
            number, unit = number[:-1].strip(), factor
    return max(2**20, int(float(number) * unit))
