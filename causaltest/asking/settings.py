"""Settings: how a lab measures, as a user declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TextIO

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Settings:
    """Memory above the model's own in bytes, the dtype that a model is loaded in, and where progress is shown."""

    memory: int = GIGABYTE
    dtype: Dtype = "float32"
    progress: TextIO | bool = True
    """A terminal, or whether to show progress on stderr where that is one."""


def memory_bytes(size: str) -> int:
    """The bytes of a size such as 800MB or 4GB, in powers of 1024; at least a megabyte."""
    number, unit = size.upper().removesuffix("B").removesuffix("I").strip(), 1
    for letter, factor in (("K", 2**10), ("M", 2**20), ("G", 2**30), ("T", 2**40)):
        if number.endswith(letter):
            number, unit = number[:-1].strip(), factor
    return max(2**20, int(float(number) * unit))
