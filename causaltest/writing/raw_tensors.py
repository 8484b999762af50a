"""Raw tensors: named arrays of any dtype as bytes, beside a text, in one safetensors file. No numpy, and no pickle.

Eight bytes that say how long the header is, a header in JSON that says where each array lies, and the numbers
(https://github.com/huggingface/safetensors, "Format"). Any reader of safetensors opens it; one text and the same
arrays give the same bytes, which the library's own writer does not promise for more than one entry of metadata.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

METADATA, TEXT, CHECKSUM = "__metadata__", "causaltest", "sha256"
LARGEST_HEADER_BYTES = 1 << 28
MOST_AXES, LARGEST_AXIS = 16, 1 << 48
ALIGNMENT = 8
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1}


Bytes = bytes | bytearray | memoryview


class Damaged(ValueError):
    """Bytes that nobody has written so: cut off, changed, or another's file. The message is a sentence's end."""


@dataclass(frozen=True)
class Raw:
    """An array as it lies in memory, little-endian and row by row."""

    dtype: str
    shape: tuple[int, ...]
    data: Bytes
    """As many bytes as the shape says."""


def raw_to_pieces(text: str, arrays: Mapping[str, Raw]) -> list[Bytes]:
    """The file as pieces to write one behind the other; what is large is not copied.

    Wider numbers come first, so that each array lies where its dtype may lie.
    """
    ordered = sorted(arrays.items(), key=lambda named: (-ITEM_BYTES[named[1].dtype], named[0]))
    body = [flat(raw.data) for _, raw in ordered]
    header: dict[str, Any] = {METADATA: {TEXT: text, CHECKSUM: checksum(text, described(ordered), body)}}
    start = 0
    for (name, raw), data in zip(ordered, body, strict=True):
        stop = start + len(data)
        header[name] = {"dtype": raw.dtype, "shape": list(raw.shape), "data_offsets": [start, stop]}
        start = stop
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    return [len(head).to_bytes(8, "little") + head, *body]


def raw_from_bytes(data: Bytes) -> tuple[str, dict[str, Raw]]:
    """The inverse of `raw_to_pieces`; the arrays are views of `data`. Raises Damaged for anything else."""
    header, body = taken_apart(flat(data))
    metadata = header.pop(METADATA, None)
    if not isinstance(metadata, dict) or not isinstance(text := metadata.get(TEXT), str):
        raise Damaged("it is a safetensors file of something else")
    arrays, start = {}, 0
    for name, entry in header.items():
        arrays[name], start = array_at(start, name, entry, body)
    if start != len(body):
        raise Damaged("its last numbers belong to no array")
    if metadata.get(CHECKSUM) != checksum(text, described(arrays.items()), [body]):
        raise Damaged("its checksum does not hold")
    return text, arrays


def taken_apart(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The header, and the numbers behind it."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 0 < length <= min(len(data) - 8, LARGEST_HEADER_BYTES):
        raise Damaged("it is no safetensors file, or was cut off")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except (ValueError, RecursionError):
        raise Damaged("its header is no JSON") from None
    if not isinstance(header, dict):
        raise Damaged("its header is no object")
    return header, data[8 + length :]


def array_at(start: int, name: str, entry: Any, body: memoryview) -> tuple[Raw, int]:
    """One array, which begins where the one before it has ended; and where it ends."""
    try:
        dtype, shape, (given, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if any(type(n) is not int or n < 0 for n in (given, stop, *shape)) or given != start or stop > len(body):
            raise ValueError
        # The product of many large numbers would take for ever.
        if len(shape) > MOST_AXES or any(n > LARGEST_AXIS for n in shape):
            raise ValueError
        if stop - start != math.prod(shape) * ITEM_BYTES[dtype]:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Damaged(f"its array {name!r} is not where it should be") from None
    return Raw(dtype, shape, body[start:stop]), stop


def described(named: Iterable[tuple[str, Raw]]) -> str:
    """What the numbers are, as part of what is summed."""
    return json.dumps([[name, raw.dtype, list(raw.shape)] for name, raw in named], separators=(",", ":"))


def checksum(text: str, arrays: str, body: Iterable[Bytes]) -> str:
    """SHA-256 of the text's and the description's own SHA-256, and the numbers."""
    parts = [hashlib.sha256(part.encode(errors="surrogatepass")).digest() for part in (text, arrays)]
    digest = hashlib.sha256(b"".join(parts))
    for piece in body:
        digest.update(piece)
    return digest.hexdigest()


def flat(data: Bytes) -> memoryview:
    """The same memory byte by byte."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")
