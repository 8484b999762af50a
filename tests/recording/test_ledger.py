"""The ledger: no line is lost or torn, and none can be changed, taken out or moved without a trace."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.errors import RecordError
from causaltest.recording import committed_versions
from causaltest.recording import ledger as room
from causaltest.recording.alone import FILE, FOLDER, alone
from causaltest.recording.ledger import NAME, Ledger, broken, hash_of, parse_ledger

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / NAME


def look(claim: str = "a", **more: Any) -> dict[str, Any]:
    said = {"spec": "s", "data": "d", "seed": "0", "status": "EXPLORATORY", "verdict": "SUPPORTED"}
    return {"kind": "look", "at": "2026-01-02T03:04:05Z", "claim": claim, **said, **more}


def add(file: Path, *claims: str) -> None:
    ledger = Ledger(file)
    for claim in claims:
        ledger.append(lambda _, claim=claim: look(claim))  # type: ignore[misc]


def claims_in(file: Path) -> list[str]:
    return [line.get("claim", line["kind"]) for line in Ledger(file).lines]


def test_lines_come_back_in_order_and_each_names_the_one_before(file: Path) -> None:
    ledger = Ledger(file)
    assert ledger.lines == [] and ledger.head == "" and not file.exists()
    ledger.append(lambda lines: look("a", estimate=0.1, n=7))
    ledger.append(lambda lines: look("b", before=len(lines)))
    first, second = Ledger(file).lines
    assert (first["estimate"], first["n"], first["previous"]) == ("0.1", 7, "")
    assert second["previous"] == first["hash"] and second["before"] == 1
    assert ledger.head == second["hash"] and Ledger(file).looks_at("b") == [second]
    assert broken(ledger.lines) == []


def test_a_line_that_nobody_makes_is_not_written(file: Path) -> None:
    Ledger(file).append(lambda lines: None)
    assert not file.exists()


def test_what_others_write_is_read_without_reading_again_what_was_read(file: Path, monkeypatch: Any) -> None:
    add(file, "a", "b")
    ledger, read = Ledger(file), list[int]()
    known = room.parsed_lines
    monkeypatch.setattr(room, "parsed_lines", lambda data, **more: (read.append(len(data)), known(data, **more))[1])
    assert len(ledger.lines) == 2
    add(file, "c")
    read.clear()
    assert [line["claim"] for line in ledger.lines] == ["a", "b", "c"]
    assert sum(read) == len(file.read_bytes().splitlines()[2]) + 1


# many writers


def write_some(file: Path, name: str, count: int) -> None:
    for n in range(count):
        Ledger(file).append(lambda lines, n=n: look(f"{name}-{n}"))  # type: ignore[misc]


def test_processes_that_write_together_lose_no_line_and_tear_none(file: Path) -> None:
    """The short form of 16 processes with 1,000 lines each (benchmarks/ledger.py)."""
    writers = [FORK.Process(target=write_some, args=(file, str(k), 15)) for k in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(claims_in(file)) == sorted(f"{k}-{n}" for k in range(6) for n in range(15))
    assert broken(Ledger(file).lines) == []
    in_order = [name.split("-") for name in claims_in(file)]
    assert all([int(n) for k, n in in_order if k == str(which)] == list(range(15)) for which in range(6))


def look_unless_there(file: Path, go: Any) -> None:
    go.wait()
    Ledger(file).append(lambda lines: None if lines else look())


def test_what_is_decided_by_the_lines_so_far_is_decided_once(file: Path) -> None:
    go = FORK.Event()
    writers = [FORK.Process(target=look_unless_there, args=(file, go)) for _ in range(6)]
    for writer in writers:
        writer.start()
    go.set()
    for writer in writers:
        writer.join()
    assert claims_in(file) == ["a"]


def test_the_file_that_is_locked_is_none_that_git_sees(file: Path) -> None:
    add(file, "a")
    assert sorted(p.name for p in file.parent.iterdir()) == [FOLDER, NAME]
    assert (file.parent / FOLDER / ".gitignore").read_text() == "*\n" and (file.parent / FOLDER / FILE).exists()


def test_a_writer_that_does_not_end_is_named(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(TimeoutError, match=r"somebody has been writing .* wait until that run"):
        with alone(tmp_path, patience_s=0.02):
            pass
    with alone(tmp_path, patience_s=0.02):
        pass


# crashes


def die_in_mid_write(file: Path) -> None:
    write = os.write

    def half(handle: int, data: bytes) -> int:
        write(handle, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.write = half
    add(file, "lost")


def test_a_line_that_a_killed_writer_has_torn_is_mended_and_noted(file: Path) -> None:
    add(file, "a")
    writer = FORK.Process(target=die_in_mid_write, args=(file,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert not file.read_bytes().endswith(b"\n")
    assert claims_in(file) == ["a"], "who only reads leaves it out, and changes nothing"
    torn = file.read_bytes().splitlines()[1]
    add(file, "b")
    assert claims_in(file) == ["a", "mended", "b"]
    mended = Ledger(file).lines[1]
    assert mended["torn"].encode() == torn and mended["bytes"] == len(torn)
    assert broken(Ledger(file).lines) == []


def test_a_last_line_without_its_end_is_kept(file: Path) -> None:
    """As some editors leave it."""
    add(file, "a", "b")
    file.write_bytes(file.read_bytes()[:-1])
    add(file, "c")
    assert claims_in(file) == ["a", "b", "c"] and broken(Ledger(file).lines) == []


def test_a_full_disk_leaves_the_file_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(file, "a")
    before, write = file.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:9]))
    with pytest.raises(OSError, match=r"disk of .* is full"):
        add(file, "b")
    assert file.read_bytes() == before


def test_a_file_does_not_grow_beyond_its_size(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(file, "a")
    monkeypatch.setattr(room, "LARGEST", file.stat().st_size + 10)
    with pytest.raises(OSError, match="is full"):
        add(file, "b")
    monkeypatch.setattr(room, "LARGEST", 10)
    with pytest.raises(RecordError, match="is it one"):
        _ = Ledger(file).lines


def test_a_file_that_was_put_in_its_place_is_read_anew(file: Path) -> None:
    """As git does when another branch is checked out."""
    add(file, "a", "b")
    ledger = Ledger(file)
    assert len(ledger.lines) == 2
    other = file.with_name("other")
    add(other, "c", "d")
    other.replace(file)
    assert [line["claim"] for line in ledger.lines] == ["c", "d"] and ledger.looks_at("a") == []
    file.unlink()
    assert ledger.lines == [] and ledger.head == ""


# what was changed afterwards


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines(keepends=True)


CHANGES = {
    "a verdict edited": lambda lines: [lines[0], lines[1].replace("SUPPORTED", "REFUTED"), *lines[2:]],
    "a line removed": lambda lines: [lines[0], *lines[2:]],
    "the first line removed": lambda lines: lines[1:],
    "two lines in another order": lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    "a line twice": lambda lines: [lines[0], lines[1], lines[1], *lines[2:]],
    "a field added": lambda lines: [lines[0].replace('{"at"', '{"aa":1,"at"'), *lines[1:]],
    "a number for its text": lambda lines: [lines[0].replace('"seed":"0"', '"seed":0'), *lines[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_shows(file: Path, change: str) -> None:
    add(file, "a", "b", "c", "d")
    file.write_text("".join(CHANGES[change](lines_of(file))))
    told = broken(Ledger(file).lines)
    assert told and all(sentence.startswith("Line ") for sentence in told)


def test_a_line_that_was_changed_and_given_a_hash_of_its_own_shows(file: Path) -> None:
    add(file, "a", "b", "c")
    lines = lines_of(file)
    forged = {**json.loads(lines[1]), "verdict": "REFUTED"}
    forged["hash"] = room.hash_of(forged)
    file.write_text("".join([lines[0], json.dumps(forged) + "\n", lines[2]]))
    (told,) = broken(Ledger(file).lines)
    assert "Line 3" in told and "follows a line that is not there" in told


@given(data=st.data())
def test_any_change_of_a_value_shows(data: st.DataObject) -> None:
    lines = parse_ledger(CHAINED)
    number = data.draw(st.integers(0, len(lines) - 1))
    name = data.draw(st.sampled_from(sorted(lines[number])))
    value = data.draw(st.one_of(st.text(), st.integers(), st.none(), st.floats(allow_nan=False)))
    if value == lines[number][name] and type(value) is type(lines[number][name]):
        return
    lines[number] = {**lines[number], name: value}
    assert broken(lines)


def chained() -> str:
    """A ledger as text."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / NAME
        add(file, "a", "b", "c")
        return file.read_text()


