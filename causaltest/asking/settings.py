"""Settings: how a lab measures, as a user declares it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from causaltest.errors import ClaimError
from causaltest.kept import cache_folder
from causaltest.writing.sizes import bytes_of_size

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class StorePlace:
    """Where what was measured is kept."""

    address: str = field(repr=False)
    """A folder; or an address of fsspec, such as s3://bucket/x, ssh://host/path or file:///mnt/share, which several
    machines share. Then the folder of the user's cache is read first, and keeps what is found at the address; what is
    measured is put to both. An address may hold a password, so it is not shown."""
    most_bytes: int = 10 * GIGABYTE
    """Beyond this, what was used longest ago goes from this machine's folder. An address has no bound."""
    run: str = ""
    """What the processes of one run are known by, each of which counts as its own what any of them has measured."""

    @property
    def folder(self) -> Path:
        """The folder of this machine."""
        return cache_folder() / "store" if self.remote else Path(self.address)

    @property
    def remote(self) -> bool:
        """Whether it is an address, and not a folder of this machine."""
        return "://" in self.address


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
    """The bytes of a size such as 800MB or 4GB, in powers of 1024; at least a megabyte.

    Raises ClaimError for what is no size.
    """
    try:
        return max(2**20, bytes_of_size(size))
    except ValueError as error:
        raise ClaimError(f"{size!r:.60} is no size; write 800MB, 4GB or a number of bytes.") from error
