"""A record in files: what was registered, committed, looked at and searched, in a real repository."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
from records import commit, git

from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import accuracy
from causaltest.asking.pair import Pair
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import last
from causaltest.asking.sightings import looked_at, swept_over
from causaltest.asking.sites import resid_post
from causaltest.recording.record import ASKED_ELSEWHERE, DOES_NOT_HOLD, Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Standing
from causaltest.seen import Seen

TOLD = {"verdict": "SUPPORTED", "estimate": 0.5, "lower": 0.4, "upper": 0.6, "n": 8, "alpha": 0.05}


def pairs(*numbers: int) -> Pairs:
    return Pairs([Pair(clean=f"{n} ducks", corrupt="no ducks", answer=str(n), cluster=f"c{n}") for n in numbers])


SOME, MORE, OTHERS = pairs(*range(8)), pairs(*range(4, 12)), pairs(*range(20, 28))


def asked(on: Pairs, layer: int = 6) -> Experiment:
    return Experiment(Patching("m", "denoise", on, (resid_post(layer, last()),)), "recovery", accuracy)


def sight(on: Pairs = SOME, layer: int = 6) -> Seen:
    seen = looked_at(asked(on, layer))
    assert seen is not None
    return seen


def sweep(on: Pairs, what: str = "a map (72 sites)") -> Seen:
    return swept_over(asked(on), "sweep", what)


def spec(id: str = "a", on: Pairs = SOME, threshold: str = "0.3") -> Spec:
    family = {"name": "f", "size": 2}
    fields = {"threshold": threshold, "family": family, "models": [{"name": "m"}], "pairs": [{"hash": on.digest}]}
    return Spec(id, fields)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two registered claims, a and b."""
    folder = tmp_path_factory.mktemp("template")
    git(folder, "init", "-q", "-b", "main")
    register(Record(folder), [Candidate(spec("a")), Candidate(spec("b", MORE))])
    commit(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "claims"))


def look(folder: Path, of: Spec | None = None, claims: tuple[Seen, ...] | None = None, **more: Any) -> Standing:
    """A look in a run of its own."""
    said = {"seed": "0", "seen": (), "told": TOLD, **more}
    return Record(folder).look(spec() if of is None else of, claims=(sight(),) if claims is None else claims, **said)


def status(standing: Standing) -> tuple[str, str]:
    return standing.status, standing.reason


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "claims.ledger").read_text().splitlines()]


def test_the_first_look_confirms_and_the_next_reproduces_without_a_line(folder: Path) -> None:
    assert look(folder).status == "CONFIRMATORY"
    assert look(folder).status == look(folder).status == "REPRODUCED"
    (line,) = lines(folder)
    assert (line["kind"], line["claim"], line["spec"], line["status"]) == ("look", "a", spec().digest, "CONFIRMATORY")
    assert (line["estimate"], line["n"], line["verdict"], line["dirty"]) == ("0.5", 8, "SUPPORTED", False)
    assert line["lock"] == Record(folder).lock.head and line["commit"] == Record(folder).committed.commit
    assert set(line["versions"]) == {"python", "causaltest", "numpy", "scipy", "torch", "transformers"}
    assert "ducks" not in json.dumps(line), "no prompt is kept"


def test_a_claim_that_is_not_registered_is_written_down_too(folder: Path) -> None:
    assert status(look(folder, spec("c"))) == ("EXPLORATORY", "not registered")
    assert [line["claim"] for line in lines(folder)] == ["c"]


def test_registered_after_it_was_looked_at(folder: Path) -> None:
    look(folder, spec("c", OTHERS), (sight(OTHERS),))
    register(Record(folder), [Candidate(spec("c", OTHERS))])
    commit(folder)
    told = look(folder, spec("c", OTHERS), (sight(OTHERS),))
    assert told.status == "EXPLORATORY" and told.reason.endswith("when it was EXPLORATORY (not registered)")


def test_registered_under_another_name_after_it_was_looked_at(folder: Path) -> None:
    """The seen-log would call it a reproduction: the same question of the same pairs."""
    look(folder, spec("c", OTHERS), (sight(OTHERS),))
    register(Record(folder), [Candidate(spec("d", OTHERS, "0.9"))])
    commit(folder)
    told = look(folder, spec("d", OTHERS, "0.9"), (sight(OTHERS),))
    assert told.status == "EXPLORATORY" and told.reason.startswith("c has asked the same of these pairs on ")