CHAINED = chained()


# branches


def test_the_lines_of_two_branches_may_stand_one_after_the_other(file: Path) -> None:
    """Two colleagues look on branches of their own, git cannot merge the ledger, and both sides are kept."""
    add(file, "before")
    start, ours, theirs = file.read_bytes(), file.with_name("ours"), file.with_name("theirs")
    for branch, claims in ((ours, ("a", "b")), (theirs, ("c", "d"))):
        branch.write_bytes(start)
        add(branch, *claims)
    file.write_bytes(ours.read_bytes() + theirs.read_bytes()[len(start) :])
    assert broken(Ledger(file).lines) == []
    ends = [line["hash"] for line in Ledger(file).lines if line["claim"] in ("b", "d")]
    add(file, "after")
    after = Ledger(file).lines[-1]
    assert [after["previous"], *after["also"]] == [ends[1], ends[0]], "the next line seals both"
    assert broken(Ledger(file).lines) == []
    lines = lines_of(file)
    file.write_text("".join([*lines[:2], *lines[3:]]))
    assert len(broken(Ledger(file).lines)) == 1, "so that the end of a branch cannot be taken out"


def test_the_marks_of_a_merge_say_how_to_resolve_it(file: Path) -> None:
    add(file, "a")
    file.write_text("<<<<<<< HEAD\n" + file.read_text() + "=======\n>>>>>>> other\n")
    with pytest.raises(RecordError, match=r"line 1: .*Keep the lines of both sides, delete the marks"):
        _ = Ledger(file).lines


