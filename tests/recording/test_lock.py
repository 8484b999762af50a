"""Lock: the text that a person commits says what was registered, and nothing else is taken for one."""

from __future__ import annotations

import difflib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import entered, fields, spec

from causaltest.errors import RecordError
from causaltest.recording.amendment import amend
from causaltest.recording.lock import Entry, Lock, chained, parse_lock, read_lock, write_lock
from causaltest.recording.lock_text import formatted
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate
from causaltest.writing.canonical import plain

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SPECS = st.dictionaries(TEXT, PLAIN, max_size=4)


CIRCUMSTANCES = {"at": "then", "commit": "", "ledger": {"head": "", "lines": 0}, "versions": {"python": "3.11"}}


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    entries = {
        id: Entry(
            id,
            {**draw(SPECS), "family": {"size": draw(st.integers(1, 2**53))}},
            draw(TEXT),
            tuple(draw(st.lists(TEXT, max_size=2))),
            tuple(draw(st.lists(SPECS, max_size=2))),
        )
        for id in draw(st.lists(TEXT, unique=True, max_size=4))
    }
    events, head = [], ""
    for why in draw(st.lists(TEXT, max_size=3)):
        made = {"kind": "amend", "claim": "x", "prior": "p", "spec": "s", "why": why}
        events.append(chained({**made, **CIRCUMSTANCES, "versions": {"python": why}}, previous=head))
        head = events[-1]["hash"]
    return Lock(entries, tuple(events))


@settings(deadline=None)
@given(locks())
def test_what_is_written_is_what_is_read_and_written_again(lock: Lock) -> None:
    text = formatted(lock).encode()
    read = parse_lock(text, named="it")
    assert read == lock
    assert formatted(read).encode() == text
    assert all(entry.stated == entry.digest for entry in read.entries.values())


def text_of(lock: Lock) -> dict:
    return json.loads(formatted(lock))


def small() -> Lock:
    event = {
        "kind": "register",
        "claims": 1,
        "digest": "d",
        **CIRCUMSTANCES,
    }
    return Lock({"a::b": Entry("a::b", plain(fields()), "d")}, (chained(event, previous=""),))


def edited(*path, value=None, remove=False) -> bytes:
    data = text_of(small())
    at = data
    for name in path[:-1]:
        at = at[name]
    if remove:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return json.dumps(data).encode()


DEEP = "[" * 70 + "]" * 70
TEXTS = {
    "empty": (b"", "no JSON"),
    "cut": (formatted(small()).encode()[:-20], "no JSON"),
    "another file": (b"[1, 2]", 'it does not say "format": "causaltest lock"'),
    "not UTF-8": (b'{"format": "\xff"}', "not UTF-8"),
    "half a character": (edited("claims", "a::b", "spec", "x", value="\ud800"), "not UTF-8"),
    "newer": (edited("version", value=2), "version 2, of a newer causaltest; this one reads up to version 1"),
    "no version": (edited("version", remove=True), "None for version"),
    "version zero": (edited("version", value=0), "0 for version"),
    "a true version": (edited("version", value=True), "True for version"),
    "NaN": (edited("claims", "a::b", "spec", "x", value=float("nan")), "the number NaN"),
    "infinity": (edited("claims", "a::b", "spec", "x", value=float("inf")), "the number Infinity"),
    "a decimal": (edited("claims", "a::b", "spec", "x", value=0.5), "the number 0.5"),
    "a huge integer": (b'{"format": ' + b"9" * 5000 + b"}", "no JSON"),
    "deep": (edited("claims", "a::b", "spec", "x", value="@").replace(b'"@"', DEEP.encode()), "deeper than 60"),
    "very deep": (b"[" * 200_000, "deeper than 60|no JSON"),
    "claims that are a list": (edited("claims", value=[]), "for claims, which is a mapping"),
    "one claim a text": (edited("claims", "a::b", value="x"), "claim 'a::b' is no mapping"),
    "one field more": (edited("claims", "a::b", "note", value="x"), "claim 'a::b' has 'note', which no lock has"),
    "one field less": (edited("claims", "a::b", "seen", remove=True), "claim 'a::b' lacks seen"),
    "a batch that is a number": (edited("claims", "a::b", "batch", value=1), "1 for batch, which is a text"),
    "a prior that is a text": (edited("claims", "a::b", "prior", value=["x"]), "prior spec that is no mapping"),
    "seen by a number": (edited("claims", "a::b", "seen", value=[1]), "no list of sentences"),
    "a spec without a family": (edited("claims", "a::b", "spec", "family", remove=True), "None for family.size"),
    "a family that is a list": (edited("claims", "a::b", "spec", "family", value=[2]), "None for family.size"),
    "a size that is a text": (edited("claims", "a::b", "spec", "family", "size", value="2"), "'2' for family.size"),
    "a size of none": (edited("claims", "a::b", "spec", "family", "size", value=0), "0 for family.size"),
    "an unknown event": (edited("events", 0, "kind", value="wish"), "event 1 has 'wish' for kind"),
    "an event that is a text": (edited("events", 0, value="wish"), "event 1 has None for kind"),
    "an event with a list for kind": (edited("events", 0, "kind", value=[]), "event 1 has \\[\\] for kind"),
    "an event without a ledger": (edited("events", 0, "ledger", remove=True), "event 1 lacks ledger"),
    "a ledger without a head": (edited("events", 0, "ledger", value={"lines": 0}), "ledger in event 1 lacks head"),
    "a version that is a number": (edited("events", 0, "versions", value={"torch": 2}), "2 for torch, which is a text"),
    "a true count": (edited("events", 0, "claims", value=True), "True for claims, which is a whole number"),
    "another name": (edited("events", 0, "was", value="x"), "event 1 has 'was'"),
}


