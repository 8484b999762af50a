"""Canonical JSON: one text for one meaning, so that it has one hash.

Keys sorted, UTF-8, no space, and no number that two programs could read differently: decimals, and integers beyond
2^53, stand as strings. What is left is RFC 8785.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from causaltest.errors import RecordError

LARGEST_INTEGER = 1 << 53
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(data: Any) -> str:
    """The canonical text of plain data. Raises RecordError for NaN, infinity and what JSON has no form for."""
    return written(plain(data))


def written(data: Any) -> str:
    """The canonical text of data that are plain already, as what was read from a lock. Raises ValueError for NaN."""
    return ENCODER.encode(data)


def digest_of(data: Any) -> str:
    """SHA-256 of the canonical text."""
    return sha256_of(canonical(data))


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def plain(data: Any, *, at: str = "") -> Any:
    """The same data of strings, integers, lists and mappings alone."""
    if data is None or isinstance(data, bool | str):
        return data
    if isinstance(data, int):
        return data if abs(data) <= LARGEST_INTEGER else str(data)
    if isinstance(data, float):
        if not math.isfinite(data):
            raise RecordError(f"{at or 'a value'} is {data}, which cannot be registered: give a finite number.")
        return repr(float(data))
    if isinstance(data, Mapping):
        return {str(name): plain(value, at=f"{at}.{name}" if at else str(name)) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value, at=f"{at}[{i}]") for i, value in enumerate(data)]
    raise RecordError(f"{at or 'a value'} is {type(data).__name__}, which has no plain form.")
