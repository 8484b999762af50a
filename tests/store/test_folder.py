"""The store in a folder: what is kept, what is set aside, and what stays out of it."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.store import files, folder
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.layout import LARGEST
from causaltest.writing import raw_tensors
from causaltest.writing.raw_tensors import Raw

KEY, OTHER = "ab" * 32, "cd" * 32


def entry(n: int = 1, nbytes: int = 0) -> Entry:
    return Entry({"n": n}, {"a": Raw("U8", (nbytes,), bytes(nbytes))} if nbytes else {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def quiet(store: Store) -> bool:
    return not store.damaged and not store.problems


def test_what_is_put_is_there_for_another_process_too(store):
    assert store.get("effects", KEY) is None
    assert store.put("effects", KEY, Entry({"n": 1}, {"a": Raw("F64", (1,), struct.pack("<d", 0.5))}, "a model"))
    again = Store(store.folder).get("effects", KEY)
    assert again is not None and again.said == {"n": 1} and again.about == "a model"
    assert bytes(again.arrays["a"].data) == struct.pack("<d", 0.5)
    assert store.put("effects", KEY, entry(2)) and store.get("effects", KEY).said == {"n": 2}
    store.drop("effects", KEY)
    store.drop("effects", KEY)
    assert store.get("effects", KEY) is None and quiet(store)


def test_nothing_but_entries_is_left_behind(store):
    store.put("effects", KEY, entry())
    assert [p.relative_to(store.folder).as_posix() for p in store.folder.rglob("*") if p.is_file()] == [
        f"effects/ab/{KEY}.safetensors"
    ]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("effects", KEY[:-1]),
        ("effects", KEY.upper()),
        ("effects", "../" * 21 + "x"),
        ("effects", f"{KEY}\n"),
        ("../effects", KEY),
        ("", KEY),
        ("/etc", KEY),
        ("damaged", KEY),
        ("locks", KEY),
    ],
)
def test_no_name_leads_out_of_the_folder(store, kind, key):
    for asked in (store.get, store.drop, store.file):
        with pytest.raises(ValueError, match="name no entry"):
            asked(kind, key)
    with pytest.raises(ValueError, match="name no entry"):
        store.put(kind, key, entry())


def test_an_entry_may_be_read_by_whom_the_umask_says(store):
    before = os.umask(0o002)
    try:
        store.put("effects", KEY, entry())
        with store.alone("effects", KEY):
            pass
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in store.folder.rglob("*")}
    assert modes == {
        "effects": 0o775,
        "ab": 0o775,
        f"{KEY}.safetensors": 0o664,
        "locks": 0o775,
        "effects-aba": 0o664,
    }


# Damage


def damage(file: Path, how: str) -> None:
    whole = file.read_bytes()
    if how == "a folder in its place":
        file.unlink()
        file.mkdir()
        (file / "something").write_text("inside")
    elif how == "a link in its place":
        elsewhere = file.parent / "elsewhere"
        elsewhere.write_bytes(whole)
        file.unlink()
        file.symlink_to(elsewhere)
    elif how == "a pipe in its place":
        file.unlink()
        os.mkfifo(file)
    else:
        file.write_bytes({"cut": whole[:-1], "longer": whole + b"\0", "empty": b"", "changed": whole[:-1] + b"x"}[how])


@pytest.mark.parametrize(
    "how",
    ["cut", "longer", "empty", "changed", "a folder in its place", "a link in its place", "a pipe in its place"],
)
def test_what_is_damaged_is_set_aside_told_and_kept_anew(store, how):
    store.put("effects", KEY, entry(1, nbytes=9))
    file = store.file("effects", KEY)
    for turn in (1, 2):
        damage(file, how)
        assert store.get("effects", KEY) is None
        assert len(store.damaged) == turn and not store.problems
        aside = store.folder / store.damaged[-1].rsplit(" ", 1)[1]
        assert aside.parent == store.folder / "damaged" and os.path.lexists(aside) and not os.path.lexists(file)
        assert store.get("effects", KEY) is None and len(store.damaged) == turn
        assert store.put("effects", KEY, entry(2, nbytes=9)) and store.get("effects", KEY).said == {"n": 2}


def test_entries_that_changed_places_are_both_set_aside(store):
    for kind, key in (("effects", KEY), ("effects", OTHER), ("answers", KEY)):
        store.put(kind, key, entry())
    one, other, third = store.file("effects", KEY), store.file("effects", OTHER), store.file("answers", KEY)
    middle = one.with_name("middle")
    one.rename(middle), other.rename(one), third.rename(other), middle.rename(third)
    assert [store.get(*at) for at in (("effects", KEY), ("effects", OTHER), ("answers", KEY))] == [None] * 3
    assert len(store.damaged) == 3 and all("belongs somewhere else" in told for told in store.damaged)


@settings(max_examples=60)
@given(st.data())
def test_whatever_bytes_lie_there_either_nothing_or_the_entry_is_read(tmp_path_factory, data):
    store = Store(tmp_path_factory.mktemp("any"))
    store.put("effects", KEY, entry(7, nbytes=16))
    file = store.file("effects", KEY)
    whole = file.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    file.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[stop:])
    changed = file.read_bytes() != whole
    assert (store.get("effects", KEY) is None) == changed == bool(store.damaged)


def test_an_entry_that_was_measured_anew_meanwhile_is_not_set_aside(store, monkeypatch):
    """Two processes find the same damage; the slower one must not take away what the other has kept by then."""
    store.put("effects", KEY, entry(1))
    file = store.file("effects", KEY)
    file.write_bytes(b"damaged")
    opened = folder.opened

    def slowly(place: Path):
        stream = opened(place)
        monkeypatch.setattr(folder, "opened", opened)
        other = Store(store.folder)
        assert other.get("effects", KEY) is None and other.damaged
        other.put("effects", KEY, entry(2))
        return stream

    monkeypatch.setattr(folder, "opened", slowly)
    assert store.get("effects", KEY) is None and not store.damaged
    assert store.get("effects", KEY).said == {"n": 2}


def test_who_reads_an_entry_while_it_is_replaced_reads_the_one_or_the_other(store):
    store.put("effects", KEY, entry(1, nbytes=200_000))
    writer = (
        "import sys; from pathlib import Path\n"
        "from causaltest.store.folder import Store; from causaltest.store.entry import Entry\n"
        "from causaltest.writing.raw_tensors import Raw\n"
        "store = Store(Path(sys.argv[1])); print('begun', flush=True)\n"
        "for n in range(200):\n"
        f"    store.put('effects', '{KEY}', Entry({{'n': n}}, {{'a': Raw('U8', (200_000,), bytes([n]) * 200_000)}}),"
        " lasting=False)\n"
    )
    with subprocess.Popen([sys.executable, "-c", writer, str(store.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        while process.poll() is None:
            read = store.get("effects", KEY)
            assert read is not None
            if (n := read.said["n"]) != 1:
                assert bytes(read.arrays["a"].data) == bytes([n]) * 200_000
    assert process.returncode == 0 and quiet(store)


# Links


def link_out(store: Store, place: str, tmp_path: Path) -> Path:
    """Puts a link that leads out of the store in a folder's place; where it leads."""
    outside = tmp_path / "outside"
    there = store.folder / place
    if there.exists():
        there.rename(outside)
    else:
        outside.mkdir()
    there.symlink_to(outside, target_is_directory=True)
    return outside


