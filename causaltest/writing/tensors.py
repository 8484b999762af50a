"""Tensors: named lists of numbers beside a text, in one safetensors file. No numpy, and no pickle.

Eight bytes that say how long the header is, a header in JSON that says where each array lies, and the numbers
(https://github.com/huggingface/safetensors, "Format"). Any reader of safetensors opens it; one text and the same
arrays give the same bytes, which the library's own writer does not promise for more than one entry of metadata.
"""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causaltest.errors import RecordError

METADATA, TEXT, CHECKSUM = "__metadata__", "causaltest", "sha256"
LARGEST_HEADER_BYTES = 1 << 28
ITEM_BYTES, ALIGNMENT = 8, 8


@dataclass(frozen=True)
class Tensors:
    """A text, and numbers by name."""

    text: str
    arrays: Mapping[str, tuple[float, ...]]


def tensors_to_bytes(tensors: Tensors) -> bytes:
    """The file as bytes."""
    numbers = {name: bytes_of(values) for name, values in sorted(tensors.arrays.items())}
    body = b"".join(numbers.values())
    header: dict[str, Any] = {METADATA: {TEXT: tensors.text, CHECKSUM: checksum(tensors.text, body)}}
    start = 0
    for name, data in numbers.items():
        stop = start + len(data)
        header[name] = {"dtype": "F64", "shape": [len(data) // ITEM_BYTES], "data_offsets": [start, stop]}
        start = stop
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    return len(head).to_bytes(8, "little") + head + body


def tensors_from_bytes(data: bytes, what: str) -> Tensors:
    """The inverse of `tensors_to_bytes`; `what` is how messages call the file.

    Raises RecordError for anything that `tensors_to_bytes` has not written: damaged, cut off, or another's file.
    """
    header, body = taken_apart(data, what)
    metadata = header.pop(METADATA, None)
    if not isinstance(metadata, dict) or not isinstance(text := metadata.get(TEXT), str):
        raise RecordError(f"{what} is a safetensors file of something else, and holds no claims of causaltest.")
    if metadata.get(CHECKSUM) != checksum(text, body):
        raise RecordError(f"{what} is damaged: its checksum does not hold. {INSTEAD}")
    arrays, start = {}, 0
    for name, entry in header.items():
        arrays[name], start = array_at(start, name, entry, body, what)
    if start != len(body):
        raise RecordError(f"{what} is damaged: numbers belong to no array. {INSTEAD}")
    return Tensors(text, arrays)


INSTEAD = "Take the committed one (git checkout), or delete it and measure it again with --causal-save."


def taken_apart(data: bytes, what: str) -> tuple[dict[str, Any], bytes]:
    """The header, and the numbers behind it."""
    if data.startswith(b"version https://git-lfs"):
        raise RecordError(f"{what} is a pointer of Git LFS, and the file itself is not here: run `git lfs pull`.")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 0 < length <= min(len(data) - 8, LARGEST_HEADER_BYTES):
        raise RecordError(f"{what} is no safetensors file, or was cut off. {INSTEAD}")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise RecordError(f"{what} is no safetensors file: its header is no JSON. {INSTEAD}") from None
    if not isinstance(header, dict):
        raise RecordError(f"{what} is no safetensors file: its header is no object. {INSTEAD}")
    return header, data[8 + length :]


def array_at(start: int, name: str, entry: Any, body: bytes, what: str) -> tuple[tuple[float, ...], int]:
    """One array, which begins where the one before it has ended; and where it ends."""
    try:
        dtype, (length,), (given, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = dtype == "F64" and given == start and stop == start + ITEM_BYTES * length <= len(body)
        if not whole or type(length) is not int or length < 0:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise RecordError(f"{what} is damaged: its array {name!r} is not where it should be. {INSTEAD}") from None
    return numbers_of(body[start:stop]), stop


def checksum(text: str, body: bytes) -> str:
    """SHA-256 of the text's own SHA-256 and the numbers."""
    return hashlib.sha256(hashlib.sha256(text.encode(errors="surrogatepass")).digest() + body).hexdigest()


def bytes_of(values: Sequence[float]) -> bytes:
    """Little-endian doubles."""
    return swapped(array("d", values)).tobytes()


def numbers_of(data: bytes) -> tuple[float, ...]:
    return tuple(swapped(array("d", data)))


def swapped(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
