"""Registration and amendment: what is in the lock stays, and what changes is told."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from records import commit, entered, git, looked, repository, spec

from causaltest.errors import RecordError
from causaltest.recording.amendment import amend
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, Registered, register
from causaltest.recording.verification import broken_lock

A, B, C = (spec(f"test_a.py::test_{name}") for name in "abc")
A2 = spec(A.id, threshold="0.4")


@pytest.fixture
def record(tmp_path) -> Record:
    return Record(tmp_path)


def amended(record: Record, *specs, why: str = "A pilot", was: str | None = None):
    return amend(record, [Candidate(one) for one in specs], [one.id for one in specs], why=why, was=was)


def test_claims_enter_in_batches_and_stay(record) -> None:
    assert entered(record, B, A) == Registered(1, (A.id, B.id))
    before = record.lock.entries
    assert entered(record, A, B, C) == Registered(2, (C.id,), (A.id, B.id))
    assert {id: record.lock.entries[id] for id in before} == before
    one, other = record.lock.events
    assert (one["claims"], other["claims"], other["previous"]) == (2, 1, one["hash"])
    assert broken_lock(record.lock) == []
    text = record.lock_file.read_text()
    assert entered(record, A, B, C) == Registered(0, (), (A.id, B.id, C.id))
    assert record.lock_file.read_text() == text


def test_the_order_of_claims_does_not_matter(tmp_path, record) -> None:
    other = Record(tmp_path / "other")
    other.folder.mkdir()
    entered(record, A, B)
    entered(other, B, A)
    assert record.lock.entries == other.lock.entries
    assert record.lock.events[0]["digest"] == other.lock.events[0]["digest"]


def test_what_had_seen_a_claim_before_is_kept(record) -> None:
    register(record, [Candidate(A, ("256 of its 256 pairs were seen by the sweep over layers",)), Candidate(B)])
    assert record.lock.entries[A.id].seen == ("256 of its 256 pairs were seen by the sweep over layers",)
    assert record.lock.entries[B.id].seen == ()
    amended(record, A2)
    assert record.lock.entries[A.id].seen == ("256 of its 256 pairs were seen by the sweep over layers",)


def test_a_claim_that_is_registered_otherwise_is_told_and_left(record) -> None:
    entered(record, A, B)
    done = entered(record, A2, B)
    assert (done.new, done.unchanged) == ((), (B.id,))
    assert done.differing == {A.id: {"prediction.threshold": ("0.3", "0.4")}}
    assert record.lock.entries[A.id].digest == A.digest
    (told,) = done.sentences()
    assert told.startswith(
        f"{A.id} is registered otherwise (prediction.threshold: 0.3 -> 0.4), and stays so: `causaltest"
    )
    assert f"--amend '{A.id}' --why \"...\"" in told


def test_two_claims_with_one_id_are_refused(record) -> None:
    with pytest.raises(RecordError, match=r"Two claims have the id 'test_a.py::test_a'"):
        entered(record, A, B, A2)
    assert not record.lock_file.exists()


def test_claims_that_the_code_does_not_have_any_more_are_told_where_all_of_it_was_read(record) -> None:
    entered(record, A, B)
    assert entered(record, A).gone == ()
    done = entered(record, A, whole=True)
    assert done.gone == (B.id,)
    assert done.sentences() == [f"{B.id} is registered and not in the code any more. It stays in the lock"]
    assert B.id in record.lock.entries


def test_an_amendment_keeps_the_chain(record) -> None:
    entered(record, A, B)
    (done,) = amended(record, A2)
    assert str(done) == f"{A.id} amended: prediction.threshold: 0.3 -> 0.4. Why: A pilot"
    entry = record.lock.entries[A.id]
    assert (entry.spec, entry.prior, entry.first) == (A2.fields, (A.fields,), A.fields)
    amended(record, A, why="Back again")
    entry = record.lock.entries[A.id]
    assert entry.history == (A.digest, A2.digest, A.digest)
    first, second = record.lock.events[1:]
    assert (first["prior"], first["spec"], first["why"]) == (A.digest, A2.digest, "A pilot")
    assert (second["prior"], second["spec"], second["previous"]) == (A2.digest, A.digest, first["hash"])
    assert broken_lock(record.lock) == []


def test_several_are_amended_or_none(record) -> None:
    entered(record, A, B)
    B2 = spec(B.id, threshold="0.5")
    with pytest.raises(RecordError, match=r"test_b is registered as it is: there is nothing to amend"):
        amended(record, A2, B)
    assert record.lock.entries[A.id].prior == ()
    assert [one.id for one in amended(record, A2, B2)] == [A.id, B.id]
    assert len(record.lock.events) == 3 and broken_lock(record.lock) == []


@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        (A.id, {"why": "  "}, "An amendment needs its reason"),
        ("test_a.py::test_x", {}, r"is no claim that is in the code; did you mean test_a.py::test_.*\?"),
        ("zzz", {}, "zzz is no claim that is in the code; it has 2 claims"),
        (C.id, {}, "test_c is no claim that is in the lock; did you mean"),
        (C.id, {"was": "test_a.py::test_z"}, "test_z is no claim that is in the lock; did you mean"),
        (A.id, {"was": B.id}, "test_a is registered itself, so it cannot have been test_a.py::test_b"),
    ],
)
def test_what_cannot_be_amended_is_told(record, asked, options, said) -> None:
    entered(record, A, B)
    text = record.lock_file.read_text()
    with pytest.raises(RecordError, match=said):
        amend(record, [Candidate(A2), Candidate(C)], [asked], **{"why": "a pilot", **options})
    assert record.lock_file.read_text() == text


def test_what_is_named_before_needs_one_claim(record) -> None:
    entered(record, A, B)
    with pytest.raises(RecordError, match="--was names what one claim was called, and 2 are to be amended"):
        amended(record, A2, C, was=B.id)


def test_an_id_may_have_the_folder_in_front_as_pytest_prints_it(record) -> None:
    entered(record, A)
    (done,) = amend(record, [Candidate(A2)], [f"claims/{A.id}"], why="A pilot")
    assert done.id == A.id


def test_a_renamed_claim_is_told_and_not_entered_until_it_is_said_to_be_the_same(record) -> None:
    entered(record, A, B)
    new = spec("test_a.py::test_better", **{name: A.fields[name] for name in ("sentence",)}, body="c" * 64)
    done = entered(record, new, B, C, whole=True)
    assert (done.new, done.renamed, done.gone) == ((C.id,), {new.id: A.id}, ())
    assert f"--amend '{new.id}' --was '{A.id}'" in done.sentences()[0]
    (told,) = amended(record, new, why="A better name", was=A.id)
    assert str(told) == f"{new.id} (was {A.id}) amended: body: the code of the test is another. Why: A better name"
    assert A.id not in record.lock.entries
    assert record.lock.entries[new.id].history == (A.digest, new.digest)
    assert record.lock.names(new.id) == (new.id, A.id)
    assert broken_lock(record.lock) == []
    assert entered(record, new, B, C, whole=True).sentences() == []


def test_a_name_alone_may_change_and_an_old_name_may_be_used_anew(record) -> None:
    entered(record, A)
    same = spec("test_b.py::test_a", sentence=A.fields["sentence"])
    assert entered(record, same).renamed == {same.id: A.id}
    (told,) = amended(record, same, why="Moved", was=A.id)
    assert "its name alone" in str(told)
    entered(record, same, spec(A.id, sentence="Another claim."))
    amended(record, spec(A.id, sentence="And another."))
    assert broken_lock(record.lock) == []
    assert record.lock.names(A.id) == (A.id,)
    assert record.lock.names(same.id) == (same.id, A.id)


def test_two_claims_that_are_alike_are_two_where_both_are_in_the_code(record) -> None:
    entered(record, A)
    twin = spec("test_a.py::test_twin", sentence=A.fields["sentence"])
    assert entered(record, A, twin).new == (twin.id,)


def test_an_event_says_how_far_the_ledger_and_git_had_come(tmp_path) -> None:
    folder = repository(tmp_path)
    record = Record(folder)
    entered(record, A)
    head = commit(folder)
    line = looked(record.lock.head, A)
    (folder / "claims.ledger").write_text(f"{json.dumps(line)}\n")
    record = Record(folder)
    entered(record, B)
    event = record.lock.events[-1]
    assert event["ledger"] == {"head": line["hash"], "lines": 1}
    assert event["commit"] == head == git(folder, "rev-parse", "HEAD")


def register_one(folder: Path, i: int) -> None:
    entered(Record(folder), spec(f"test_a.py::test_{i}"))


def test_processes_that_register_at_once_lose_no_claim(tmp_path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=register_one, args=(tmp_path, i)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    lock = Record(tmp_path).lock
    assert sorted(lock.entries) == [f"test_a.py::test_{i}" for i in range(8)]
    assert broken_lock(lock) == [] and len(lock.events) == 8


def test_a_folder_that_cannot_be_written_is_told(tmp_path) -> None:
    with pytest.raises(RecordError, match=r"claims.lock could not be written, and is as it was"):
        entered(Record(tmp_path / "nowhere"), A)
