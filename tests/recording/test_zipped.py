"""A few files in one: the same bytes for the same files, and nothing read but what was expected, within bounds."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest.errors import RecordError
from causaltest.recording import zipped as module
from causaltest.recording.zipped import unzipped, zipped

NAMES = ("a.json", "b.txt")
FILES = {"a.json": b"{}", "b.txt": b"x" * 5000}


def kept(folder: Path, data: bytes) -> Path:
    file = folder / "it.zip"
    file.write_bytes(data)
    return file


def made(fill: Callable[[zipfile.ZipFile], None]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        fill(archive)
    return stream.getvalue()


@given(st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=200)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_packed_comes_back_and_order_does_not_matter(tmp_path: Path, files: dict[str, bytes]) -> None:
    data = zipped(files)
    assert data == zipped(dict(reversed(files.items())))
    assert unzipped(kept(tmp_path, data), NAMES) == files


def test_no_time_and_no_machine_is_in_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(FILES)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    assert zipped(FILES) == data


def test_a_zip_that_somebody_packed_again_is_read(tmp_path: Path) -> None:
    again = made(lambda z: [z.writestr(name, FILES[name], zipfile.ZIP_DEFLATED) for name in reversed(NAMES)])
    assert unzipped(kept(tmp_path, again), NAMES) == FILES


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("a.json")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("a.json", "{}")
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.json", "[]")


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (made(lambda z: z.writestr("../a.json", "{}")), r"'\.\./a\.json', and a bundle holds a\.json, b\.txt"),
        (made(lambda z: z.writestr("/a.json", "{}")), "'/a.json'"),
        (made(lambda z: z.writestr("A.JSON", "{}")), "'A.JSON'"),
        (made(lambda z: z.writestr("a.json/", "")), "'a.json/'"),
        (renamed(made(lambda z: z.writestr("a.jsonXb", "{}")), b"a.jsonXb", b"a.json\0b"), r"a\.json\\x00b"),
        (made(link), "a link"),
        (made(lambda z: z.writestr("a.json", "{}" * 99, zipfile.ZIP_BZIP2)), "only some programs read"),
        (b"", "cannot be read as a ZIP"),
        (b"PK\5\6", "cannot be read as a ZIP"),
        (b"a text", "cannot be read as a ZIP"),
        (zipped(FILES)[:-30], "cannot be read as a ZIP"),
        (zipped(FILES)[:900] + b"!" + zipped(FILES)[901:], "cannot be read as a ZIP"),
    ],
)
def test_what_no_bundle_has_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    with pytest.raises(RecordError, match=told):
        unzipped(kept(tmp_path, data), NAMES)


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds 'a\.json' twice"):
        unzipped(kept(tmp_path, made(twice)), NAMES)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.json": b"{}"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(RecordError, match="encrypted"):
        unzipped(kept(tmp_path, bytes(data)), NAMES)


def test_what_is_too_large_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = made(lambda z: z.writestr("a.json", b"0" * 300_000, zipfile.ZIP_DEFLATED))
    assert len(bomb) < 2000
    monkeypatch.setattr(module, "LARGEST", 100_000)
    with pytest.raises(RecordError, match="more than"):
        unzipped(kept(tmp_path, bomb), NAMES)
    with pytest.raises(RecordError, match="MB, and a bundle has at most"):
        unzipped(kept(tmp_path, b"0" * 100_001), NAMES)


def test_a_file_that_is_longer_than_it_says_is_refused(tmp_path: Path) -> None:
    data = bytearray(made(lambda z: z.writestr("a.json", b"0" * 300_000, zipfile.ZIP_DEFLATED)))
    where = data.index(b"PK\1\2") + 24
    assert struct.unpack_from("<I", data, where) == (300_000,)
    struct.pack_into("<I", data, where, 10)
    with pytest.raises(RecordError, match="cannot be read as a ZIP"):
        unzipped(kept(tmp_path, bytes(data)), NAMES)


def test_a_folder_is_no_zip(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read"):
        unzipped(tmp_path, NAMES)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_the_files_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(zipped({"a.json": b"{}", "b.txt": b"xyz"}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        files = unzipped(kept(tmp_path, bytes(whole)), NAMES)
    except RecordError as error:
        assert "it.zip" in str(error)
    else:
        assert set(files) <= set(NAMES)


def test_what_unpacks_to_very_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    burst = made(lambda z: z.writestr("a.json", b"0" * (200 << 20), zipfile.ZIP_DEFLATED))
    assert len(burst) < 1 << 20
    with pytest.raises(RecordError, match=r"'a\.json' unpacks to 200 MB out of \d+ kB"):
        unzipped(kept(tmp_path, burst), NAMES)


def test_a_long_list_of_files_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = made(lambda z: [z.writestr(f"{n}" + "x" * 200, b"") for n in range(400)])
    commented = made(lambda z: [setattr(z, "comment", b"said"), *[z.writestr(f"{n}" * 80, b"") for n in range(400)]])
    monkeypatch.setattr(module.zipfile, "ZipFile", lambda *_: pytest.fail("the list was read"))
    for data in (long, commented):
        with pytest.raises(RecordError, match="its list of files has"):
            unzipped(kept(tmp_path, data), NAMES)


def test_a_record_of_large_files_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    data = zipped(FILES)
    locator = b"PK\x06\x07" + bytes(16)
    with pytest.raises(RecordError, match="as files of 4 GB and more are"):
        unzipped(kept(tmp_path, data[:-22] + locator + data[-22:]), NAMES)