@pytest.mark.parametrize("place", ["effects", "effects/ab"])
def test_a_folder_that_is_a_link_is_neither_read_nor_written_nor_emptied(store, tmp_path, place):
    store.put("effects", KEY, entry())
    outside = link_out(store, place, tmp_path)
    before = sorted(outside.rglob("*"))
    assert store.get("effects", KEY) is None
    assert not store.put("effects", KEY, entry(2)) and not store.put("effects", KEY[:2] + OTHER[2:], entry(2))
    store.drop("effects", KEY)
    store.set_aside("effects", KEY, "for a reason")
    assert sorted(outside.rglob("*")) == before
    assert any("link" in told for told in store.problems)


@pytest.mark.parametrize("place", ["damaged", "locks"])
def test_nothing_is_set_aside_or_locked_through_a_link(store, tmp_path, place):
    store.put("effects", KEY, entry())
    outside = link_out(store, place, tmp_path)
    store.file("effects", KEY).write_bytes(b"damaged")
    with store.alone("effects", KEY):
        assert store.get("effects", KEY) is None
    assert list(outside.iterdir()) == [] and len(store.damaged) == 1


def test_a_lock_that_is_a_link_is_not_followed(store, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (store.folder / "locks").mkdir(parents=True)
    (store.folder / "locks" / "effects-aba").symlink_to(target)
    with store.alone("effects", KEY):
        pass
    assert target.read_text() == "precious"


def test_a_link_in_an_entrys_place_is_replaced_and_not_written_through(store, tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    store.put("effects", KEY, entry())
    file = store.file("effects", KEY)
    file.unlink()
    file.symlink_to(target)
    assert store.put("effects", KEY, entry(3)) and store.get("effects", KEY).said == {"n": 3}
    assert target.read_text() == "precious" and not file.is_symlink()


def test_the_folder_itself_may_be_a_link_that_the_user_has_made(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "real")
    store = Store(tmp_path / "store")
    assert store.put("effects", KEY, entry()) and store.get("effects", KEY) is not None and quiet(store)


# What cannot be written or read


def test_a_file_where_the_folder_should_be_is_told_once_and_loses_nothing(tmp_path):
    place = tmp_path / "store"
    place.write_text("a file")
    heard: list[str] = []
    store = Store(place, hear=heard.append)
    with store.alone("effects", KEY):
        for _ in range(3):
            assert store.get("effects", KEY) is None and not store.put("effects", KEY, entry())
    store.drop("effects", KEY)
    assert len(heard) == len(store.problems) == 2 and "cannot be written" in heard[1]
    assert place.read_text() == "a file"


@pytest.mark.parametrize("failing", ["fsync", "replace", "open"])
def test_a_disk_that_fills_up_leaves_no_half_written_file(store, monkeypatch, failing):
    store.put("effects", KEY, entry(1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, failing, full)
        assert not store.put("effects", KEY, entry(2)) and not store.put("effects", OTHER, entry(2))
    assert store.problems == [
        f"{store.folder} cannot be written (No space left on device), so what is measured is not kept"
    ]
    assert [p.name for p in store.folder.rglob("*") if p.is_file()] == [f"{KEY}.safetensors"]
    assert store.get("effects", KEY).said == {"n": 1}


def test_what_is_too_large_for_a_header_is_told_and_not_written(store, monkeypatch):
    monkeypatch.setattr(raw_tensors, "LARGEST_HEADER_BYTES", 1000)
    assert not store.put("effects", KEY, Entry({"text": "x" * 1000}))
    assert "1,000" in store.problems[0] and not store.folder.exists()


def test_a_file_larger_than_the_bound_is_not_read_into_memory(store):
    store.put("effects", KEY, entry(1))
    with store.file("effects", KEY).open("r+b") as stream:
        stream.truncate(1 << 40)
    assert store.get("effects", KEY) is None
    assert "larger than the 10 GB of --causal-cache-size" in store.problems[0]


@pytest.mark.parametrize("kind", LARGEST)
def test_a_file_that_claims_more_than_any_of_its_kind_has_is_set_aside_unread(store, kind, monkeypatch):
    """It takes no room on the disk to claim so."""
    monkeypatch.setitem(LARGEST, kind, 1 << 19)
    store.put(kind, KEY, entry(1))
    with store.file(kind, KEY).open("r+b") as stream:
        stream.truncate((1 << 19) + 1)
    monkeypatch.setattr("causaltest.store.folder.entry_from_stream", lambda *_: pytest.fail("it was read"))
    assert store.get(kind, KEY) is None
    assert f"larger than any of the {kind}" in store.damaged[0] and not store.file(kind, KEY).exists()


def test_what_is_larger_than_any_of_its_kind_is_told_and_not_kept(store, monkeypatch):
    monkeypatch.setitem(LARGEST, "effects", 400)
    assert store.put("effects", KEY, entry(1, nbytes=9)) and store.put("letters", KEY, entry(1, nbytes=900))
    assert not store.put("effects", OTHER, entry(1, nbytes=900)) and store.get("letters", KEY) is not None
    assert store.problems == ["some effects are not kept: they are larger than 400 B"]


def test_what_lasts_is_on_the_disk_with_its_name_when_put_returns(store, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    store.put("runs", KEY, entry(), lasting=False)
    assert not [name for name in synced if name.endswith(".partial")]
    synced.clear()
    store.put("effects", KEY, entry())
    digits = str(store.file("effects", KEY).parent)
    assert synced[-2].endswith(".partial") and synced[-1] == digits
    assert str(store.folder / "effects") in synced


def test_a_lock_is_held_by_one_and_let_go_of_by_the_dead(store, tmp_path):
    holder = (
        "import sys, time; from pathlib import Path; from causaltest.store.folder import Store\n"
        f"with Store(Path(sys.argv[1])).alone('effects', '{KEY}'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(store.folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        from filelock import FileLock, Timeout

        with pytest.raises(Timeout), FileLock(store.folder / "locks" / "effects-aba", timeout=0.05):
            pass
        process.kill()
        with store.alone("effects", KEY):
            pass
