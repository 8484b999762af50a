"""Arrays: numbers from lists and from safetensors files, and nothing from any other file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking import arrays
from causaltest.asking.arrays import Array, array_of, read_array
from causaltest.errors import SiteError


def written(path: Path, header: Any, data: bytes = b"") -> str:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + data)
    return str(path)


def matrix(path: Path, rows: int = 3, columns: int = 4) -> str:
    data = struct.pack(f"<{rows * columns}f", *range(rows * columns))
    entry = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [8, 8 + len(data)]}
    return written(path, {"__metadata__": {"made": "by hand"}, "m": entry}, b"12345678" + data)


def floats(array: Array) -> list[float]:
    code = {"F64": "d", "F32": "f"}[array.dtype]
    return list(struct.unpack(f"<{len(array.data) // struct.calcsize(code)}{code}", array.data))


# numbers


class Likened:
    """What an array of numpy or torch offers."""

    def tolist(self) -> list[list[float]]:
        return [[1.0, 2.0], [3.0, 4.5]]


def test_numbers_and_rows_of_numbers_are_kept_as_they_are() -> None:
    assert array_of([1, 2.5], "it") == Array("F64", (1, 2), struct.pack("<2d", 1, 2.5))
    assert array_of(Likened(), "it") == array_of([(1, 2), (3, 4.5)], "it")
    assert array_of([[1, 2], [3, 4]], "it").digest != array_of([[1, 2, 3, 4]], "it").digest


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ([], "takes numbers, rows of numbers, or a safetensors file"),
        (3.0, "takes numbers, rows of numbers"),
        ({"d": 1}, "takes numbers, rows of numbers"),
        ([[]], r"rows of one length, and got rows of \[0\]"),
        ([[1, 2], [3]], r"rows of one length, and got rows of \[1, 2\]"),
        ([1.0, float("nan")], "finite numbers, and nan is none"),
        ([float("inf")], "finite numbers, and inf is none"),
        ([True], "finite numbers, and True is none"),
        (["1"], "finite numbers, and '1' is none"),
    ],
)
def test_what_are_no_numbers_is_refused(odd: Any, told: str) -> None:
    with pytest.raises(SiteError, match=f"it .*{told}"):
        array_of(odd, "it")


# files


def test_an_array_is_read_where_the_header_says(tmp_path: Path) -> None:
    path = matrix(tmp_path / "m.safetensors")
    assert read_array(path, "m").shape == (3, 4)
    assert floats(read_array(path, "m")) == list(range(12))


@given(st.data(), st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_some_rows_or_columns_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: int, columns: int
) -> None:
    path = matrix(tmp_path_factory.mktemp("m") / "m.safetensors", rows, columns)
    axis = data.draw(st.integers(0, 1))
    chosen = data.draw(st.lists(st.integers(0, (rows, columns)[axis] - 1), min_size=1, max_size=3))
    table = [[r * columns + c for c in range(columns)] for r in range(rows)]
    wanted = [table[r] for r in chosen] if axis == 0 else [[row[c] for c in chosen] for row in table]
    got = read_array(path, "m", select=(axis, chosen))
    assert got.shape == (len(wanted), len(wanted[0]))
    assert floats(got) == [n for row in wanted for n in row]


def test_an_array_or_an_index_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = matrix(tmp_path / "m.safetensors")
    for key in ("n", "__metadata__"):
        with pytest.raises(SiteError, match=rf"m\.safetensors has no array '{key}'; it has \['m'\]"):
            read_array(path, key)
    with pytest.raises(SiteError, match=r"shape \[3, 4\], so no feature 3 lies along its axis 0"):
        read_array(path, "m", select=(0, [1, 3]))
    with pytest.raises(SiteError, match=r"shape \[3, 4\], and an array with 3 axes is needed"):
        read_array(path, "m", select=(2, [0]))


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    for name, content in {
        "empty": b"",
        "short": b"1234",
        "pickle": b"\x80\x04\x95" + b"\xff" * 30,
        "no json": (4).to_bytes(8, "little") + b"{not",
        "list": (2).to_bytes(8, "little") + b"[]",
        "deep": (400_000).to_bytes(8, "little") + b"[" * 400_000,
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SiteError, match=r"no safetensors file|cannot be read as a safetensors file"):
            read_array(str(tmp_path / name), "m")
    with pytest.raises(
        SiteError, match=r"missing cannot be read as a safetensors file.*pickled files are never opened"
    ):
        read_array(str(tmp_path / "missing"), "m")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dtype": "I64"}, "is of type I64; vectors are of type F64, F32, F16, BF16"),
        ({"dtype": None}, "is of type None"),
        ({"shape": [3, -4]}, r"says shape \[3, -4\]"),
        ({"shape": "3"}, "says shape 3"),
        ({"shape": [2, 4]}, r"does not fit: shape \[2, 4\]"),
        ({"shape": [1 << 62, 4]}, "does not fit"),
        ({"data_offsets": [0, 1 << 40]}, "does not fit"),
        ({"data_offsets": [48, 0]}, "does not fit"),
        ({"shape": [6, 4], "data_offsets": [0, 96]}, r"does not fit: shape \[6, 4\] at 0 to 96 of 48 bytes"),
        ({"data_offsets": [0]}, r"offsets \[0\]"),
        ({"data_offsets": [True, 48]}, "no array has these"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    entry = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48], **change}
    with pytest.raises(SiteError, match=told):
        read_array(written(tmp_path / "m.safetensors", {"m": entry}, bytes(48)), "m")


def test_an_array_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = matrix(tmp_path / "m.safetensors")
    monkeypatch.setattr(arrays, "LARGEST_ARRAY_BYTES", 32)
    with pytest.raises(SiteError, match=r"'m' of .* has 48 bytes; 32 are read at most"):
        read_array(path, "m")
    assert len(read_array(path, "m", select=(0, [0, 1])).data) == 32
    with pytest.raises(SiteError, match="has 48 bytes"):
        read_array(path, "m", select=(0, [0, 1, 2]))
