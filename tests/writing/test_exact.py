"""Plain data as text and back, every number to its last bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.errors import RecordError
from causaltest.writing.exact import data_of, exact

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
DATA = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def same(one, other) -> bool:
    """Equal, and of equal types; one nan is another."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other and repr(one) == repr(other)


@given(DATA)
def test_what_is_written_comes_back(data) -> None:
    text = exact(data)
    assert "\n" not in text and text.isascii()
    assert same(data_of(text, of="it"), data)
    assert exact(data_of(text, of="it")) == text


def test_it_is_json_that_any_reader_takes() -> None:
    text = exact({"b": [0.1, math.nan, -math.inf], "a": "é"})
    assert text == r'{"a":"\u00e9","b":[0.1,{"number":"nan"},{"number":"-inf"}]}'
    json.loads(text, parse_constant=pytest.fail)


def test_a_number_of_numpys_is_written_as_a_number() -> None:
    assert exact([np.float64(0.1), np.float64("inf")]) == exact([0.1, math.inf])


@pytest.mark.parametrize(
    "text", ["", "{", "nan", "[NaN]", "[Infinity]", "[1e5,]", '{"a": 1, "a": 2}', "9" * 5000, "[" * 100_000, "\ud800"]
)
def test_what_is_no_such_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(RecordError, match="line 3 of effects"):
        data_of(text, of="line 3 of effects")


def test_a_key_that_stands_twice_is_named() -> None:
    with pytest.raises(RecordError, match="the key 'a' occurs twice"):
        data_of('{"b": 0, "a": 1, "a": 2}', of="it")


@given(st.text(max_size=40))
def test_any_text_is_data_or_refused(text: str) -> None:
    try:
        data_of(text, of="it")
    except RecordError as error:
        assert str(error).startswith("it is no JSON")
