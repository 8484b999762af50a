"""Arrays: numbers of a direction or a sparse autoencoder, as plain bytes. No numpy, no torch, and no pickle.

Of files only safetensors are read: eight bytes that say how long the header is, a header in JSON that says
where each array lies, and the numbers (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causaltest.errors import SiteError

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
LARGEST_HEADER_BYTES = 1 << 26
MOST_AXES = 16
LARGEST_ARRAY_BYTES = 1 << 31
"""Of what is read; the file may be larger."""


@dataclass(frozen=True)
class Array:
    """Numbers in the order of C, little-endian, as safetensors keeps them."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of type, shape and numbers."""
        head = f"{self.dtype} {list(self.shape)} ".encode()
        return hashlib.sha256(head + self.data).hexdigest()


def array_of(values: Any, what: str) -> Array:
    """Numbers, or rows of numbers, of a list or of anything with `tolist`, such as a numpy array.

    Raises SiteError for what are no finite numbers, or rows of several lengths.
    """
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, str) or not isinstance(plain, Sequence) or not plain:
        raise SiteError(
            f"{what} takes numbers, rows of numbers, or a safetensors file with key=..., and got {values!r}."
        )
    rows = [list(row) for row in plain] if isinstance(plain[0], Sequence) else [list(plain)]
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise SiteError(f"{what} takes rows of one length, and got rows of {sorted({len(row) for row in rows})}.")
    flat = [number for row in rows for number in row]
    odd = [n for n in flat if isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n)]
    if odd:
        raise SiteError(f"{what} takes finite numbers, and {odd[0]!r} is none.")
    return Array("F64", (len(rows), len(rows[0])), struct.pack(f"<{len(flat)}d", *flat))


def read_array(path: str, key: str, *, select: tuple[int, Sequence[int]] | None = None) -> Array:
    """An array of a safetensors file; with `select`, an axis and indices on it, only those of a matrix.

    Raises SiteError where the file is not what it should be, or has no such array.
    """
    with opened(Path(path)) as (header, view):
        entry = header.get(key)
        if not isinstance(entry, dict) or key == "__metadata__":
            names = sorted(name for name in header if name != "__metadata__")
            raise SiteError(f"{path} has no array {key!r}; it has {names}.")
        dtype, shape, (start, stop) = checked_entry(path, key, entry, len(view))
        if select is None:
            within_bounds(path, key, stop - start)
            return Array(dtype, shape, bytes(view[start:stop]))
        return selected(path, key, Array(dtype, shape, b""), view, start, *select)


def selected(
    path: str, key: str, whole: Array, view: memoryview, start: int, axis: int, indices: Sequence[int]
) -> Array:
    """Some rows (axis 0) or columns (axis 1) of a matrix, or some numbers of a vector."""
    size, shape = ITEM_BYTES[whole.dtype], whole.shape
    if axis >= len(shape):
        raise SiteError(f"{key!r} of {path} has the shape {list(shape)}, and an array with {axis + 1} axes is needed.")
    beyond = [n for n in indices if n >= shape[axis]]
    if beyond:
        raise SiteError(
            f"{key!r} of {path} has the shape {list(shape)}, so no feature {beyond[0]} lies along its axis {axis}; an "
            "encoder that is [feature, width] needs feature_rows=True."
        )
    out = tuple(len(indices) if n == axis else count for n, count in enumerate(shape))
    within_bounds(path, key, math.prod(out) * size)
    # Each stretch before the axis, then the index, then what lies side by side behind the axis.
    inner, count = math.prod(shape[axis + 1 :]) * size, shape[axis]
    starts = (start + (block * count + index) * inner for block in range(math.prod(shape[:axis])) for index in indices)
    return Array(whole.dtype, out, b"".join(view[at : at + inner] for at in starts))


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, Any], memoryview]]:
    """The header of a safetensors file, and its numbers behind it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            size = int.from_bytes(whole[:8], "little")
            if len(whole) < 8 or size > min(len(whole) - 8, LARGEST_HEADER_BYTES):
                raise SiteError(f"{path} is no safetensors file: its header would have {size} bytes of {len(whole)}.")
            header = json.loads(whole[8 : 8 + size])
            if not isinstance(header, dict):
                raise SiteError(f"{path} is no safetensors file: its header is a {type(header).__name__}.")
            with memoryview(whole) as everything, everything[8 + size :] as view:
                yield header, view
    except (OSError, ValueError, RecursionError) as error:
        raise SiteError(
            f"{path} cannot be read as a safetensors file: {error}. Save vectors with safetensors.torch.save_file; "
            "pickled files are never opened."
        ) from error


def checked_entry(
    path: str, key: str, entry: dict[str, Any], length: int
) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """What a header says of one array, where it fits the file."""
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise SiteError(f"{key!r} of {path} is of type {dtype}; vectors are of type {', '.join(ITEM_BYTES)}.")
    sizes, ends = naturals(shape), naturals(offsets)
    if sizes is None or ends is None or len(ends) != 2:
        raise SiteError(
            f"The header of {path} says shape {shape} and offsets {offsets} of {key!r}: no array has these."
        )
    start, stop = ends
    if stop > length or stop - start != math.prod(sizes) * ITEM_BYTES[dtype]:
        raise SiteError(f"{key!r} of {path} does not fit: shape {shape} at {start} to {stop} of {length} bytes.")
    return dtype, sizes, (start, stop)


def naturals(given: Any) -> tuple[int, ...] | None:
    """A list of whole numbers from 0; None where it is anything else."""
    # The product of many large numbers would take for ever.
    whole = (
        isinstance(given, list) and len(given) <= MOST_AXES and all(type(n) is int and 0 <= n < 2**63 for n in given)
    )
    return tuple(given) if whole else None


def within_bounds(path: str, key: str, size: int) -> None:
    if size > LARGEST_ARRAY_BYTES:
        raise SiteError(f"{key!r} of {path} has {size} bytes; {LARGEST_ARRAY_BYTES} are read at most.")
