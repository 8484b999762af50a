"""Entry: one thing that was measured, as a safetensors file whose metadata say what it is and sum it up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from causaltest.writing.raw_tensors import Bytes, Damaged, Raw, raw_from_bytes, raw_from_stream, raw_to_pieces

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What is kept under a key: plain data, and arrays by name."""

    said: Mapping[str, Any]
    """What JSON can hold."""
    arrays: Mapping[str, Raw] = field(default_factory=dict)
    about: str = ""
    """The model's name, for a person who looks at what is kept."""
    read: os.stat_result | None = field(default=None, compare=False, repr=False)
    """The file of this machine that it was read from, where it was."""

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(memoryview(raw.data).nbytes for raw in self.arrays.values())


def entry_to_pieces(entry: Entry, kind: str, key: str) -> list[Bytes]:
    """The file as pieces to write one behind the other. Raises TooLarge for more text than a file holds."""
    head = {"about": entry.about, "format": FORMAT, "kind": kind, "key": key, "said": entry.said}
    return raw_to_pieces(json.dumps(head, sort_keys=True, separators=(",", ":")), entry.arrays)


def entry_from_bytes(data: Bytes, kind: str, key: str) -> Entry:
    """The inverse. Raises Damaged for bytes that were not written so, or under another kind or key."""
    return entry_of(*raw_from_bytes(data), kind, key)


def entry_from_stream(stream: BinaryIO, size: int, kind: str, key: str) -> Entry:
    """The same of a file of so many bytes."""
    return entry_of(*raw_from_stream(stream, size), kind, key)


def entry_of(text: str, arrays: Mapping[str, Raw], kind: str, key: str) -> Entry:
    try:
        head = json.loads(text)
        told = (head["format"], head["kind"], head["key"])
        said, about = head["said"], head["about"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise Damaged("it is no entry of a store") from None
    if told != (FORMAT, kind, key) or not isinstance(said, dict) or not isinstance(about, str):
        raise Damaged("it belongs somewhere else")
    return Entry(said, arrays, about)