@pytest.mark.parametrize(("text", "said"), TEXTS.values(), ids=TEXTS)
def test_what_is_no_lock_is_refused_with_what_to_do(tmp_path, text: bytes, said: str) -> None:
    file = tmp_path / "claims.lock"
    file.write_bytes(text)
    with pytest.raises(RecordError, match=said) as raised:
        read_lock(file)
    assert str(raised.value).startswith(f"{file} cannot be read as a lock: it") or "claim" in str(raised.value)
    do = "pip install --upgrade causaltest" if said.startswith("version 2") else "git checkout HEAD -- claims.lock"
    assert do in str(raised.value)


def test_marks_of_a_merge_are_told_with_how_to_join_both_sides(tmp_path) -> None:
    file = tmp_path / "claims.lock"
    for marks in ("<<<<<<< HEAD\n", "=======\r\n", ">>>>>>> other\n"):
        file.write_bytes(formatted(small()).replace("  }\n", f"  }}\n{marks}", 1).encode())
        with pytest.raises(RecordError, match=r"merge-conflict markers.* `causaltest register FOLDER --merge`"):
            read_lock(file)


def test_json_that_says_a_thing_twice_is_refused_and_not_read_by_its_last(tmp_path) -> None:
    file = tmp_path / "claims.lock"
    text = formatted(small())
    entry = text.split('"claims": {\n')[1].split("\n },")[0]
    file.write_text(text.replace(entry, f"{entry},\n{entry}"))
    with pytest.raises(RecordError, match="it has 'a::b' twice"):
        read_lock(file)
    file.write_text(text.replace('"threshold":"0.3"', '"threshold":"0.9","threshold":"0.3"'))
    with pytest.raises(RecordError, match="it has 'threshold' twice"):
        read_lock(file)


def test_a_lock_that_a_formatter_or_windows_has_laid_out_anew_is_the_same_lock(tmp_path) -> None:
    file = tmp_path / "claims.lock"
    file.write_text(json.dumps(text_of(small()), indent=4))
    assert read_lock(file) == small()
    file.write_bytes(formatted(small()).replace("\n", "\r\n").encode())
    assert read_lock(file) == small()


def test_no_file_is_an_empty_lock_and_a_folder_is_none(tmp_path) -> None:
    assert read_lock(tmp_path / "claims.lock") == Lock()
    with pytest.raises(RecordError, match="cannot be read"):
        read_lock(tmp_path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("causaltest.recording.lock.LARGEST", 100)
    monkeypatch.setattr("causaltest.recording.lock_text.LARGEST", 100)
    file = tmp_path / "claims.lock"
    file.write_text(formatted(small()))
    with pytest.raises(RecordError, match="it is larger than"):
        read_lock(file)


def test_a_lock_is_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    file = tmp_path / "claims.lock"
    write_lock(file, small())
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as broken, pytest.raises(RecordError, match="is as it was: No space left"):
            broken.setattr(os, step, full)
            write_lock(file, Lock())
        assert file.read_bytes() == before
        assert os.listdir(tmp_path) == ["claims.lock"]


def test_a_lock_keeps_its_permissions_and_may_be_a_link(tmp_path) -> None:
    file = tmp_path / "claims.lock"
    write_lock(file, small())
    other = tmp_path / "other"
    other.touch()
    assert file.stat().st_mode == other.stat().st_mode
    file.chmod(0o640)
    link = tmp_path / "link.lock"
    link.symlink_to(file)
    write_lock(link, Lock())
    assert link.is_symlink() and read_lock(file) == Lock()
    assert file.stat().st_mode & 0o777 == 0o640


def test_the_lock_of_a_thousand_claims_differs_by_one_entry_when_one_threshold_changes(tmp_path) -> None:
    record = Record(tmp_path)
    specs = [spec(f"test_a.py::test_layer[{i}]") for i in range(1000)]
    entered(record, *specs)
    before = record.lock_file.read_text().splitlines()
    changed = spec(specs[500].id, threshold="0.4")
    amend(record, [Candidate(changed)], [changed.id], why="A pilot")
    after = record.lock_file.read_text().splitlines()
    assert len(after) == len(before) + 1
    added = next(i for i, (old, new) in enumerate(zip(before, after, strict=False)) if new == f"{old},") + 1
    assert '"kind":"amend"' in after.pop(added)
    changes = [(i, old, new) for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert [new.split('"')[1] for _, _, new in changes] == ["hash", "prior", "prediction", "at"]
    assert changes[-1][2] == f"{changes[-1][1]},"
    start = next(i for i, line in enumerate(after) if changed.id in line)
    assert all(start < i < start + 20 for i, _, _ in changes[:3])


def test_an_entry_knows_the_registration_that_it_came_in_by(tmp_path) -> None:
    record = Record(tmp_path)
    entered(record, spec("test_a.py::a"))
    entered(record, spec("test_a.py::b"))
    lock = record.lock
    assert [lock.event_of(lock.entries[f"test_a.py::{id}"]) for id in "ab"] == list(lock.events)
    assert lock.event_of(Entry("x", {}, "0" * 12)) is None


def test_a_new_claim_is_one_entry_in_its_place(tmp_path) -> None:
    record = Record(tmp_path)
    entered(record, spec("test_a.py::a"), spec("test_a.py::c"))
    before = record.lock_file.read_text().splitlines()
    entered(record, spec("test_a.py::b"))
    after = record.lock_file.read_text().splitlines()
    hunks = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line.startswith("@@")]
    assert len(hunks) == 2  # the entry, and the events
