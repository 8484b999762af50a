"""Entries: what was kept under a key comes back under it, and under no other."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.store.entry import Entry, entry_from_bytes, entry_from_stream, entry_to_pieces
from causaltest.writing.raw_tensors import Damaged, Raw, raw_to_pieces

KEY, OTHER = "0" * 64, "1" * 64
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


def written(entry: Entry, kind: str = "effects", key: str = KEY) -> bytes:
    return b"".join(entry_to_pieces(entry, kind, key))


def doubles(*values: float) -> Raw:
    return Raw("F64", (len(values),), struct.pack(f"<{len(values)}d", *values))


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.lists(st.floats(), max_size=4), st.text(max_size=9))
def test_an_entry_comes_back_as_it_was(said, values, about):
    data = written(Entry(said, {"a": doubles(*values)}, about))
    for again in (entry_from_bytes(data, "effects", KEY), entry_from_stream(BytesIO(data), len(data), "effects", KEY)):
        assert (again.said, again.about) == (said, about)
        assert bytes(again.arrays["a"].data) == struct.pack(f"<{len(values)}d", *values)
        assert again.nbytes == 8 * len(values)


@pytest.mark.parametrize(("kind", "key"), [("answers", KEY), ("effects", OTHER)])
def test_an_entry_of_another_kind_or_key_is_not_taken(kind, key):
    data = written(Entry({"n": 1}))
    assert entry_from_bytes(data, "effects", KEY).said == {"n": 1}
    with pytest.raises(Damaged, match="somewhere else"):
        entry_from_bytes(data, kind, key)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"format":1,"kind":"effects","key":"' + KEY + '","said":[],"about":""}']
)
def test_a_text_that_is_no_entry_is_refused(text):
    with pytest.raises(Damaged):
        entry_from_bytes(b"".join(raw_to_pieces(text, {})), "effects", KEY)


def test_an_entry_of_another_format_is_not_read():
    data = written(Entry({}))
    assert b'\\"format\\":1' in data
    (piece,) = raw_to_pieces('{"about":"","format":2,"key":"' + KEY + '","kind":"effects","said":{}}', {})
    with pytest.raises(Damaged, match="somewhere else"):
        entry_from_bytes(piece, "effects", KEY)
