"""Merging: two branches register, and the lock takes the claims of both."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from records import GIT, commit, entered, git, looked, repository, spec

from causaltest.errors import RecordError
from causaltest.recording.amendment import amend
from causaltest.recording.lock import Lock, write_lock
from causaltest.recording.merging import merge
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate
from causaltest.recording.verification import broken_lock, broken_record, broken_ties

A, B, C, D = (spec(f"test_a.py::test_{name}") for name in "abcd")
A2, A3 = spec(A.id, threshold="0.4"), spec(A.id, threshold="0.5")


def amended(folder: Path, one, was: str | None = None) -> None:
    amend(Record(folder), [Candidate(one)], [one.id], why="a pilot", was=was)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = repository(tmp_path) / "claims"
    folder.mkdir()
    entered(Record(folder), A, D)
    commit(folder, "registered")
    return folder


def on_branches(folder: Path, ours, theirs) -> None:
    """Does one thing on main and another on a branch, and begins to merge them."""
    git(folder, "checkout", "-q", "-b", "other")
    theirs()
    commit(folder, "theirs")
    git(folder, "checkout", "-q", "main")
    ours()
    commit(folder, "ours")
    subprocess.run(["git", "merge", "-q", "other"], cwd=folder, env=GIT, capture_output=True, check=False)


@pytest.mark.parametrize("staged", [True, False])
def test_claims_of_both_branches_stay(folder, staged) -> None:
    on_branches(folder, lambda: entered(Record(folder), B), lambda: entered(Record(folder), C))
    file = folder / "claims.lock"
    assert "<<<<<<<" in file.read_text()
    with pytest.raises(RecordError, match="--merge"):
        _ = Record(folder).lock
    if not staged:  # somebody has told git that it is resolved
        git(folder, "add", "-A")
    lock = merge(Record(folder))
    assert sorted(lock.entries) == [A.id, B.id, C.id, D.id]
    assert [event["kind"] for event in lock.events] == ["register"] * 3 + ["merge"]
    assert broken_record(folder, Record(folder).lock, []) == []
    commit(folder, "merged")
    assert broken_record(folder, Record(folder).lock, []) == []
    entered(Record(folder), spec("test_a.py::test_e"))
    commit(folder)
    assert broken_record(folder, Record(folder).lock, []) == []


def test_looks_of_both_branches_keep_what_they_were(folder) -> None:
    on_branches(folder, lambda: (amended(folder, A2), entered(Record(folder), B)), lambda: entered(Record(folder), C))
    lock = merge(Record(folder))
    registered, amendment, ours, other, _ = (event["hash"] for event in lock.events)
    assert lock.entries[A.id].history == (A.digest, A2.digest)
    # on the other branch the claim was as it was registered, and on this one it was not
    for head, one in ((other, A), (other, C), (registered, A), (ours, B), (lock.head, B), (lock.head, C)):
        assert broken_ties(lock, [looked(head, one)]) == []
    for head, one in ((amendment, A), (lock.head, A), (ours, C), (other, B), (registered, C)):
        (told,) = broken_ties(lock, [looked(head, one)])
        assert told.endswith("says CONFIRMATORY of what was not registered then")


def test_what_one_branch_amended_or_named_anew_stays_so(folder) -> None:
    named = spec("test_a.py::test_better", sentence="A better one.")
    on_branches(folder, lambda: entered(Record(folder), B), lambda: (amended(folder, A2), amended(folder, named, D.id)))
    lock = merge(Record(folder))
    assert sorted(lock.entries) == [A.id, B.id, named.id]
    assert lock.entries[A.id].history == (A.digest, A2.digest)
    assert broken_lock(lock) == []


def test_the_same_claim_registered_on_both_branches_is_one(folder, monkeypatch) -> None:
    times = iter(range(10))
    monkeypatch.setattr("causaltest.recording.entering.now", lambda: f"2026-01-01T00:00:0{next(times)}Z")
    on_branches(
        folder, lambda: (entered(Record(folder), B), entered(Record(folder), C)), lambda: entered(Record(folder), B)
    )
    lock = merge(Record(folder))
    assert sorted(lock.entries) == [A.id, B.id, C.id, D.id]
    assert broken_lock(lock) == []
    for event in lock.events[1], lock.events[3]:
        assert broken_ties(lock, [looked(event["hash"], B)]) == []


def test_a_claim_of_which_both_say_different_things_is_refused(folder) -> None:
    on_branches(folder, lambda: amended(folder, A2), lambda: amended(folder, A3))
    before = (folder / "claims.lock").read_bytes()
    with pytest.raises(RecordError, match=r"test_a was amended on both branches, and not alike.*--ours"):
        merge(Record(folder))
    assert (folder / "claims.lock").read_bytes() == before
    git(folder, "merge", "--abort")
    git(folder, "reset", "-q", "--hard", "main~1")
    git(folder, "branch", "-q", "-D", "other")
    B2 = spec(B.id, threshold="0.5")
    on_branches(folder, lambda: entered(Record(folder), B), lambda: entered(Record(folder), B2))
    with pytest.raises(RecordError, match=r"test_b was registered on both branches, and not alike"):
        merge(Record(folder))


def test_events_put_together_by_hand_are_joined(folder) -> None:
    record = Record(folder)
    base = record.lock
    entered(record, B)
    ours = record.lock
    write_lock(record.lock_file, base)
    entered(Record(folder), C)
    theirs = Record(folder).lock
    both = Lock({**ours.entries, **theirs.entries}, (*ours.events, theirs.events[-1]))
    write_lock(record.lock_file, both)
    (told,) = broken_lock(both)
    assert told.startswith("two branches were merged by hand: `causaltest register FOLDER --merge`")
    assert broken_lock(merge(Record(folder))) == []
    with pytest.raises(RecordError, match="has no two branches to merge"):
        merge(Record(folder))
