"""The bound of a store: what goes when there is no more room, and what stays."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from causaltest.store import room as rooms
from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.layout import lying
from causaltest.store.room import PARTS, PLANS, RUNS, Room
from causaltest.writing.raw_tensors import Raw

KB = 1024


def key(n: int) -> str:
    return f"{n:064x}"[::-1]


def entry(nbytes: int) -> Entry:
    return Entry({}, {"a": Raw("U8", (nbytes,), bytes(nbytes))})


def put(folder: Path, kind: str, n: int, *, used: float, nbytes: int = 10 * KB) -> None:
    """An entry that another process has kept, and last used so many seconds ago."""
    store = Store(folder)
    assert store.put(kind, key(n), entry(nbytes))
    at = time.time() - used
    os.utime(store.file(kind, key(n)), (at, at))


def kept(folder: Path, kind: str = "effects") -> list[int]:
    return [n for n in range(100) if Store(folder).file(kind, key(n)).exists()]


def total(folder: Path) -> int:
    return sum(one.nbytes for one in lying(folder))


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for n in range(8):
        put(tmp_path, "effects", n, used=1000 - n)
    store = Store(tmp_path, most_bytes=90 * KB)
    assert store.get("effects", key(0)) is not None  # used by another process: written in its times
    for n in range(8, 12):
        assert Store(tmp_path, most_bytes=90 * KB).put("effects", key(n), entry(10 * KB))
    there = kept(tmp_path)
    assert 0 in there and {8, 9, 10, 11} <= set(there) and 1 not in there
    assert [n for n in there if 1 <= n < 8] == list(range(8))[8 - len([n for n in there if 1 <= n < 8]) :]
    assert total(tmp_path) <= 90 * KB


def test_what_this_process_has_used_goes_last_whatever_the_clock_says(tmp_path):
    """Entries of the future, as a clock that was set back leaves them, look as if they were newer."""
    store = Store(tmp_path, most_bytes=100 * KB)
    for n in range(4):
        assert store.put("effects", key(n), entry(10 * KB))
    for n in range(4, 8):
        put(tmp_path, "effects", n, used=-1e6)
    for n in range(8, 11):
        assert store.put("effects", key(n), entry(10 * KB))
    assert {0, 1, 2, 3, 8, 9, 10} <= set(kept(tmp_path)) and total(tmp_path) <= 100 * KB


def test_clean_runs_go_before_what_took_long(tmp_path):
    for n in range(4):
        put(tmp_path, RUNS, n, used=10)
        put(tmp_path, "effects", n, used=10_000)
    assert Store(tmp_path, most_bytes=80 * KB).put("effects", key(9), entry(10 * KB))
    assert kept(tmp_path) == [0, 1, 2, 3, 9] and len(kept(tmp_path, RUNS)) < 4


@pytest.mark.parametrize("kind", [PLANS, PARTS])
def test_what_a_plan_goes_on_from_stays_however_small_the_store(tmp_path, kind):
    """That of another process that lives, and that of this one; what lies for days goes like all else."""
    put(tmp_path, kind, 0, used=3600)
    put(tmp_path, kind, 1, used=3 * 86400)
    store = Store(tmp_path, most_bytes=60 * KB)
    assert store.put(kind, key(2), entry(10 * KB))
    at = time.time() - 3 * 86400
    os.utime(store.file(kind, key(2)), (at, at))
    for n in range(10, 20):
        assert store.put("effects", key(n), entry(10 * KB))
    assert kept(tmp_path, kind) == [0, 2]


def test_a_store_full_of_what_may_not_go_takes_answers_still_and_no_clean_runs(tmp_path):
    store = Store(tmp_path, most_bytes=50 * KB)
    for n in range(3):
        assert store.put(PARTS, key(n), entry(15 * KB))
    assert not store.put(RUNS, key(1), entry(10 * KB))
    assert store.put("effects", key(1), entry(10 * KB)) and store.put(PLANS, key(1), entry(10))
    assert [told for told in store.problems if "full of what is being measured" in told]
    for n in range(3):
        store.drop(PARTS, key(n))
    store.room._full_at = -rooms.AGAIN_S
    assert store.put(RUNS, key(1), entry(10 * KB))


@pytest.mark.parametrize("kind", ["effects", RUNS, PLANS])
def test_an_entry_larger_than_the_store_may_become_drives_nothing_out(tmp_path, kind):
    put(tmp_path, "effects", 0, used=1000)
    store = Store(tmp_path, most_bytes=50 * KB)
    assert not store.put(kind, key(1), entry(51 * KB)) and not store.put(kind, key(2), entry(51 * KB))
    assert store.problems == [f"some {kind} are larger than the 50 KB of --causal-cache-size, so they are not kept"]
    assert kept(tmp_path) == [0]


def test_a_store_of_no_bytes_keeps_nothing_and_reads_nothing(tmp_path):
    put(tmp_path, "effects", 0, used=1)
    store = Store(tmp_path, most_bytes=0)
    assert not store.put("effects", key(1), entry(1)) and store.get("effects", key(0)) is None
    assert len(store.problems) == 2


def test_the_folder_is_not_looked_through_on_every_write(tmp_path, monkeypatch):
    looks = 0
    looked = rooms.lying

    def counted(folder: Path):
        nonlocal looks
        looks += 1
        return looked(folder)

    monkeypatch.setattr(rooms, "lying", counted)
    store = Store(tmp_path, most_bytes=1000 * KB)
    for n in range(300):
        assert store.put("effects", key(n), entry(9 * KB))
    assert looks <= 300 * 10 // 1000 * rooms.LOOKS + 30
    full = Room(tmp_path, 1)
    looks = 0
    full.most_bytes = 1000 * KB
    monkeypatch.setattr(Room, "_may_go", lambda *_: False)
    for _ in range(300):
        full.make(999 * KB)
    assert looks <= 3


def test_several_processes_keep_the_bound_together(tmp_path):
    """Each looks often enough to see what the others have written."""
    many = [Store(tmp_path, most_bytes=400 * KB) for _ in range(4)]
    chosen = random.Random(5)
    most = 0
    for n in range(400):
        assert chosen.choice(many).put("effects", f"{chosen.getrandbits(256):064x}", entry(6 * KB))
        most = max(most, total(tmp_path)) if n % 10 == 0 else most
    assert most <= 400 * KB * (1 + len(many) / rooms.LOOKS)


def test_what_was_not_written_to_its_end_goes_after_an_hour_also_from_the_future(tmp_path):
    put(tmp_path, "effects", 0, used=0)
    digits = Store(tmp_path).file("effects", key(0)).parent
    names = {".0123456789abcdef.partial": 7200, ".fedcba9876543210.partial": -7200, ".00000000000000ff.partial": 60}
    for name, used in names.items():
        (digits / name).write_bytes(b"half")
        at = time.time() - used
        os.utime(digits / name, (at, at))
    (digits / ".somebody.partial").write_bytes(b"not ours")
    os.utime(digits / ".somebody.partial", (0, 0))
    Store(tmp_path).put("effects", key(1), entry(1))
    left = {p.name for p in digits.iterdir()}
    assert left == {f"{key(0)}.safetensors", ".00000000000000ff.partial", ".somebody.partial"}


def test_nothing_is_removed_that_is_not_the_stores(tmp_path):
    """Of whatever lies there: other files, names of another form, and what links lead to."""
    outside, store = tmp_path / "outside", tmp_path / "store"
    put(outside, "effects", 1, used=1e6)
    put(store, "effects", 0, used=1e6)
    strange = [
        "notes.txt", "effects/notes.txt", f"effects/{key(2)}.safetensors", f"effects/zz/{key(3)}.safetensors",
        f"effects/00/{'f' * 64}.safetensors", f"effects/00/{key(4)}.bin", f"Documents/00/{key(0)}.safetensors",
        "damaged/mine.txt", f"locks/00/{key(0)}.safetensors",
    ]  # fmt: skip
    for name in strange:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(bytes(50 * KB))
        os.utime(store / name, (0, 0))
    (store / "answers").symlink_to(outside / "effects")
    (store / "runs").mkdir()
    (store / "runs" / key(1)[:2]).symlink_to(outside / "effects" / key(1)[:2])
    kept_store = Store(store, most_bytes=12 * KB)
    assert kept_store.put("effects", key(9), entry(10 * KB))
    assert kept(store) == [9] and kept(outside) == [1]
    assert all((store / name).exists() for name in strange)


def test_an_entry_that_is_used_while_the_folder_is_looked_through_stays(tmp_path, monkeypatch):
    put(tmp_path, "effects", 0, used=1000)
    put(tmp_path, "effects", 1, used=900)
    looked = rooms.lying

    def then_used(folder: Path):
        there = list(looked(folder))
        os.utime(Store(tmp_path).file("effects", key(0)))
        return iter(there)

    monkeypatch.setattr(rooms, "lying", then_used)
    assert Store(tmp_path, most_bytes=28 * KB).put("effects", key(2), entry(10 * KB))
    assert kept(tmp_path) == [0, 2]


def test_the_kinds_are_called_as_those_who_keep_them_call_them():
    from causaltest.measuring import kept_runs
    from causaltest.store import journal

    assert (kept_runs.KIND, journal.PART, journal.PLAN) == (RUNS, PARTS, PLANS)
