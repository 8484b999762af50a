"""Clean runs in the store: tensors as they lie in memory, so that a process that reads them computes the same bits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.chunk_runs import SIDES, ChunkRuns, Recorded
from causaltest.measuring.trajectory import Run
from causaltest.store.entry import Entry
from causaltest.store.kept import Kept
from causaltest.writing.raw_tensors import Raw

KIND = "runs"
DTYPES = {
    torch.float64: "F64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
NAMED = {name: dtype for dtype, name in DTYPES.items()}


class KeptRuns:
    """The unpatched runs of one model's chunks, in a store."""

    def __init__(self, kept: Kept, device: torch.device) -> None:
        self._kept, self._device = kept, device

    @contextmanager
    def alone(self, of: Any) -> Iterator[None]:
        """Holds the right to run a chunk, so that it is run once."""
        with self._kept.alone(KIND, of):
            yield

    def get(self, of: Any, new_tokens: int, wanted: Collection[Component]) -> Recorded | None:
        """The runs of a chunk, where they go as far and record as much as is wanted."""
        entry = self._kept.get(KIND, of)
        if entry is None or entry.said["new_tokens"] < new_tokens or not set(wanted) <= set(entry.said["recorded"]):
            return None
        return recorded_of(entry, self._device)

    def put(self, of: Any, recorded: Recorded) -> None:
        self._kept.put(KIND, of, entry_of(recorded), lasting=False)


def entry_of(recorded: Recorded) -> Entry:
    """Both runs as an entry."""
    arrays: dict[str, Raw] = {}
    said: dict[str, Any] = {
        "new_tokens": recorded.new_tokens,
        "recorded": sorted(recorded.recorded),
        "tupled": sorted(recorded.runs.clean.tupled),
        "keys": len(recorded.runs.clean.keys),
    }
    for side in SIDES:
        for name, tensor in tensors_of(recorded.runs.side(side)):
            arrays[f"{side}/{name}"] = raw_of(tensor)
    return Entry(said, arrays)


def tensors_of(run: Run) -> Iterator[tuple[str, Tensor]]:
    yield from (("tokens", run.tokens), ("logits", run.logits), ("finite", run.finite))
    if run.total is not None:
        yield "total", run.total
    for (component, layer), tensor in run.activations.items():
        yield f"at/{component}/{layer}", tensor
    for layer, (keys, values) in enumerate(run.keys):
        yield f"keys/{layer}", keys
        yield f"values/{layer}", values


def recorded_of(entry: Entry, device: torch.device) -> Recorded:
    """The inverse of `entry_of`."""
    said = entry.said
    runs = {side: run_of(entry, f"{side}/", device) for side in SIDES}
    return Recorded(
        said["new_tokens"], frozenset(said["recorded"]), ChunkRuns(runs["clean"], runs["corrupt"]), entry.nbytes
    )


def run_of(entry: Entry, prefix: str, device: torch.device) -> Run:
    named = {
        name.removeprefix(prefix): tensor_of(raw, device)
        for name, raw in entry.arrays.items()
        if name.startswith(prefix)
    }
    activations: dict[tuple[Component, int], Tensor] = {}
    for name, tensor in named.items():
        if name.startswith("at/"):
            _, component, layer = name.split("/")
            activations[component, int(layer)] = tensor  # type: ignore[index]
    return Run(
        named["tokens"],
        named["logits"],
        named["finite"],
        activations,
        tuple((named[f"keys/{n}"], named[f"values/{n}"]) for n in range(entry.said["keys"])),
        frozenset(entry.said["tupled"]),
        0,
        named.get("total"),
    )


def raw_of(tensor: Tensor) -> Raw:
    """A tensor's bytes, row by row."""
    there = tensor.detach().cpu().contiguous()
    return Raw(DTYPES[there.dtype], tuple(there.shape), there.view(-1).view(torch.uint8).numpy().data)


def tensor_of(raw: Raw, device: torch.device) -> Tensor:
    """The inverse of `raw_of`."""
    dtype = NAMED[raw.dtype]
    if not memoryview(raw.data).nbytes:
        return torch.empty(raw.shape, dtype=dtype, device=device)
    return torch.frombuffer(raw.data, dtype=dtype).view(raw.shape).to(device)
