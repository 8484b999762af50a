"""Entries at an address: found by others, verified, and never in a run's way."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from causaltest.asking.lab import Lab
from causaltest.asking.settings import StorePlace
from causaltest.store.entry import Entry, entry_to_pieces
from causaltest.store.folder import Store
from causaltest.store.kept import Kept
from causaltest.store.layout import LARGEST
from causaltest.store.place import place_of
from causaltest.store.remote import Link, Remote, path_of, write
from causaltest.store.surroundings import Surroundings
from causaltest.writing import raw_tensors
from causaltest.writing.raw_tensors import Raw

KEY, OTHER = "ab" * 32, "cd" * 32
ENTRY = Entry({"n": 1}, {"x": Raw("F64", (2,), bytes(range(16)))})
AROUND = Surroundings({"called": "m", "model": {}})


@pytest.fixture
def told():
    return []


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    if request.param == "file":
        yield f"file://{tmp_path}/the share"
    else:
        yield "memory://share/of ours"
        MemoryFileSystem.store.clear()


def there(address: str) -> dict[str, bytes]:
    """All files at an address by their paths below it."""
    filesystem, base = fsspec.core.url_to_fs(address)
    return {path.removeprefix(base): filesystem.cat_file(path) for path in filesystem.find(base)}


def machine(folder: Path, address: str, told: list[str], **more: float) -> Kept:
    return Kept(Store(folder), AROUND, shared=Remote(Link(address), told.append, **more))


def test_what_one_machine_keeps_another_finds_and_keeps(address, tmp_path, told):
    one, other = machine(tmp_path / "1", address, told), machine(tmp_path / "2", address, told)
    assert one.put("effects", 1, ENTRY) and one.put("answers", 2, Entry({"n": 2})) and one.put("runs", 3, ENTRY)
    one.let_go()
    assert [other.get(*asked).said["n"] for asked in (("effects", 1), ("answers", 2), ("runs", 3))] == [1, 2, 1]
    assert bytes(other.get("runs", 3).arrays["x"].data) == bytes(range(16)) and not told
    alone = Kept(Store(tmp_path / "2"), AROUND)
    assert alone.get("effects", 1).said == {"n": 1}, "it lies here now"


def test_files_at_the_address_are_the_files_here_named_by_kind_and_key(address, tmp_path, told):
    one = machine(tmp_path / "1", address, told)
    for kind in ("effects", "answers", "runs", "plans", "parts"):
        one.put(kind, 1, ENTRY)
    one.let_go()
    keys = {kind: one.key(kind, 1) for kind in ("effects", "answers", "runs")}
    assert there(address) == {
        f"/{kind}/{key[:2]}/{key}.safetensors": one.store.file(kind, key).read_bytes() for kind, key in keys.items()
    }
    assert one.get("parts", 1) is not None
    assert machine(tmp_path / "2", address, told).get("parts", 1) is None, "journals and parts are each machine's own"


@pytest.mark.parametrize(("kind", "key"), [("../x", KEY), ("effects", "../x"), ("effects", KEY.upper()), ("a/b", KEY)])
def test_no_name_leads_out_of_the_address(kind, key):
    with pytest.raises(ValueError, match="name no entry"):
        path_of("base", kind, key)


def test_what_is_there_already_is_replaced_whole(address, tmp_path, told):
    one = machine(tmp_path / "1", address, told)
    for n in range(2):
        one.put("effects", 1, Entry({"n": n}))
        one.let_go()
    assert machine(tmp_path / "2", address, told).get("effects", 1).said == {"n": 1}
    assert len(there(address)) == 1, "no temporary is left"


@pytest.mark.parametrize("damage", ["flipped", "cut off", "another's", "empty"])
def test_an_entry_that_is_damaged_there_is_told_not_used_and_put_anew(address, tmp_path, told, damage):
    one, other = machine(tmp_path / "1", address, told), machine(tmp_path / "2", address, told)
    one.put("effects", 1, ENTRY)
    one.let_go()
    ((path, data),) = there(address).items()
    spoilt = {
        "flipped": data[:-1] + bytes([data[-1] ^ 1]),
        "cut off": data[:-1],
        "another's": b"".join(entry_to_pieces(ENTRY, "effects", OTHER)),
        "empty": b"",
    }[damage]
    filesystem, base = fsspec.core.url_to_fs(address)
    filesystem.pipe_file(base + path, spoilt)
    assert other.get("effects", 1) is None and len(told) == 1 and "damaged" in told[0]
    assert not list((tmp_path / "2").rglob("*.safetensors"))
    other.put("effects", 1, ENTRY)
    other.let_go()
    assert there(address)[path] == data and other.get("effects", 1) is not None


def test_more_than_any_entry_has_is_not_read(address, tmp_path, told, monkeypatch):
    one = machine(tmp_path / "1", address, told)
    one.put("effects", 1, ENTRY)
    one.let_go()
    (data,) = there(address).values()
    for most, found in ((len(data), True), (len(data) - 1, False)):
        monkeypatch.setitem(LARGEST, "effects", most)
        assert (machine(tmp_path / str(most), address, told).get("effects", 1) is not None) is found


@pytest.mark.parametrize("here", [True, False])
def test_what_is_too_large_to_be_read_again_is_not_sent(address, tmp_path, told, monkeypatch, here):
    if not here:
        (tmp_path / "1").write_text("a file where the folder should be")
    one = machine(tmp_path / "1", address, told)
    size = len(b"".join(entry_to_pieces(replace(ENTRY, about="m"), "effects", KEY)))
    for n, most in enumerate((size, size - 1)):
        monkeypatch.setitem(LARGEST, "effects", size)
        one.store.put("effects", one.key("effects", n), replace(ENTRY, about="m"))
        file = one.store.file("effects", one.key("effects", n)) if here else None
        monkeypatch.setitem(LARGEST, "effects", most)
        one.shared.put("effects", one.key("effects", n), replace(ENTRY, about="m"), file)
        one.let_go()
        assert len(there(address)) == 1 and not told


def test_an_entry_of_more_text_than_a_file_holds_ends_no_run(address, tmp_path, told, monkeypatch):
    monkeypatch.setattr(raw_tensors, "LARGEST_HEADER_BYTES", 1000)
    one = machine(tmp_path / "1", address, told)
    assert not one.put("effects", 1, Entry({"text": "x" * 1000}))
    one.let_go()
    assert not there(address)


def test_what_was_not_there_is_not_asked_for_twice(address, tmp_path, told):
    one, other = machine(tmp_path / "1", address, told), machine(tmp_path / "2", address, told)
    assert other.get("effects", 1) is None
    one.put("effects", 1, ENTRY)
    one.let_go()
    assert other.get("effects", 1) is None and machine(tmp_path / "3", address, told).get("effects", 1) is not None


def test_many_are_brought_at_once(address, tmp_path, told):
    one, other = machine(tmp_path / "1", address, told), machine(tmp_path / "2", address, told)
    for n in range(5):
        one.put("effects", n, Entry({"n": n}))
    one.let_go()
    other.put("effects", 0, Entry({"n": "mine"}))
    other.fetch("effects", range(7))
    here = Kept(Store(tmp_path / "2"), AROUND)
    found = [here.get("effects", n) for n in range(7)]
    assert [entry and entry.said["n"] for entry in found] == ["mine", 1, 2, 3, 4, None, None] and not told


def test_a_client_that_computes_asynchronously_is_asked_several_things_at_once(odd, tmp_path, told, monkeypatch):
    monkeypatch.setattr(Odd, "async_impl", True)
    together = threading.Barrier(8, timeout=5)
    odd(read=lambda path: together.wait())
    machine(tmp_path / "1", ODD, told).fetch("effects", range(8))
    assert not together.broken and not told


def test_what_is_only_read_is_never_written():
    class Page:
        protocol = ("http", "https")

    with pytest.raises(PermissionError, match="only read"):
        write(Page(), "http://host/x", b"")


def test_nothing_goes_there_from_a_key_that_is_in_doubt(address, tmp_path, told):
    one = machine(tmp_path / "1", address, told)
    one.doubt("it is another model")
    assert not one.put("effects", 1, ENTRY)
    one.let_go()
    assert there(address) == {}


class Odd(MemoryFileSystem):
    """A place where something is wrong. Asked through `odd://`."""

    protocol = "odd"
    read: object = None
    written: object = None

    def cat_file(self, path, start=None, end=None, **more):
        if callable(Odd.read):
            Odd.read(path)
        return super().cat_file(path, start, end, **more)

    def pipe_file(self, path, value, mode="overwrite", **more):
        if callable(Odd.written):
            Odd.written(path)
        return super().pipe_file(path, value, mode, **more)

    def put_file(self, lpath, rpath, **more):
        self.pipe_file(rpath, Path(lpath).read_bytes())


@pytest.fixture
def odd(monkeypatch):
    fsspec.register_implementation("odd", Odd, clobber=True)
    yield lambda **how: [monkeypatch.setattr(Odd, name, do) for name, do in how.items()]
    MemoryFileSystem.store.clear()


def refusing(error: Exception):
    def refuse(path: str) -> None:
        raise error

    return refuse


def refusing_all(error: Exception):
    def refuse(*_: object) -> None:
        raise error

    return refuse


ODD = "odd://me:hunter2@host/x"


@pytest.mark.parametrize("error", [OSError("no route for me:hunter2"), ValueError("hunter2"), RuntimeError()])
def test_an_address_that_cannot_be_reached_is_told_once_and_left(odd, tmp_path, told, error):
    asked = []
    odd(read=lambda path: asked.append(path) or refusing(error)(path))
    one = machine(tmp_path / "1", ODD, told)
    for n in range(3):
        assert one.get("effects", n) is None and one.put("effects", n, ENTRY)
    one.let_go()
    assert one.get("effects", 2) is not None, "the run goes on with what lies here"
    assert len(asked) == len(told) == 1 and "cannot be reached" in told[0] and "goes on without it" in told[0]
    assert "hunter2" not in told[0]


@pytest.mark.parametrize("error", [PermissionError("read only"), NotImplementedError(), OSError(30, "Read-only")])
def test_an_address_that_cannot_be_written_is_read(odd, tmp_path, told, error):
    machine(tmp_path / "1", ODD, told)
    one = machine(tmp_path / "1", ODD, told)
    one.put("effects", 1, ENTRY)
    one.let_go()
    odd(written=refusing(error))
    other = machine(tmp_path / "2", ODD, told)
    assert other.put("effects", 2, ENTRY) and other.put("effects", 3, ENTRY)
    other.let_go()
    assert other.get("effects", 1) is not None
    assert len(told) == 1 and "cannot be written" in told[0] and "kept here alone" in told[0]


@pytest.mark.parametrize("when", ["before", "while it is sent"])
def test_a_file_that_had_to_make_room_is_no_fault_of_the_address(address, tmp_path, told, monkeypatch, when):
    one = machine(tmp_path / "1", address, told)
    filesystem = type(fsspec.core.url_to_fs(address)[0])
    put_file, gone = filesystem.put_file, one.store.file("effects", one.key("effects", 1))

    def late(self, lpath: str, rpath: str, **more: object) -> None:
        if lpath == str(gone):
            gone.unlink()
        put_file(self, lpath, rpath, **more)

    begun = threading.Event()
    one.shared.link.writing.ask(lambda filesystem, base: begun.wait(), urgency=-1)
    one.put("effects", 1, ENTRY)
    if when == "before":
        gone.unlink()
    else:
        monkeypatch.setattr(filesystem, "put_file", late)
    begun.set()
    one.put("effects", 2, ENTRY)
    one.let_go()
    assert not told and len(there(address)) == 1, "and what follows is sent"


def test_an_address_that_keeps_some_from_being_read_is_read_on(odd, tmp_path, told):
    one = machine(tmp_path / "1", ODD, told)
    one.put("effects", 1, ENTRY)
    one.let_go()
    other = machine(tmp_path / "2", ODD, told)
    odd(read=refusing(PermissionError("403")))
    assert other.get("effects", 7) is None
    odd(read=None)
    assert other.get("effects", 1) is not None and len(told) == 1


@pytest.mark.parametrize("when", ["while it comes", "when it is unpacked"])
def test_an_entry_that_memory_does_not_hold_is_measured_anew_and_the_address_is_read_on(
    odd, tmp_path, told, monkeypatch, when
):
    one = machine(tmp_path / "1", ODD, told)
    for n in range(3):
        one.put("effects", n, ENTRY)
    one.let_go()
    other = machine(tmp_path / "2", ODD, told)
    with monkeypatch.context() as little:
        if when == "while it comes":
            little.setattr(Odd, "read", refusing(MemoryError()))
        else:
            little.setattr("causaltest.store.remote.entry_from_bytes", refusing_all(MemoryError()))
        assert other.get("effects", 1) is None and other.get("effects", 2) is None
    assert other.get("effects", 0) is not None and len(set(told)) == 1 and "not enough memory" in told[0]


def test_an_address_that_hangs_holds_up_nobody_for_long(odd, tmp_path, told):
    hangs = threading.Event()
    odd(read=lambda path: hangs.wait())
    one = machine(tmp_path / "1", ODD, told, patience_s=0.05)
    begun = time.monotonic()
    for n in range(20):
        assert one.get("effects", n) is None
    waited = time.monotonic() - begun
    hangs.set()
    assert waited < 2 and len(told) == 1 and "does not answer within 0.05 seconds" in told[0]


def test_an_address_that_hangs_is_waited_for_once_by_all_labs_of_a_process(odd, tmp_path, monkeypatch):
    asked, hangs = [], threading.Event()
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(Remote.__init__.__kwdefaults__, "patience_s", 0.05)
    odd(read=lambda path: asked.append(path) or hangs.wait())
    labs = [Lab.load("organism:planted", store=ODD) for _ in range(3)]
    assert [lab.backend.kept.get("effects", n) for n, lab in enumerate(labs)] == [None] * 3
    hangs.set()
    (said,) = (sentence for lab in labs for sentence in lab.told())
    assert len(asked) == 1 and "does not answer" in said
    assert labs[0].backend.store.room is labs[2].backend.store.room
    other = Lab.load("organism:planted", store=f"{ODD}/2")
    assert other.backend.store.room is not labs[0].backend.store.room


def test_what_all_labs_know_of_a_place_is_known_no_longer_than_they_are_there(tmp_path):
    place = StorePlace(str(tmp_path))
    known = place_of(place)
    assert place_of(StorePlace(str(tmp_path))) is known is not place_of(replace(place, most_bytes=1))
    gone = weakref.ref(known)
    del known
    gc.collect()
    assert gone() is None


def test_clean_runs_that_come_slowly_do_not_hold_up_answers(odd, tmp_path, told):
    one = machine(tmp_path / "1", ODD, told)
    one.put("effects", 1, ENTRY)
    one.put("runs", 1, ENTRY)
    one.let_go()
    hangs = threading.Event()
    odd(read=lambda path: "runs" in path and hangs.wait())
    other = machine(tmp_path / "2", ODD, told, patience_s=0.5)
    assert other.get("runs", 1) is None and other.get("runs", 2) is None and other.get("effects", 1) is not None
    hangs.set()
    assert len(told) == 1 and "clean runs are kept here alone" in told[0]


def test_writing_that_takes_too_long_is_left_and_small_answers_go_first(odd, tmp_path, told):
    hangs, order = threading.Event(), []
    odd(written=lambda path: order.append(path.split("/")[-3]) or ("runs" in path and hangs.wait()))
    one = machine(tmp_path / "1", ODD, told, patience_s=0.3)
    begun = threading.Event()
    one.shared.link.writing.ask(lambda filesystem, base: begun.wait(), urgency=-1)
    one.put("runs", 1, ENTRY)
    one.put("effects", 1, ENTRY)
    begun.set()
    one.let_go()
    one.put("runs", 2, ENTRY)
    hangs.set()
    one.let_go()
    assert order == ["effects", "runs"] and len(told) == 1 and "takes too long to write to" in told[0]
    assert len(there(ODD)) >= 1


def test_small_answers_are_put_there_from_a_folder_that_keeps_nothing(odd, tmp_path, told):
    place = f"{ODD}/of its own"  # what hung in another test is written meanwhile
    (tmp_path / "1").write_text("a file where the folder should be")
    one = machine(tmp_path / "1", place, told)
    assert not one.put("effects", 1, ENTRY) and not one.put("runs", 1, ENTRY)
    one.let_go()
    assert machine(tmp_path / "2", place, told).get("effects", 1) is not None
    assert machine(tmp_path / "2", place, told).get("runs", 1) is None