# other people's files

NO_LEDGERS = {
    "{": "no line of a ledger",
    "7": "no line of a ledger, which has kind, at, previous, hash",
    "[]": "no line of a ledger",
    '{"kind": "look"}': "no line of a ledger",
    "[" * 100_000: "no line of a ledger",
    "1" * 10_000: "no line of a ledger",
    '{"kind":"look","at":"","previous":"","hash":""}': "has claim, spec, data, seed, status, verdict",
    '{"kind":"audit","at":"","previous":"","hash":""}': "A newer causaltest has written it: update",
    '{"kind":3,"at":"","previous":"","hash":""}': "no line of a ledger",
}


@pytest.mark.parametrize("line", NO_LEDGERS)
def test_what_is_no_ledger_is_refused_kindly_and_left_as_it_is(file: Path, line: str) -> None:
    add(file, "a")
    file.write_text(file.read_text() + line + "\n")
    before = file.read_bytes()
    with pytest.raises(RecordError, match=rf"{NAME}, line 2: .*{NO_LEDGERS[line]}"):
        _ = Ledger(file).lines
    with pytest.raises(RecordError):
        add(file, "b")
    assert file.read_bytes() == before


@given(text=st.text())
def test_no_text_is_read_as_a_ledger_by_mistake(text: str) -> None:
    try:
        lines = parse_ledger(text)
    except RecordError:
        return
    assert lines == []


def test_half_a_character_is_a_change_and_no_crash() -> None:
    line = json.loads(CHAINED.splitlines()[0])
    assert broken([{**line, "claim": "\ud800"}])


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        add(tmp_path / "not there" / NAME, "a")


@pytest.mark.parametrize(
    "said",
    [
        '"claim":[]',
        '"claim":1',
        '"lock":["x"]',
        '"sightings":null',
        '"sightings":["x"]',
        '"sightings":{}',
        '"also":[1]',
    ],
)
def test_a_field_that_holds_something_else_is_refused(file: Path, said: str) -> None:
    """A stranger can give any line its right hash."""
    add(file, "a")
    name = said.partition(":")[0].strip('"')
    line = {key: value for key, value in json.loads(file.read_text()).items() if key not in (name, "hash")}
    line |= json.loads(f"{{{said}}}")
    file.write_text(json.dumps({**line, "hash": hash_of(line)}) + "\n")
    with pytest.raises(RecordError, match=f"line 1: {name} is not what a ledger holds there"):
        _ = Ledger(file).lines


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ("[" * 900 + "]" * 900, "nested deeper than 60 levels"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested deeper than 60 levels"),
        ("[" * 59 + "]" * 59, ""),
        ("[" + ",".join(["[]"] * 900) + "]", ""),
    ],
    ids=["NaN", "infinity", "deep", "too deep by one", "as deep as may be", "wide"],
)
def test_a_value_that_no_ledger_has_is_refused(file: Path, value: str, told: str) -> None:
    add(file, "a")
    file.write_text(file.read_text().replace('{"at"', f'{{"alpha":{value},"at"'))
    if not told:
        assert len(Ledger(file).lines) == 1
        return
    with pytest.raises(RecordError, match=f"line 1: this is no line of a ledger .{told}"):
        _ = Ledger(file).lines


def test_empty_lines_take_no_room(file: Path) -> None:
    text = b"\n" * 2_000_000
    tracemalloc.start()
    assert parse_ledger(text.decode()) == []
    assert committed_versions.lines_of(text) == {b""}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(text)


def test_a_field_that_stands_twice_is_refused(file: Path) -> None:
    """JSON keeps the last of them, and whoever reads the file sees the first."""
    add(file, "a")
    file.write_text(file.read_text().replace('{"at"', '{"verdict":"REFUTED","at"'))
    with pytest.raises(RecordError, match="the key 'verdict' occurs twice"):
        _ = Ledger(file).lines
