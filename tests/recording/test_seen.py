"""The log of what was seen: it outlives a run, and nothing that is wrong with its file stops one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.pair import Pair
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import last
from causaltest.asking.sightings import looked_at, swept_over
from causaltest.asking.sites import resid_post
from causaltest.effect import Effect
from causaltest.kept import FOLDER_VARIABLE
from causaltest.recording import seen as room
from causaltest.recording.seen import SeenLog, usual_log
from causaltest.seen import Seen


def pairs(*numbers: int) -> Pairs:
    return Pairs([Pair(clean=f"{n} ducks", corrupt="no ducks", answer=str(n), cluster=f"c{n}") for n in numbers])


def asked(on: Pairs, layer: int = 6) -> Experiment:
    return Experiment(Patching("m", "denoise", on, (resid_post(layer, last()),)), "recovery", accuracy)


def sweep(on: Pairs, what: str = "a map (72 sites)") -> Seen:
    return swept_over(asked(on), "sweep", what)


def claimed(on: Pairs, layer: int = 6) -> Effect:
    return Effect(asked(on, layer), None)


SOME, MORE = pairs(*range(8)), pairs(*range(4, 12))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "not there yet" / "seen.jsonl"


def label(log: SeenLog, labs: list, effects: list) -> list[str]:
    """What a claim must say of what was seen before it; then the claim itself is noted."""
    sentences = log.before(labs, effects)
    log.note_claim(labs, effects)
    return sentences


def test_what_was_seen_is_known_in_the_next_run(file: Path) -> None:
    SeenLog(file).add(sweep(SOME))
    assert SeenLog(file).looks() == [sweep(SOME)]
    assert label(SeenLog(file), [], [claimed(MORE)]) == ["4 of its 8 pairs were seen by the sweep a map (72 sites)"]


def test_a_claim_is_noted_after_its_label(file: Path) -> None:
    assert label(SeenLog(file), [], [claimed(SOME)]) == []
    assert SeenLog(file).looks() == [looked_at(asked(SOME))]
    assert label(SeenLog(file), [], [claimed(SOME)]) == [], "a reproduction"
    (told,) = label(SeenLog(file), [], [claimed(MORE)])
    assert told.startswith("the same was asked before of 8 pairs, 4 of these 8 among them: ")
    assert label(SeenLog(file), [], [claimed(MORE)]) == [told], "a label stays"


def test_the_variants_of_a_claim_do_not_label_each_other(file: Path) -> None:
    """Declared together, they are one look, in this run and in the next."""
    variants = [claimed(SOME), claimed(MORE)]
    for _ in range(2):
        assert label(SeenLog(file), [], variants) == []
    (told,) = label(SeenLog(file), [], [claimed(pairs(0, 1))])
    assert "2 of these 2 among them" in told
    other = SeenLog(None)
    other.add(sweep(pairs(0)))
    other.add(sweep(pairs(11), "another"))
    assert len(label(other, [], variants)) == 2, "each tells what has seen its pairs"


def test_what_gave_no_effect_or_asked_no_model_is_not_noted(file: Path) -> None:
    log = SeenLog(file)
    assert label(log, [], [None, Effect.from_values([1], kind="binary", iid=True)]) == label(log, [], []) == []
    assert log.looks() == [] and not file.exists()


def test_the_same_look_is_kept_once_and_the_hashes_of_pairs_once(file: Path) -> None:
    log = SeenLog(file)
    for _ in range(3):
        log.add(sweep(SOME))
        SeenLog(file).add(sweep(SOME))
    one = file.stat().st_size
    for layer in range(10):
        label(log, [], [claimed(SOME, layer)])
    assert len(log.looks()) == len(SeenLog(file).looks()) == 11
    assert file.stat().st_size < one + 10 * 400, "eight hashes of sixteen digits stand there once"
    assert file.read_text().count(next(iter(SOME.each))) == 1


def test_no_prompt_is_kept(file: Path) -> None:
    SeenLog(file).add(sweep(SOME))
    assert "ducks" not in file.read_text()


def test_a_log_without_a_file_lasts_as_long_as_the_run() -> None:
    log = SeenLog(None)
    log.add(sweep(SOME))
    assert label(log, [], [claimed(MORE)]) and log.problem() is None
    assert SeenLog(None).looks() == []


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    for place in (tmp_path / "a file" / "seen.jsonl", Path("/proc/nowhere/seen.jsonl"), tmp_path):
        log = SeenLog(place)
        log.add(sweep(SOME))
        assert log.looks() == [sweep(SOME)] and label(log, [], [claimed(MORE)])
        assert SeenLog(place).looks() == []


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b'{"kind": "sweep"}',
        b'{"kind": "spell", "models": [], "what": "", "question": "", "pairs": "", "each": ""}',
        b'{"kind": "sweep", "models": [1], "what": "", "question": "", "pairs": "", "each": ""}',
        b'{"kind": "sweep", "models": ["m"], "what": "", "question": "", "pairs": "unknown"}',
        b'{"kind": "sweep", "models": ["m"], "what": "", "question": "", "pairs": "p", "each": "no hash"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_cannot_be_read_is_skipped_and_said(file: Path, line: bytes) -> None:
    SeenLog(file).add(sweep(SOME))
    file.write_bytes(file.read_bytes() + line + b"\n")
    SeenLog(file).add(sweep(MORE))
    log = SeenLog(file)
    assert log.looks() == [sweep(SOME), sweep(MORE)]
    told = log.problem()
    assert (
        told is not None and told.startswith(f"{file} has lines that cannot be read (1)") and "Delete the file" in told
    )


def test_a_line_that_a_full_disk_cut_takes_no_other_with_it(file: Path) -> None:
    SeenLog(file).add(sweep(SOME))
    file.write_bytes(file.read_bytes() + b'{"kind": "sw')
    log = SeenLog(file)
    log.add(sweep(MORE))
    assert log.looks() == SeenLog(file).looks() == [sweep(SOME), sweep(MORE)]
    assert log.unreadable == 1


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(file: Path) -> None:
    SeenLog(file).add(sweep(SOME))
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    log = SeenLog(file)
    assert log.looks() == []
    file.write_bytes(whole)
    assert log.looks() == [sweep(SOME)] and log.unreadable == 0


def test_a_file_that_is_deleted_meanwhile_is_begun_anew(file: Path) -> None:
    log = SeenLog(file)
    log.add(sweep(SOME))
    log.add(sweep(SOME, "another"))
    file.unlink()
    assert len(log.looks()) == 2, "this run still knows"
    SeenLog(file).add(sweep(MORE))
    assert sweep(MORE) in log.looks() and len(log.looks()) == 3
    log.add(sweep(MORE, "a third"))
    assert [seen.what for seen in SeenLog(file).looks()] == ["a map (72 sites)", "a third"]


def test_a_file_does_not_grow_beyond_its_size_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGEST", 1000)
    log = SeenLog(file)
    for n in range(9):
        log.add(sweep(SOME, f"map {n}"))
    assert file.stat().st_size <= 1000
    assert len(log.looks()) == 9, "this run still knows"
    assert "notes nothing more. Delete it" in str(log.problem())


def written_by(file: Path, first: int) -> None:
    log = SeenLog(file)
    for n in range(first, first + 40):
        log.add(sweep(pairs(*range(n, n + 200))))


def test_processes_that_write_together_tear_no_line(file: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=written_by, args=(file, 1000 * k)) for k in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log = SeenLog(file)
    assert len(log.looks()) == 160 and log.unreadable == 0


# labs


class Swept:
    """A lab that has swept."""

    def __init__(self, *seen: Seen, named: bool = True) -> None:
        self.seen, self.named = seen, named


def test_the_sweeps_of_labs_are_taken_up(file: Path) -> None:
    log = SeenLog(file)
    assert label(log, [Swept(sweep(SOME)), Swept(sweep(MORE))], [claimed(pairs(11, 99))]) == [  # type: ignore[list-item]
        "1 of its 2 pairs were seen by the sweep a map (72 sites)"
    ]
    assert SeenLog(file).looks()[:2] == [sweep(SOME), sweep(MORE)]


def test_a_model_given_as_an_object_is_known_in_this_run_alone(file: Path) -> None:
    """Its name is that of its class, which another model may have tomorrow."""
    lab, log = Swept(sweep(SOME), named=False), SeenLog(file)
    assert label(log, [lab], [claimed(MORE)])  # type: ignore[list-item]
    assert label(log, [lab], [claimed(SOME)])  # type: ignore[list-item]
    assert SeenLog(file).looks() == []
    assert Lab.load("organism:planted").named and not Lab("model", "tokenizer").named


def test_the_usual_log_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert usual_log().file == tmp_path / "seen.jsonl"


# a claim of a record, whose first look stands in a ledger


def test_what_came_before_a_look_that_the_ledger_has(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for time, what in (("2026-01-01", "early"), ("2026-01-03", "late")):
        monkeypatch.setattr(room, "now", lambda time=time: f"{time}T00:00:00Z")
        SeenLog(file).add(sweep(SOME, what))
    log = SeenLog(file)
    assert len(log.before([], [claimed(SOME)])) == 2
    assert len(log.before([], [claimed(SOME)], looked="")) == 2, "it was not looked at yet"
    (told,) = log.before([], [claimed(SOME)], looked="2026-01-02T00:00:00Z")
    assert told.endswith("early")


def test_where_a_ledger_says_when_a_claim_was_looked_at_the_log_does_not(file: Path) -> None:
    log = SeenLog(file)
    log.note_claim([], [claimed(SOME)])
    log.add(sweep(SOME))
    assert log.before([], [claimed(SOME)]) == [], "a reproduction"
    assert log.before([], [claimed(SOME)], looked="")
    assert log.asked(looked_at(asked(SOME))) and not log.asked(looked_at(asked(MORE)))  # type: ignore[arg-type]


def test_lines_of_versions_that_wrote_no_time_were_there_before(file: Path) -> None:
    SeenLog(file).add(sweep(SOME))
    file.write_text(file.read_text().replace('"at": "', '"at": "", "was": "'))
    assert SeenLog(file).before([], [claimed(SOME)], looked="2026-01-01T00:00:00Z")
