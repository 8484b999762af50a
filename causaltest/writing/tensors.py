"""Tensors: named lists of numbers beside a text, in one safetensors file. No numpy, and no pickle."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causaltest.errors import RecordError
from causaltest.writing.raw_tensors import Damaged, Raw, TooLarge, raw_from_bytes, raw_to_pieces

INSTEAD = "Take the committed one (git checkout), or delete it and measure it again with --causal-save."


@dataclass(frozen=True)
class Tensors:
    """A text, and numbers by name."""

    text: str
    arrays: Mapping[str, tuple[float, ...]]


def tensors_to_bytes(tensors: Tensors) -> bytes:
    """The file as bytes. Raises RecordError for more text than such a file holds."""
    try:
        return b"".join(raw_to_pieces(tensors.text, doubles(tensors.arrays)))
    except TooLarge as large:
        raise RecordError(f"The claims do not fit in one file: {large}. Save them in several.") from None


def tensors_from_bytes(data: bytes, what: str) -> Tensors:
    """The inverse of `tensors_to_bytes`; `what` is how messages call the file.

    Raises RecordError for anything that `tensors_to_bytes` has not written: damaged, cut off, or another's file.
    """
    if data.startswith(b"version https://git-lfs"):
        raise RecordError(f"{what} is a pointer of Git LFS, and the file itself is not here: run `git lfs pull`.")
    try:
        text, arrays = raw_from_bytes(data)
        return Tensors(text, floats_of(arrays))
    except Damaged as damaged:
        raise RecordError(f"{what} holds no claims of causaltest that could be read: {damaged}. {INSTEAD}") from None


def doubles(arrays: Mapping[str, Sequence[float]]) -> dict[str, Raw]:
    """Numbers as they lie in a file."""
    return {name: Raw("F64", (len(values),), bytes_of(values)) for name, values in arrays.items()}


def floats_of(arrays: Mapping[str, Raw]) -> dict[str, tuple[float, ...]]:
    """The inverse of `doubles`. Raises Damaged for numbers of another kind."""
    odd = next((name for name, raw in arrays.items() if raw.dtype != "F64" or len(raw.shape) != 1), None)
    if odd is not None:
        raise Damaged(f"its array {odd!r} is no list of doubles")
    return {name: numbers_of(raw.data) for name, raw in arrays.items()}


def bytes_of(values: Sequence[float]) -> bytes:
    """Little-endian doubles."""
    return swapped(array("d", values)).tobytes()


def numbers_of(data: bytes | bytearray | memoryview) -> tuple[float, ...]:
    return tuple(swapped(array("d", bytes(data))))


def swapped(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
