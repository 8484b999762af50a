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
from typing import Any, BinaryIO

METADATA, TEXT, CHECKSUM = "__metadata__", "causaltest", "sha256"
LARGEST_HEADER_BYTES = 100_000_000
"""That of the safetensors library, which opens no file with a longer one."""
MOST_AXES = 64
ALIGNMENT = 8
ITEM_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "U8": 1, "BOOL": 1}


Bytes = bytes | bytearray | memoryview


class Damaged(ValueError):
    """Bytes that nobody has written so: cut off, changed, or another's file. The message is a sentence's end."""


class TooLarge(ValueError):
    """More than a file of this kind holds. The message is a sentence's end."""


@dataclass(frozen=True)
class Raw:
    """An array as it lies in memory, little-endian and row by row."""

    dtype: str
    shape: tuple[int, ...]
    data: Bytes
    """As many bytes as the shape says."""


def raw_to_pieces(text: str, arrays: Mapping[str, Raw]) -> list[Bytes]:
    """The file as pieces to write one behind the other; what is large is not copied.

    Wider numbers come first, so that each array lies where its dtype may lie. Raises TooLarge for more text, or more
    arrays, than a header holds.
    """
    ordered = sorted(arrays.items(), key=lambda named: (-ITEM_BYTES[named[1].dtype], named[0]))
    body = [flat(raw.data) for _, raw in ordered]
    header: dict[str, Any] = {METADATA: {TEXT: text, CHECKSUM: checksum(text, described(ordered), body)}}
    start = 0
    for (name, raw), data in zip(ordered, body, strict=True):
        stop = start + len(data)
        header[name] = {"dtype": raw.dtype, "shape": list(raw.shape), "data_offsets": [start, stop]}
        start = stop
    head = head_of(header)
    if len(head) > LARGEST_HEADER_BYTES:
        raise TooLarge(f"its texts and names take {len(head):,} bytes, and no more than {LARGEST_HEADER_BYTES:,} fit")
    return [len(head).to_bytes(8, "little") + head, *body]


def head_of(header: Mapping[str, Any]) -> bytes:
    """The header as it is written: there is one way, so that no changed byte of it can pass for another layout."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return head + b" " * (-len(head) % ALIGNMENT)


def raw_from_bytes(data: Bytes) -> tuple[str, dict[str, Raw]]:
    """The inverse of `raw_to_pieces`; the arrays are views of `data`. Raises Damaged for anything else."""
    view = flat(data)
    begin = 8 + header_bytes(view[:8], len(view))
    header = header_of(view[8:begin])
    check_placed(header, len(view) - begin)
    return checked(header, view[begin:])


def raw_from_stream(stream: BinaryIO, size: int) -> tuple[str, dict[str, Raw]]:
    """The same of a file of so many bytes. Memory is asked for when its header has said what is in it."""
    length = header_bytes(stream.read(8), size)
    header = header_of(stream.read(length))
    body = bytearray(check_placed(header, size - 8 - length))
    view, filled = memoryview(body), 0
    while filled < len(body) and (read := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
        filled += read
    if filled < len(body):
        raise Damaged("it was cut off while it was read")
    return checked(header, view)


def header_bytes(first: Bytes, size: int) -> int:
    """How long the header is, by the first eight bytes of a file."""
    length = int.from_bytes(first, "little")
    if len(first) < 8 or not 0 < length <= min(size - 8, LARGEST_HEADER_BYTES):
        raise Damaged("it is no safetensors file, or was cut off")
    return length


def header_of(head: Bytes) -> dict[str, Any]:
    """The header as data."""
    head = bytes(head)
    try:
        header = json.loads(head)
    except (ValueError, RecursionError):
        raise Damaged("its header is no JSON") from None
    if not isinstance(header, dict):
        raise Damaged("its header is no object")
    metadata = header.get(METADATA)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(TEXT), str) or set(metadata) != {TEXT, CHECKSUM}:
        raise Damaged("it is a safetensors file of something else")
    if head_of(header) != head:
        raise Damaged("its header is not as it was written")
    return header


def check_placed(header: Mapping[str, Any], size: int) -> int:
    """The bytes of all arrays, which must lie one behind the other and fill what stands behind the header."""
    start = 0
    for name, entry in header.items():
        start = start if name == METADATA else end_of(start, name, entry, size)
    if start != size:
        raise Damaged("its last numbers belong to no array")
    return size


def end_of(start: int, name: str, entry: Any, size: int) -> int:
    """Where an array ends that begins where the one before it has ended."""
    try:
        dtype, shape, (given, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        # A stranger's numbers may be so many and so long that their product takes minutes.
        if not isinstance(shape, list) or len(shape) > MOST_AXES or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError
        if any(type(n) is not int or not 0 <= n < 1 << 63 for n in (given, stop, *shape)) or given != start:
            raise ValueError
        if stop > size or stop - start != math.prod(shape) * ITEM_BYTES[dtype]:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Damaged(f"its array {name!r} is not where it should be") from None
    return int(stop)


def checked(header: dict[str, Any], body: memoryview) -> tuple[str, dict[str, Raw]]:
    """The text and the arrays, when their sum holds."""
    metadata = header.pop(METADATA)
    arrays = {
        name: Raw(entry["dtype"], tuple(entry["shape"]), body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }
    if metadata[CHECKSUM] != checksum(metadata[TEXT], described(arrays.items()), [body]):
        raise Damaged("its checksum does not hold")
    return metadata[TEXT], arrays


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
