"""Verification: any value that is changed by hand shows, and so does a record that was begun anew."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import commit, entered, git, looked, repository, spec

from causaltest.errors import RecordError, Tampered
from causaltest.recording.amendment import amend
from causaltest.recording.committed_versions import ALWAYS_READ, event_hashes
from causaltest.recording.lock import Entry, Lock, batch_digest, chained, parse_lock, write_lock
from causaltest.recording.lock_text import formatted
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.verification import broken_lock, broken_record, broken_ties
from causaltest.writing.canonical import digest_of

A, B, C = (spec(f"test_a.py::test_{name}") for name in "abc")
A2, B2 = spec(A.id, threshold="0.4"), spec("test_a.py::test_other", sentence="Of another name.")


def append(record: Record, line: dict[str, Any]) -> None:
    with (record.folder / "claims.ledger").open("a") as stream:
        stream.write(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Lock, list[dict[str, Any]]]:
    """Two batches, a look, an amendment, a new name, and a look at another claim."""
    record = Record(tmp_path_factory.mktemp("record"))
    register(record, [Candidate(A, ("a sweep",)), Candidate(B)])
    first = looked(record.lock.head, A)
    append(record, first)
    entered(record, C)
    amend(record, [Candidate(A2)], [A.id], why="A pilot")
    amend(record, [Candidate(B2)], [B2.id], why="A better name", was=B.id)
    append(record, looked(record.lock.head, C, previous=first["hash"]))
    return record.lock, list(Record(record.folder).ledger.lines)


def test_a_record_that_nobody_touched_holds(written) -> None:
    lock, lines = written
    assert broken_lock(lock) == []
    assert broken_ties(lock, lines) == []
    assert broken_lock(parse_lock(formatted(lock).encode(), named="it")) == []


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value stands, however deep."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for name, value in inner:
        yield (*at, name)
        yield from places(value, (*at, name))


def edits(data: Any, place: tuple[Any, ...]) -> Iterator[Any]:
    """The data with one value changed, taken out, doubled or named anew."""
    *path, last = place

    def edit(change: Any) -> Any:
        edited = copy.deepcopy(data)
        at = edited
        for name in path:
            at = at[name]
        change(at)
        return edited

    value = data
    for name in place:
        value = value[name]
    for other in others(value):
        yield edit(lambda at, other=other: at.__setitem__(last, other))
    yield edit(lambda at: at.__delitem__(last))
    if isinstance(last, str):
        yield edit(lambda at: at.__setitem__(f"{last}2", at.pop(last)))
        yield edit(lambda at: at.__setitem__(f"{last}2", copy.deepcopy(at[last])))
    else:
        yield edit(lambda at: at.insert(last, copy.deepcopy(at[last])))
        yield edit(lambda at: at.reverse() if len(at) > 1 and at != at[::-1] else at.append(None))


def others(value: Any) -> list[Any]:
    changed: list[Any] = [None, True, 7, "x", [], {}, ["x"], {"x": "y"}]
    if isinstance(value, int):
        changed += [value + 1, -value - 1, str(value)]
    if isinstance(value, str):
        changed += [value[:-1], f"{value}0", value.swapcase(), f" {value}"]
    return [one for one in changed if json.dumps(one) != json.dumps(value) and one != value]


def shows(data: Any, lines: list[dict[str, Any]]) -> bool:
    try:
        lock = parse_lock(json.dumps(data).encode(), named="it")
    except RecordError:
        return True
    return bool(broken_lock(lock) or broken_ties(lock, lines))


def test_every_value_that_is_changed_by_hand_shows(written) -> None:
    lock, lines = written
    data = json.loads(formatted(lock))
    everywhere = list(places(data))
    assert len(everywhere) > 190
    unseen = [
        (place, i)
        for place in everywhere
        for i, edited in enumerate(edits(data, place))
        if edited != data and not shows(edited, lines)
    ]
    assert unseen == []


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_values_that_change_places_show(written, data: st.DataObject) -> None:
    lock, lines = written
    plain = json.loads(formatted(lock))
    everywhere = list(places(plain))
    one, other = data.draw(st.sampled_from(everywhere)), data.draw(st.sampled_from(everywhere))
    if one[: len(other)] == other or other[: len(one)] == one:
        return
    edited = copy.deepcopy(plain)

    def value(at: Any, place: tuple[Any, ...]) -> Any:
        for name in place:
            at = at[name]
        return at

    value(edited, one[:-1])[one[-1]] = value(plain, other)
    value(edited, other[:-1])[other[-1]] = value(plain, one)
    assert edited == plain or shows(edited, lines)


def without(lock: Lock, id: str) -> Lock:
    return Lock({name: entry for name, entry in lock.entries.items() if name != id}, lock.events)


def test_what_is_told_names_what_was_done(written) -> None:
    lock, _ = written
    (told,) = broken_lock(without(lock, C.id))
    assert "entered 1 claims, and 0 are there: an entry was removed" in told
    told, *_ = broken_lock(without(lock, A.id))
    assert told.startswith(f"{A.id}: it was amended on ") and told.endswith("its entry was removed")
    entry = lock.entries[C.id]
    added = Lock({**lock.entries, "test_a.py::test_d": Entry("test_a.py::test_d", entry.spec, "0" * 12)}, lock.events)
    assert broken_lock(added) == [
        "test_a.py::test_d: it is in the lock, and no event registered it: it was added by hand"
    ]
    forged = Entry(C.id, A.fields, entry.batch, stated=entry.digest)
    told, batch = broken_lock(Lock({**lock.entries, C.id: forged}, lock.events))
    assert told == f"{C.id}: its spec or its hash was changed by hand"
    assert "entered other claims than these" in batch
    for i in range(len(lock.events)):
        events = lock.events[:i] + lock.events[i + 1 :]
        assert broken_lock(Lock(lock.entries, events)), i
    first, second, third, *rest = lock.events
    told = broken_lock(Lock(lock.entries, (first, third, second, *rest)))
    assert [one.split(" of ")[0] for one in told] == ["the amendment"]
    assert "follows an event that is not before it" in told[0]


def test_an_entry_whose_hash_was_computed_anew_shows(written) -> None:
    lock, _ = written
    entry = lock.entries[A.id]
    forged = Entry(A.id, spec(A.id, threshold="0.9").fields, entry.batch, entry.seen, entry.prior)
    (told,) = broken_lock(Lock({**lock.entries, A.id: forged}, lock.events))
    assert told.startswith(f"{A.id}: its specs are not those of its amendment on ")
    forged = Entry(C.id, spec(C.id, threshold="0.9").fields, lock.entries[C.id].batch)
    (told,) = broken_lock(Lock({**lock.entries, C.id: forged}, lock.events))
    assert "entered other claims than these" in told
    forged = Entry(C.id, C.fields, lock.entries[C.id].batch, prior=(A.fields,))
    assert f"{C.id}: it has prior specs, and no event that amended it" in broken_lock(
        Lock({**lock.entries, C.id: forged}, lock.events)
    )


def test_a_ledger_that_is_shorter_than_the_lock_knows_shows(written) -> None:
    lock, lines = written
    assert broken_ties(lock, lines[:1]) == []  # what came after the last event is for the ledger's own chain, and git
    told = broken_ties(lock, [])
    assert len(told) == 3  # the second batch, and both amendments
    assert "the ledger has 0 lines, and had 1 at the registration of" in told[0]
    other = looked(lines[0]["lock"], A, status="EXPLORATORY")
    (told, *_) = broken_ties(lock, [other, lines[1]])
    assert "the ledger does not have the line that was its last, number 1" in told


def test_a_look_beside_another_lock_shows(written) -> None:
    lock, lines = written
    other = looked("f" * 64, C)
    (told,) = broken_ties(lock, [*lines, other])
    assert told == (
        f"Line 3 of the ledger, {C.id} on 2026-01-01T00:00:00Z, was written beside a lock whose events are not in this "
        "one: it was begun anew or cut"
    )
    early = looked(lock.head, C)
    (told,) = broken_ties(lock, [early, lines[0], *lines[1:]])
    assert "names a lock that was made after it" in told


@pytest.mark.parametrize(
    ("one", "event"),
    [
        (spec(C.id, threshold="0.1"), 3),  # a spec that nobody registered
        (C, 0),  # before it was registered
        (A2, 3),  # as it was amended
        (A, 3),  # as it was registered, and amended since
        (B2, 3),  # under its new name
        (spec("test_a.py::test_d"), 3),
    ],
)
def test_a_look_that_calls_confirmatory_what_was_not_registered_then_shows(written, one, event) -> None:
    lock, lines = written
    line = looked(lock.events[event]["hash"], one)
    (told,) = broken_ties(lock, [*lines, line])
    assert told.endswith("says CONFIRMATORY of what was not registered then")
    assert broken_ties(lock, [*lines, {**line, "status": "EXPLORATORY"}]) == []


@pytest.fixture
def record(tmp_path) -> Record:
    """A record in git, with a registration and a look that are committed."""
    folder = repository(tmp_path) / "claims"
    folder.mkdir()
    record = Record(folder)
    entered(record, A)
    commit(folder, "registered")
    append(record, looked(record.lock.head, A))
    commit(folder, "looked")
    return Record(folder)


def broken(record: Record) -> list[str]:
    record = Record(record.folder)
    return broken_record(record.folder, record.lock, record.ledger.lines)


def test_what_grows_in_git_holds(record) -> None:
    entered(record, B)
    assert broken(record) == []
    commit(record.folder)
    append(record, looked(Record(record.folder).lock.head, B, previous=record.ledger.head))
    assert broken(record) == []


def anew(record: Record, one: Any) -> None:
    """Registers a claim in a lock begun anew, with all hashes in order."""
    record.lock_file.unlink()
    event = {"kind": "register", "claims": 1, "digest": batch_digest([(one.id, one.digest, ())])}
    event |= {"at": "then", "commit": "", "ledger": {"head": "", "lines": 0}, "versions": {}}
    entry = Entry(one.id, one.fields, event["digest"][:12])
    write_lock(record.lock_file, Lock({one.id: entry}, (chained(event, previous=""),)))


@pytest.mark.parametrize("committed", [False, True])
def test_a_record_begun_anew_with_all_hashes_in_order_is_told_by_git(record, committed) -> None:
    at = git(record.folder, "log", "-1", "--format=%h", "--abbrev=8", "--", "claims.lock")
    (record.folder / "claims.ledger").unlink()
    anew(record, A2)
    if committed:
        commit(record.folder)
        commit(record.folder, "and something else")
    told = broken(record)
    assert broken_lock(Record(record.folder).lock) == []
    assert len(told) == 2
    assert told[0].startswith(f"claims.lock in commit {at} has 1 events that are not in it any more")
    assert f"`git checkout {at} -- claims.lock` brings it back" in told[0]
    assert "1 lines that are not in it any more" in told[1]
    git(record.folder, "checkout", at, "--", "claims.lock")
    git(record.folder, "checkout", "HEAD~2" if committed else "HEAD", "--", "claims.ledger")
    assert broken(record) == []
    commit(record.folder)
    assert broken(record) == []


@pytest.mark.parametrize("committed", [False, True])
def test_a_ledger_that_was_taken_away_or_cut_is_told_by_git(record, committed) -> None:
    append(record, looked(record.lock.head, A, previous=record.ledger.head))
    commit(record.folder)
    file = record.folder / "claims.ledger"
    text = file.read_text()
    for left in ("", text.splitlines(keepends=True)[0], text.replace("SUPPORTED", "REFUTED", 1)):
        file.write_text(left) if left else file.unlink()
        if committed:
            commit(record.folder)
        assert any("claims.ledger in commit" in told for told in broken(record)), left
        file.write_text(text)


@pytest.mark.parametrize("name", ["claims.ledger", "claims.lock"])
def test_a_version_far_larger_than_the_file_is_told_of_and_not_read(record, name) -> None:
    """Git packs any number of zeros into nothing, so that a small repository could take all memory."""
    file = record.folder / name
    right = file.read_bytes()
    file.write_bytes(bytes(2 * ALWAYS_READ))
    at = commit(record.folder)
    file.write_bytes(right)
    commit(record.folder)
    record = Record(record.folder)
    lines = record.ledger.lines
    tracemalloc.start()
    told = broken_record(record.folder, record.lock, lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [sentence.startswith(f"{name} in commit {at[:8]} has 8,388,608 bytes, and fewer now") for sentence in told]
    assert peak < ALWAYS_READ


@pytest.mark.parametrize("line", [b"[]", b"{}", b"1"])
def test_of_the_events_of_an_earlier_lock_no_more_is_made_than_one(line) -> None:
    text = b'{\n "events": [\n  {"hash":""},\n  [' + b",".join([line] * 1_000_000) + b"]\n ],\n}"
    tracemalloc.start()
    assert event_hashes(text) == event_hashes(text.replace(b",", b",\n")) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * len(text)


def test_lines_and_events_of_a_branch_that_was_merged_hold(record) -> None:
    file = record.folder / "claims.ledger"
    before = file.read_text()
    git(record.folder, "checkout", "-q", "-b", "other")
    file.write_text(f"{before}theirs\n")
    commit(record.folder)
    git(record.folder, "checkout", "-q", "main")
    file.write_text(f"{before}ours\n")
    commit(record.folder)
    git(record.folder, "merge", "-q", "-s", "ours", "--no-commit", "other")
    file.write_text(f"{before}ours\ntheirs\n")
    commit(record.folder)
    assert broken_record(record.folder, record.lock, [looked(record.lock.head, A)]) == []


def test_a_line_or_event_that_somebody_damaged_asks_for_nothing(record) -> None:
    append(record, looked(record.lock.head, A, previous=record.ledger.head))
    entered(record, B)
    files = (record.folder / "claims.ledger", record.lock_file)
    right = [file.read_text() for file in files]
    lines = right[0].splitlines(keepends=True)
    files[0].write_text(lines[0] + lines[1].replace("SUPPORTED", "REFUTED"))
    events = right[1].splitlines(keepends=True)
    last = next(i for i in reversed(range(len(events))) if '"kind":"register"' in events[i])
    files[1].write_text("".join([*events[:last], events[last].replace('"hash":"', '"hash":"0'), *events[last + 1 :]]))
    assert len(broken(record)) > 1
    commit(record.folder)
    for file, text in zip(files, right, strict=True):
        file.write_text(text)
    assert broken(record) == []


def test_nothing_is_entered_in_a_record_that_does_not_hold(record) -> None:
    text = record.lock_file.read_text()
    record.lock_file.write_text(text.replace('"0.3"', '"0.2"'))
    for enter in (lambda: entered(record, B), lambda: amend(record, [Candidate(A2)], [A.id], why="a pilot")):
        with pytest.raises(Tampered, match=r"does not hold, so nothing can be entered: .* `causaltest verify "):
            enter()
    assert record.lock_file.read_text() == text.replace('"0.3"', '"0.2"')


def test_a_hash_is_of_the_canonical_text(written) -> None:
    lock, _ = written
    for entry in lock.entries.values():
        assert entry.digest == digest_of(entry.spec) and entry.history[-1] == entry.digest
