"""The one file format: what is written is read again to the last bit, and nothing else is read."""

from __future__ import annotations

import json
import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save

from causaltest.errors import RecordError
from causaltest.writing import raw_tensors
from causaltest.writing.raw_tensors import ITEM_BYTES, Damaged, Raw, TooLarge, raw_from_bytes, raw_from_stream
from causaltest.writing.raw_tensors import raw_to_pieces as pieces
from causaltest.writing.tensors import Tensors, tensors_to_bytes

NAMES = st.text(max_size=12).filter(lambda name: name != "__metadata__")


@st.composite
def raws(draw: st.DrawFn) -> Raw:
    dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    count = 1
    for n in shape:
        count *= n
    length = count * ITEM_BYTES[dtype]
    return Raw(dtype, shape, draw(st.binary(min_size=length, max_size=length)))


FILES = st.tuples(st.text(max_size=30), st.dictionaries(NAMES, raws(), max_size=4))


def written(text: str, arrays: dict[str, Raw]) -> bytes:
    return b"".join(pieces(text, arrays))


def plain(found: tuple[str, dict[str, Raw]]) -> tuple[str, dict[str, tuple]]:
    text, arrays = found
    return text, {name: (raw.dtype, raw.shape, bytes(raw.data)) for name, raw in arrays.items()}


SMALL = ("text", {"a": Raw("F64", (2,), struct.pack("<2d", 0.5, -0.0)), "b": Raw("BOOL", (1, 1), b"\1")})


@given(FILES)
def test_what_is_written_is_read_again_from_bytes_and_from_a_stream(file):
    data = written(*file)
    assert plain(raw_from_bytes(data)) == plain(file)
    assert plain(raw_from_stream(BytesIO(data), len(data))) == plain(file)


@given(FILES)
def test_the_order_of_arrays_does_not_change_the_bytes(file):
    text, arrays = file
    assert written(text, dict(reversed(arrays.items()))) == written(text, arrays)


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"), raws(), max_size=4))
def test_the_safetensors_library_opens_it(tmp_path_factory, arrays):
    """Surrogates and bfloat16, which numpy has not, aside."""
    file = tmp_path_factory.mktemp("opened") / "one.safetensors"
    file.write_bytes(written("what it is", arrays))
    with safe_open(file, framework="numpy") as opened:
        assert opened.metadata()["causaltest"] == "what it is"
        assert sorted(opened.keys()) == sorted(arrays)
        for name, raw in arrays.items():
            assert tuple(opened.get_slice(name).get_shape()) == raw.shape
            if raw.dtype != "BF16":
                assert opened.get_tensor(name).tobytes() == raw.data


def test_every_bit_flip_every_cut_and_every_byte_more_is_seen():
    data = written(*SMALL)
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            refused(bytes(flipped))
        refused(data[:at])
    for more in (b" ", b"\0", b"}", data):
        refused(data + more)


@given(FILES, st.data())
def test_a_stretch_that_was_changed_moved_or_left_out_is_seen(file, draw):
    data = written(*file)
    start = draw.draw(st.integers(0, len(data)))
    stop = draw.draw(st.integers(start, len(data)))
    changed = data[:start] + draw.draw(st.binary(max_size=9)) + data[stop:]
    if changed != data:
        refused(changed)


def refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        raw_from_bytes(data)
    with pytest.raises(Damaged):
        raw_from_stream(BytesIO(data), len(data))


def with_header(header: object, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + body


META = {"causaltest": "t", "sha256": "0"}
ODD = {
    "a header of nothing": with_header(b""),
    "a list": with_header([]),
    "a text where metadata belong": with_header({"__metadata__": "x"}),
    "metadata of somebody else": with_header({"__metadata__": {"causaltest": "t"}}),
    "more metadata than are written": with_header({"__metadata__": {**META, "more": "x"}}),
    "deep": with_header(b"[" * 100_000),
    "deep inside": with_header(b'{"__metadata__":' + b'{"a":' * 100_000),
    "not UTF-8": with_header(b'{"\xff":1}'),
    "UTF-16": with_header(json.dumps({"__metadata__": META}).encode("utf-16")),
    "a number of many digits": with_header(b'{"__metadata__":' + b"9" * 10_000 + b"}"),
    "an array that is a number": with_header({"__metadata__": META, "a": 1}),
    "an array of an unknown dtype": with_header(
        {"__metadata__": META, "a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}, b"1"
    ),
    "a dtype that is a list": with_header(
        {"__metadata__": META, "a": {"dtype": [], "shape": [1], "data_offsets": [0, 1]}}, b"1"
    ),
    "a length below zero": with_header(
        {"__metadata__": META, "a": {"dtype": "U8", "shape": [-1, -1], "data_offsets": [0, 1]}}, b"1"
    ),
    "a truth for a length": with_header(
        {"__metadata__": META, "a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, b"1"
    ),
    "an array that begins later": with_header(
        {"__metadata__": META, "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"12"
    ),
    "an array twice as long as the file": with_header(
        {"__metadata__": META, "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"1"
    ),
    "numbers of no array": with_header({"__metadata__": META}, b"1"),
    "no checksum that holds": with_header({"__metadata__": META}),
}


@pytest.mark.parametrize("what", ODD)
def test_what_nobody_has_written_so_is_refused(what):
    refused(ODD[what])


def test_numbers_of_no_array_are_refused_whatever_the_sum_says():
    whole = raw_tensors.checksum("t", raw_tensors.described([]), [b"more"])
    refused(with_header({"__metadata__": {"causaltest": "t", "sha256": whole}}, b"more"))


@pytest.mark.parametrize("shape", [[9] * 1_000_000, [1 << 62] * 65, [10**300] * 64])
def test_a_shape_whose_product_would_take_minutes_is_refused_at_once(shape):
    refused(with_header({"__metadata__": META, "a": {"dtype": "U8", "shape": shape, "data_offsets": [0, 0]}}))


def test_another_layout_of_the_same_header_is_refused():
    """There is one way to write it, so that a changed byte cannot pass for a matter of layout."""
    data = written(*SMALL)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    refused(with_header(json.dumps(header, indent=1).encode(), data[8 + length :]))
    refused(with_header(json.dumps(header, separators=(",", ":")).encode() + b" " * 8, data[8 + length :]))


def test_a_file_of_the_library_is_somebody_elses():
    refused(save({"a": np.zeros(2)}, metadata={"causaltest": "t"}))


def test_no_memory_is_asked_for_more_than_the_file_has():
    """A header may promise any size; the file is asked first."""
    promised = {"__metadata__": META, "a": {"dtype": "U8", "shape": [1 << 60], "data_offsets": [0, 1 << 60]}}
    data = with_header(promised, b"few")
    refused(data)
    with pytest.raises(Damaged):
        raw_from_stream(BytesIO((1 << 62).to_bytes(8, "little")), 1 << 62)


def test_a_stream_that_ends_early_is_cut_off():
    data = written(*SMALL)
    with pytest.raises(Damaged, match="cut off"):
        raw_from_stream(BytesIO(data[:-1]), len(data))


def test_more_text_than_can_be_read_again_is_not_written(monkeypatch):
    monkeypatch.setattr(raw_tensors, "LARGEST_HEADER_BYTES", 1000)
    with pytest.raises(TooLarge, match="1,000"):
        pieces("x" * 1000, {})
    with pytest.raises(RecordError, match="several"):
        tensors_to_bytes(Tensors("x" * 1000, {}))
    assert raw_from_bytes(written("x" * 800, {}))[0] == "x" * 800
