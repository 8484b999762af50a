"""Kept vectors: a row of numbers for every pair, in memory within a share of the budget, and beyond that in a file.

What is kept where changes no bit. The file has no name, so that nothing is left of it when the process ends, however
it ends; and it is read and not mapped, as mapped pages would count as this process's memory.
"""

from __future__ import annotations

import tempfile
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO

import numpy as np
import torch
from torch import Tensor

from causaltest.measuring.planner import Ints


class Room:
    """Bytes of memory that several share, and the file for what has no room in them."""

    def __init__(self, bytes: int) -> None:
        self.bytes = bytes
        self.held = 0
        """Bytes in memory."""
        self.filed = 0
        """Bytes in the file that are still wanted."""
        self._file: FileIO | None = None
        self._end = 0
        self._full = False

    def __del__(self) -> None:
        # Without a warning that it was left open: nobody else has it.
        if self._file is not None:
            self._file.close()

    def hold(self, bytes: int) -> bool:
        """Whether so many more may be held in memory; they are counted if so."""
        fits = self.held + bytes <= self.bytes
        if fits:
            self.held += bytes
        return fits

    def let_go(self, held: int, filed: int) -> None:
        """So many bytes are no longer wanted. The file goes with the last of them."""
        self.held -= held
        self.filed -= filed
        if not self.filed and self._file is not None:
            self._file.close()
            self._file, self._end = None, 0

    def write(self, data: memoryview) -> int | None:
        """Where data lies in the file; None where it cannot be written, and must stay in memory all the same."""
        if self._full:
            return None
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)
            self._file.seek(self._end)
            done = 0
            while done < len(data):
                done += self._file.write(data[done:]) or 0
        except OSError as error:
            # More memory than was declared is better than no verdict.
            self._full = True
            warnings.warn(
                f"The vectors of all pairs have no room in {tempfile.gettempdir()} ({error.strerror}), and are held in "
                "memory beyond the budget. Name a larger folder in TMPDIR, or give a larger --causal-memory.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        begin, self._end = self._end, self._end + len(data)
        self.filed += len(data)
        return begin

    def read(self, begin: int, into: memoryview) -> None:
        """Fills `into` with what lies there."""
        assert self._file is not None
        self._file.seek(begin)
        done = 0
        while done < len(into):
            got = self._file.readinto(into[done:])
            if not got:
                raise OSError("The temporary file of all pairs' vectors ends before its end: it was cut by another.")
            done += got


@dataclass(frozen=True)
class Block:
    """The rows of some pairs that follow each other."""

    edges: Ints
    """Row n is from edge n to edge n + 1, counted in numbers."""
    there: Tensor | int
    """The numbers, or where they begin in the file."""


class KeptVectors:
    """A row of numbers per pair, added in their order. A row may be longer than another."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._blocks: list[Block] = []
        self._firsts: list[int] = []
        self._count = self._held = self._filed = 0
        self._dtype, self._device = torch.float32, torch.device("cpu")

    def __len__(self) -> int:
        return self._count

    def add(self, rows: Sequence[Tensor]) -> None:
        """Keeps the rows of the next pairs. Each: [number]"""
        lengths = [len(row) for row in rows]
        flat = torch.cat(list(rows))
        self._dtype, self._device = flat.dtype, flat.device
        edges = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        there: Tensor | int = flat
        if self._room.hold(flat.nbytes):
            self._held += flat.nbytes
        elif (begin := self._room.write(bytes_of(flat.cpu()))) is not None:
            self._filed += flat.nbytes
            there = begin
        self._firsts.append(self._count)
        self._blocks.append(Block(edges, there))
        self._count += len(lengths)

    def row(self, pair: int) -> Tensor:
        """All numbers of a pair."""
        return self.parts([pair])

    def parts(self, pairs: Sequence[int], begins: Sequence[int] = (), stops: Sequence[int] = ()) -> Tensor:
        """Of some pairs the numbers from `begins` to `stops` of their rows, or all, one behind the other."""
        found, total, filed = [], 0, False
        for n, pair in enumerate(pairs):
            at = bisect_right(self._firsts, pair) - 1
            block = self._blocks[at]
            first, last = block.edges[pair - self._firsts[at] :][:2].tolist()
            if stops:
                first, last = first + begins[n], first + stops[n]
            found.append((block.there, first, last))
            total += last - first
            filed |= isinstance(block.there, int)
        if not filed:
            return torch.cat([there[first:last] for there, first, last in found])  # type: ignore[index]
        out = torch.empty(total, dtype=self._dtype)
        data, done = bytes_of(out), 0
        for there, first, last in found:
            size = last - first
            if isinstance(there, int):
                each = out.itemsize
                self._room.read(there + first * each, data[done * each : (done + size) * each])
            else:
                out[done : done + size] = there[first:last]
            done += size
        return out.to(self._device)

    def let_go(self) -> None:
        """Forgets all rows."""
        self._room.let_go(self._held, self._filed)
        self._blocks, self._firsts, self._count, self._held, self._filed = [], [], 0, 0, 0


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor [number] in memory, to be read or written."""
    there: memoryview = tensor.view(torch.uint8).numpy().data
    return there
