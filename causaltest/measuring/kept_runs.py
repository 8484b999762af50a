"""Clean runs in the store: tensors as they lie in memory, so that a process that reads them computes the same bits.

What is read lies as what was computed does: both sides one behind the other, row by row, from an address that torch's
allocator gives. A product's last bits may depend on where its factors begin.

Runs are kept only where reading them takes less than computing them, which the device decides, never a clock. On one
core of a processor reading took a quarter of the time on the ducks (54 MB, 80 ms against 310 ms) and a tenth on GPT-2
small (39 MB, 57 ms against 620 ms), and writing them once as much again or less. An accelerator computes some 3 d_model
operations for each byte that it keeps, at 1e14 a second or more, and bytes are read and summed at about 1e9 a second:
below a d_model of 30,000 it is the sooner done. There each process runs its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from causaltest.asking.sites import Component
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.chunk_runs import SIDES, Recorded, halves
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

Make = Callable[[int, frozenset[Component]], Recorded]
"""Runs a chunk, so many answer tokens far, and records components."""


def sooner_read(model: LoadedModel) -> bool:
    """Whether runs are read sooner than they are computed: on a processor, and where weights are fetched for each."""
    spread = getattr(model.model, "hf_device_map", None) or {}
    slow = {"cpu", "disk"}
    return model.device.type == "cpu" or not slow.isdisjoint(map(str, spread.values()))


class KeptRuns:
    """The unpatched runs of one model's chunks, in a store."""

    def __init__(self, kept: Kept, device: torch.device) -> None:
        self._kept, self._device = kept, device

    def get(self, of: Any, new_tokens: int, wanted: Collection[Component], make: Make) -> Recorded:
        """The runs of a chunk, which go as far and record as much as is wanted: read, or made by one process alone.

        Runs that are there and do not suffice are made again with all that they had, so that they only grow.
        """
        entry = self._kept.get(KIND, of)
        if entry is None or not suffices(entry, new_tokens, wanted):
            with self._kept.alone(KIND, of):
                # Somebody else may have made them while this process waited.
                entry = self._kept.get(KIND, of)
                if entry is None:
                    return self._made(of, make(new_tokens, frozenset(wanted)))
                if not suffices(entry, new_tokens, wanted):
                    more = frozenset({*wanted, *entry.said["recorded"]})
                    return self._made(of, make(max(new_tokens, entry.said["new_tokens"]), more))
        return recorded_of(entry, self._device)

    def _made(self, of: Any, recorded: Recorded) -> Recorded:
        self._kept.put(KIND, of, entry_of(recorded), lasting=False)
        return recorded


def suffices(entry: Entry, new_tokens: int, wanted: Collection[Component]) -> bool:
    return bool(entry.said["new_tokens"] >= new_tokens and set(wanted) <= set(entry.said["recorded"]))


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
    said, named = entry.said, {name: one_behind_the_other(*raws, device) for name, raws in both_sides(entry)}
    activations: dict[tuple[Component, int], Tensor] = {}
    for name, tensor in named.items():
        if name.startswith("at/"):
            _, component, layer = name.split("/")
            activations[component, int(layer)] = tensor  # type: ignore[index]
    both = Run(
        named["tokens"],
        named["logits"],
        named["finite"],
        activations,
        tuple((named[f"keys/{n}"], named[f"values/{n}"]) for n in range(said["keys"])),
        frozenset(said["tupled"]),
        0,
        named.get("total"),
    )
    return Recorded(said["new_tokens"], frozenset(said["recorded"]), halves(both), entry.nbytes)


def both_sides(entry: Entry) -> Iterator[tuple[str, tuple[Raw, Raw]]]:
    """Each array's clean and corrupt half. Raises KeyError where one of them is not there."""
    for name in entry.arrays:
        side, _, rest = name.partition("/")
        if side == SIDES[0]:
            yield rest, (entry.arrays[name], entry.arrays[f"{SIDES[1]}/{rest}"])


def one_behind_the_other(clean: Raw, corrupt: Raw, device: torch.device) -> Tensor:
    first, second = (tensor_of(raw, torch.device("cpu")) for raw in (clean, corrupt))
    out = torch.empty(len(first) + len(second), *first.shape[1:], dtype=first.dtype, device=device)
    out[: len(first)], out[len(first) :] = first, second
    return out


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