def test_a_second_claim_of_the_same_pairs_that_stood_fast_before(folder: Path) -> None:
    register(Record(folder), [Candidate(spec("c", OTHERS, "0.3")), Candidate(spec("d", OTHERS, "0.9"))])
    commit(folder)
    for name, threshold in (("c", "0.3"), ("d", "0.9")):
        assert look(folder, spec(name, OTHERS, threshold), (sight(OTHERS),)).status == "CONFIRMATORY"
    register(Record(folder), [Candidate(spec("e", OTHERS, "0.6"))])
    commit(folder)
    assert look(folder, spec("e", OTHERS, "0.6"), (sight(OTHERS),)).status == "EXPLORATORY", "it came after them"


def test_a_look_without_a_commit_cannot_be_mended_by_committing_afterwards(folder: Path) -> None:
    register(Record(folder), [Candidate(spec("c", OTHERS))])
    assert look(folder, spec("c", OTHERS), (sight(OTHERS),)).reason.startswith("claims.lock was changed")
    commit(folder)
    assert look(folder, spec("c", OTHERS), (sight(OTHERS),)).status == "EXPLORATORY"


def test_the_same_question_of_more_pairs_is_peeking(folder: Path) -> None:
    look(folder)
    told = look(folder, spec("b", MORE), (sight(MORE),))
    assert told.status == "EXPLORATORY"
    assert told.reason.startswith("the same was asked before of 8 pairs, 4 of these 8 among them")
    look(folder, spec("c", MORE), (sight(MORE, 7),))
    assert not lines(folder)[-1]["reason"].startswith("the same"), "another site is another question"


# sweeps and searches


def test_a_sweep_in_a_run_is_written_down_once_and_told(folder: Path) -> None:
    for _ in range(2):
        Record(folder).note([sweep(SOME)])
    (line,) = lines(folder)
    assert line["kind"] == "sweep"
    told = look(folder)
    assert status(told) == ("EXPLORATORY", "8 of its 8 pairs were seen by the sweep a map (72 sites)")
    assert told.seen == (told.reason,)


def test_a_sweep_after_the_first_look_takes_nothing_away(folder: Path) -> None:
    look(folder)
    Record(folder).note([sweep(SOME)])
    told = look(folder)
    assert told.status == "REPRODUCED" and told.seen == ()
    assert look(folder, seed="1").status == "EXPLORATORY"


def test_a_sweep_between_two_claims_of_the_same_is_told_of_the_second(folder: Path) -> None:
    register(Record(folder), [Candidate(spec("c", OTHERS, "0.3")), Candidate(spec("d", OTHERS, "0.9"))])
    commit(folder)
    assert look(folder, spec("c", OTHERS, "0.3"), (sight(OTHERS),)).status == "CONFIRMATORY"
    Record(folder).note([sweep(OTHERS)])
    assert "seen by the sweep" in look(folder, spec("d", OTHERS, "0.9"), (sight(OTHERS),)).reason


def test_the_hashes_of_pairs_stand_once(folder: Path) -> None:
    record = Record(folder)
    record.note([sweep(SOME), sweep(SOME, "another")])
    look(folder)
    text = (folder / "claims.ledger").read_text()
    assert len(lines(folder)) == 3 and text.count(next(iter(SOME.each))) == 1
    assert Record(folder).sighted().has(sweep(SOME, "another"))
    look(folder, spec("c", OTHERS), (sight(OTHERS, 1), sight(OTHERS, 2)))
    assert (folder / "claims.ledger").read_text().count(next(iter(OTHERS.each))) == 1


# what is known besides the ledger


def test_what_the_users_log_has_seen(folder: Path) -> None:
    assert status(look(folder, seen=["a sweep elsewhere"])) == ("EXPLORATORY", "a sweep elsewhere")


def test_the_same_asked_outside_of_the_record(folder: Path) -> None:
    """As when the ledger was deleted, or the claim was tried in another copy."""
    assert status(look(folder, asked=True)) == ("EXPLORATORY", ASKED_ELSEWHERE)


