"""Exact: plain data as one line of JSON and back, every number to its last bit.

JSON has no name for a number that is none, so such a one stands as `{"number": "nan"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from causaltest.errors import RecordError
from causaltest.writing.canonical import once_each

NO_NUMBER = "number"
UNREAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def exact(data: Any) -> str:
    """The text of mappings, lists, strings, integers and floats; of equal data always the same."""
    return json.dumps(named(data), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def data_of(text: str, *, of: str) -> Any:
    """The inverse of `exact`; `of` names it in errors.

    Raises RecordError for what is no JSON, is nested too deep, or has a key twice.
    """
    try:
        return unnamed(json.loads(text, object_pairs_hook=once_each, parse_constant=refused))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{of} is no JSON as causaltest writes it: {error}.") from error


def named(data: Any) -> Any:
    if isinstance(data, float):
        # numpy's floats are floats too, and print otherwise
        return float(data) if math.isfinite(data) else {NO_NUMBER: repr(float(data))}
    if isinstance(data, Mapping):
        return {str(name): named(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [named(value) for value in data]
    return data


def unnamed(data: Any) -> Any:
    if isinstance(data, dict):
        word = data.get(NO_NUMBER)
        if len(data) == 1 and isinstance(word, str) and word in UNREAL:
            return UNREAL[word]
        return {name: unnamed(value) for name, value in data.items()}
    return [unnamed(value) for value in data] if isinstance(data, list) else data


def refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")
