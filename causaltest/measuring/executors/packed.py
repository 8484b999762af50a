"""Packed: tensors on their way between processes, as plain bytes; many small ones travel as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causaltest.measuring.batch import Readings
from causaltest.measuring.chunk_runs import Recorded
from causaltest.measuring.kept_runs import entry_of, raw_of, recorded_of, tensor_of
from causaltest.measuring.vectors import Taken
from causaltest.store.entry import Entry
from causaltest.writing.raw_tensors import Raw


@dataclass(frozen=True)
class Packed:
    """Tensors of one dtype, one behind the other."""

    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    data: NDArray[np.uint8]


def packed(tensors: Sequence[Tensor]) -> Packed:
    """Tensors of one dtype as bytes."""
    if not tensors:
        return Packed("F32", (), np.zeros(0, dtype=np.uint8))
    assert len({t.dtype for t in tensors}) == 1  # torch.cat would bring them to one, and say nothing
    raw = raw_of(torch.cat([t.detach().flatten() for t in tensors]))
    return Packed(raw.dtype, tuple(tuple(t.shape) for t in tensors), plain(raw))


def unpacked(given: Packed, device: torch.device) -> list[Tensor]:
    """The inverse of `packed`, in memory of this process."""
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in given.shapes]
    flat = tensor_of(Raw(given.dtype, (sum(sizes),), bytearray(given.data)), device)
    return [some.view(shape) for some, shape in zip(torch.split(flat, sizes), given.shapes, strict=True)]


def plain(raw: Raw) -> NDArray[np.uint8]:
    data = memoryview(raw.data)
    return np.frombuffer(data, dtype=np.uint8) if data.nbytes else np.zeros(0, dtype=np.uint8)


ROWS = ("base", "source")


def packed_taken(taken: Sequence[Taken]) -> list[dict[str, Any]]:
    """What was taken of a chunk, as it travels: vectors of pairs in one piece, sums each in its own precision."""
    out = []
    for one in taken:
        named = {f.name: getattr(one, f.name) for f in fields(one)}
        rows = {name: packed(named[name]) for name in ROWS}
        out.append({**named, **rows, "sums": [packed([some]) for some in one.sums]})
    return out


def unpacked_taken(given: Sequence[Mapping[str, Any]], device: torch.device) -> list[Taken]:
    """The inverse of `packed_taken`."""
    out = []
    for one in given:
        rows = {name: unpacked(one[name], device) for name in ROWS}
        out.append(Taken(**{**one, **rows, "sums": [unpacked(some, device)[0] for some in one["sums"]]}))
    return out


def packed_readings(readings: Readings) -> dict[str, Any]:
    """Readings as they travel."""
    out = {field.name: getattr(readings, field.name) for field in fields(readings)}
    return out | {"logits": {arm: packed([logits]) for arm, logits in readings.logits.items()}}


def unpacked_readings(given: Mapping[str, Any]) -> Readings:
    """The inverse of `packed_readings`. What came from elsewhere cannot be written to, so it is copied."""
    logits = {arm: unpacked(some, torch.device("cpu"))[0] for arm, some in given["logits"].items()}
    out = {name: given[name] for name in given if name != "logits"}
    for name in ("scores", "finite", "distances", "missed", "owned"):
        out[name] = {key: np.array(values) for key, values in given[name].items()}
    return Readings(**out, logits=logits)


@dataclass(frozen=True)
class Lent:
    """A chunk's unpatched runs, as they travel to a worker who has not computed them."""

    said: Mapping[str, Any]
    arrays: Mapping[str, tuple[str, tuple[int, ...], NDArray[np.uint8]]]

    @property
    def nbytes(self) -> int:
        return sum(data.nbytes for _, _, data in self.arrays.values())


def lent(recorded: Recorded) -> Lent:
    entry = entry_of(recorded)
    return Lent(entry.said, {name: (raw.dtype, raw.shape, plain(raw)) for name, raw in entry.arrays.items()})


def borrowed(given: Lent, device: torch.device) -> Recorded:
    """The inverse of `lent`, in memory of this process."""
    arrays = {name: Raw(dtype, shape, bytearray(data)) for name, (dtype, shape, data) in given.arrays.items()}
    return recorded_of(Entry(given.said, arrays), device)
