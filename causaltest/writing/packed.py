"""Plain data and its long lists of numbers apart, so that the numbers can lie in a file as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from causaltest.writing.plain_effects import Row
from causaltest.writing.tensors import bytes_of, numbers_of

ARRAY, TEXTS, FLOAT, MAP = "$array", "$texts", "$float", "$map"
"""What stands in the JSON for an array, for a list of texts, for a number that JSON has not, and for a mapping with
such a key of its own."""


class Arrays:
    """Arrays under the name of where they were first met; the same numbers are kept once."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[float, ...]] = {}
        self._names: dict[bytes, str] = {}

    def name_of(self, values: list[float], at: str) -> str:
        # By their bits: 0.0 and -0.0 are equal, and NaN is not.
        name = self._names.setdefault(bytes_of(values), at)
        if name == at:
            self.named[name] = tuple(values)
        return name


class Texts:
    """Lists of texts, such as the ids of pairs that many claims share, each kept once."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self._numbers: dict[tuple[str, ...], int] = {}

    def number_of(self, texts: list[str]) -> int:
        number = self._numbers.setdefault(tuple(texts), len(self.lists))
        if number == len(self.lists):
            self.lists.append(texts)
        return number


def lifted(data: Any, at: str, arrays: Arrays, texts: Texts) -> Any:
    """Plain data without its long lists, which go to `arrays` and `texts`."""
    if isinstance(data, float) and not math.isfinite(data):
        return {FLOAT: bytes_of([data]).hex()}
    if isinstance(data, list) and data and all(type(item) is float for item in data):
        return {ARRAY: arrays.name_of(data, at)}
    if isinstance(data, list) and data and all(type(item) is str for item in data):
        return {TEXTS: texts.number_of(data)}
    if isinstance(data, list):
        return [lifted(item, f"{at}/{i}", arrays, texts) for i, item in enumerate(data)]
    if isinstance(data, Mapping):
        inner = {name: lifted(value, f"{at}/{name}", arrays, texts) for name, value in sorted(data.items())}
        return {MAP: inner} if any(name.startswith("$") for name in data) else inner
    return data


def lowered(data: Any, arrays: Mapping[str, Row], words: Sequence[tuple[str, ...]]) -> Any:
    """The inverse of `lifted`, in which what is shared stays shared.

    Raises KeyError, IndexError, TypeError or ValueError for what `lifted` has not made.
    """
    if isinstance(data, list):
        return [lowered(item, arrays, words) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) == 1:
        ((mark, value),) = data.items()
        if mark == ARRAY:
            return arrays[value]
        if mark == TEXTS:
            return words[value]
        if mark == FLOAT:
            (number,) = numbers_of(bytes.fromhex(value))
            return number
        if mark == MAP:
            return {name: lowered(inner, arrays, words) for name, inner in value.items()}
    return {name: lowered(value, arrays, words) for name, value in data.items()}
