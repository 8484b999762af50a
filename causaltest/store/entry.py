"""Entry: one thing that was measured, as a safetensors file whose metadata say what it is and sum it up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.writing.raw_tensors import Bytes, Damaged, Raw, raw_from_bytes, raw_to_pieces

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What is kept under a key: plain data, and arrays by name."""

    said: Mapping[str, Any]
    """What JSON can hold."""
    arrays: Mapping[str, Raw] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(memoryview(raw.data).nbytes for raw in self.arrays.values())


def entry_to_pieces(entry: Entry, kind: str, key: str) -> list[Bytes]:
    """The file as pieces to write one behind the other."""
    head = {"format": FORMAT, "kind": kind, "key": key, "said": entry.said}
    return raw_to_pieces(json.dumps(head, sort_keys=True, separators=(",", ":")), entry.arrays)


def entry_from_bytes(data: Bytes, kind: str, key: str) -> Entry:
    """The inverse. Raises Damaged for bytes that were not written so, or under another kind or key."""
    text, arrays = raw_from_bytes(data)
    try:
        head = json.loads(text)
        told = (head["format"], head["kind"], head["key"])
        said = head["said"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise Damaged("it is no entry of a store") from None
    if told != (FORMAT, kind, key) or not isinstance(said, dict):
        raise Damaged("it belongs somewhere else")
    return Entry(said, arrays)