def test_the_same_asked_in_the_record_says_nothing_more(folder: Path) -> None:
    assert look(folder).status == "CONFIRMATORY"
    assert look(folder, asked=True).status == "REPRODUCED"
    register(Record(folder), [Candidate(spec("c", OTHERS, "0.3")), Candidate(spec("d", OTHERS, "0.9"))])
    commit(folder)
    look(folder, spec("c", OTHERS, "0.3"), (sight(OTHERS),))
    assert look(folder, spec("d", OTHERS, "0.9"), (sight(OTHERS),), asked=True).status == "CONFIRMATORY"


# what forbids to believe it


def test_a_ledger_that_was_changed(folder: Path) -> None:
    look(folder)
    file = folder / "claims.ledger"
    file.write_text(file.read_text().replace('"SUPPORTED"', '"REFUTED"'))
    assert status(look(folder)) == ("EXPLORATORY", DOES_NOT_HOLD)
    assert status(look(folder, spec("b", MORE), (sight(MORE, 1),))) == ("EXPLORATORY", DOES_NOT_HOLD)
    assert len(lines(folder)) == 2, "the look is written down all the same"


def test_a_ledger_that_cannot_be_read(folder: Path) -> None:
    (folder / "claims.ledger").write_text("<<<<<<< HEAD\n")
    told = look(folder)
    assert told.status == "EXPLORATORY" and "Keep the lines of both sides" in told.reason
    assert (folder / "claims.ledger").read_text() == "<<<<<<< HEAD\n"
    Record(folder).note([sweep(SOME)])
    assert Record(folder).first_look("a", [sight()]) == ""


def test_a_lock_that_cannot_be_read(folder: Path) -> None:
    (folder / "claims.lock").write_text('{"format": "another"}')
    record = Record(folder)
    told = record.look(spec(), seed="0", seen=(), told=TOLD, claims=(sight(),))
    assert told.status == "EXPLORATORY" and "claims.lock" in told.reason
    assert record.family_size("a") is None and record.registered == {"lock": "", "registered": 0}


def test_a_body_that_chose_by_a_number_is_written_down(folder: Path) -> None:
    assert status(look(folder, why_not="the body chose")) == ("EXPLORATORY", "the body chose")
    assert lines(folder)[0]["reason"] == "the body chose"
    assert look(folder).status == "EXPLORATORY", "its numbers were seen"


def test_a_new_look_that_cannot_be_written_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("causaltest.recording.ledger.alone", refuse)
        told = look(folder)
        assert told.status == "EXPLORATORY"
        assert told.reason.startswith("the look could not be written down") and "Read-only" in told.reason
        Record(folder).note([sweep(SOME)])
    look(folder)
    with monkeypatch.context() as patch:
        patch.setattr("causaltest.recording.ledger.alone", refuse)
        assert look(folder).status == "REPRODUCED", "nothing is to be written"
        assert look(folder, seed="1").status == "EXPLORATORY"


# several at once


def look_when_told(folder: Path, go: Any, said: Any) -> None:
    go.wait()
    said.put(str(look(folder).status))


def test_of_two_that_look_at_once_one_confirms(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    go, said = context.Event(), context.Queue()
    lookers = [context.Process(target=look_when_told, args=(folder, go, said)) for _ in range(4)]
    for looker in lookers:
        looker.start()
    go.set()
    told = sorted(said.get(timeout=20) for _ in lookers)
    for looker in lookers:
        looker.join()
    assert told == ["CONFIRMATORY", "REPRODUCED", "REPRODUCED", "REPRODUCED"]
    assert len(lines(folder)) == 1


def note_when_told(folder: Path, go: Any) -> None:
    go.wait()
    Record(folder).note([sweep(SOME)])


def test_of_two_that_note_the_same_sweep_at_once_one_writes_it(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    go = context.Event()
    noters = [context.Process(target=note_when_told, args=(folder, go)) for _ in range(4)]
    for noter in noters:
        noter.start()
    go.set()
    for noter in noters:
        noter.join()
    assert [line["kind"] for line in lines(folder)] == ["sweep"]


def test_a_ledger_of_another_branch_is_read_anew(folder: Path) -> None:
    record = Record(folder)
    assert record.look(spec(), seed="0", seen=(), told=TOLD, claims=(sight(),)).status == "CONFIRMATORY"
    assert record.sighted().lines == 1
    (folder / "claims.ledger").unlink()
    assert record.sighted().lines == 0 and record.sighted().asked(sight()) == []
