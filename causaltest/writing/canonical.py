"""Canonical JSON: one text for one meaning, so that it has one hash.

Keys sorted, UTF-8, no space, and no number that two programs could read differently: decimals, and integers beyond
2^53, stand as strings. What is left is RFC 8785.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
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
    """SHA-256 of the canonical text. Raises RecordError as `canonical` does, and for half a character."""
    text = canonical(data)
    try:
        return sha256_of(text)
    except UnicodeEncodeError as error:
        raise RecordError(
            f"a text holds half a character, which has no UTF-8: {error.object[error.start]!a}"
        ) from error


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Twice(ValueError):
    """A name that stands twice in one mapping of a JSON text."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the key {name!r} occurs twice")
        self.name = name


def once_each(named: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of a JSON text; of two fields with one name JSON keeps the last, and a person reads the first."""
    made = dict(named)
    if len(made) < len(named):
        ((twice, _),) = Counter(name for name, _ in named).most_common(1)
        raise Twice(twice)
    return made


def plain(data: Any) -> Any:
    """The same data of strings, integers, lists and mappings alone.

    Raises RecordError for NaN, infinity, two keys that read alike, and what JSON has no form for: with its path.
    """
    try:
        return plainly(data)
    except NoForm as error:
        raise RecordError(f"{error.path or 'a value'} is {error}") from error
    except RecursionError as error:
        raise RecordError("it is nested too deep for any record") from error


class NoForm(Exception):
    """A value without a plain form, and where it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path = ""

    def inside(self, name: str) -> NoForm:
        """The same, seen from a level above."""
        self.path = name + ("." if self.path and not self.path.startswith("[") else "") + self.path
        return self


def plainly(data: Any) -> Any:
    kind = type(data)
    if kind is str or kind is bool or data is None:
        return data
    if kind is dict or isinstance(data, Mapping):
        return plain_mapping(data)
    if kind is list or kind is tuple:
        made = []
        for i, value in enumerate(data):
            try:
                made.append(plainly(value))
            except NoForm as error:
                raise error.inside(f"[{i}]") from None
        return made
    if isinstance(data, int):
        return int(data) if abs(data) <= LARGEST_INTEGER else str(int(data))
    if isinstance(data, float):
        if not math.isfinite(data):
            raise NoForm(f"{data}, which cannot be registered: give a finite number.")
        return repr(float(data))
    if isinstance(data, str):
        return str(data)
    if isinstance(data, list | tuple):
        return plainly(list(data))
    raise NoForm(f"{kind.__name__}, which has no plain form.")


def plain_mapping(data: Mapping[Any, Any]) -> dict[str, Any]:
    made = {}
    for name, value in data.items():
        try:
            made[str(name)] = plainly(value)
        except NoForm as error:
            raise error.inside(str(name)) from None
    if len(made) < len(data):
        raise NoForm(f"a mapping with two keys that read alike, among {sorted(made)[:5]}: name them differently.")
    return made
