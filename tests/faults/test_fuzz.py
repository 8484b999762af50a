"""Mutated files, read as a command would: nothing but causaltest's own errors, and none takes long. The long form is
benchmarks/faults/fuzz.py."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.faults import fuzz, table
from benchmarks.faults.fuzz import SLOW_S
from benchmarks.faults.good_files import seed
from benchmarks.faults.mutation import mutated
from benchmarks.faults.parsers import BY_NAME, PARSERS, Parser, accepted, read_once
from benchmarks.faults.result import Result
from causaltest.errors import RecordError

FILES, EACH = 120, 20
"""Of each parser, and at least of each good file; the same ones in every run."""

NEEDED = {"parquet": ("pyarrow",), "stamp": ("opentimestamps", "rfc3161_client")}


@pytest.fixture(params=PARSERS, ids=lambda parser: parser.name)
def parser(request: pytest.FixtureRequest) -> Parser:
    for package in NEEDED.get(request.param.name, ()):
        pytest.importorskip(package)
    return request.param


def test_no_good_file_is_refused(parser: Parser) -> None:
    """What stands behind a refusal would never be reached."""
    seeds = parser.seeds()
    assert seeds
    for good in seeds:
        accepted(parser, good)


def test_a_mutated_file_is_read_or_refused_with_a_sentence(parser: Parser) -> None:
    seeds = parser.seeds()
    through = 0

    @settings(
        max_examples=max(FILES, EACH * len(seeds)),
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), st.integers(0, 2**32))
    def check(good: bytes, number: int) -> None:
        data = good[:1] + mutated(good[1:], number)
        began = time.process_time()
        nonlocal through
        through += read_once(parser, data)
        assert time.process_time() - began < SLOW_S

    check()
    # Files that are all refused at the first look have tried nothing that lies behind it. A time stamp is signed or
    # hashed in all its parts: any other is one of another file, which is seen last.
    assert through or parser.name == "stamp"


def test_what_the_fuzzer_calls_a_find_is_one() -> None:
    """A parser that lets another error through, which the check above would tell."""

    def careless(data: bytes, folder: object) -> object:
        return {b"a": 1}[data]

    with pytest.raises(KeyError):
        read_once(Parser("careless", "careless", list, careless), b"b")


def refusing(data: bytes, folder: object) -> object:
    raise RecordError("it is no file of mine")


def test_a_good_file_that_is_refused_is_told(tmp_path: Path) -> None:
    parser = Parser("refusing", "refusing", lambda: [b"good"], refusing)
    assert not read_once(parser, b"good")
    with pytest.raises(RecordError, match="no file of mine"):
        fuzz.good(fuzz.Watch(parser, tmp_path))


@pytest.mark.parametrize("margin", [-0.9, 30])
def test_a_fuzzer_that_does_not_end_is_a_find(monkeypatch: pytest.MonkeyPatch, margin: float) -> None:
    monkeypatch.setenv("FUZZ_SECONDS", "1")
    monkeypatch.setattr(fuzz, "MARGIN_S", margin)
    result = fuzz.fuzzed(BY_NAME["options"])
    assert result.held == (margin > 0)
    assert result.measured.startswith("0 in" if result.held else "1 in")


def test_two_runs_side_by_side_keep_what_both_have_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks.faults import __main__ as command

    class Module:
        def run(self) -> list[Result]:
            table.keep("soak", [Result("beside", "", "", "2", held=True)])
            return [Result("own", "", "", "1", held=True)]

    monkeypatch.setattr(table, "KEPT", tmp_path / "results.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "reliability.md")
    (tmp_path / "reliability.md").write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(command, "import_module", lambda name: Module())
    command.main(["warm"])
    assert set(json.loads((tmp_path / "results.json").read_text())) == {"soak", "warm"}
    assert [line[:8] for line in (tmp_path / "reliability.md").read_text().splitlines()[4:6]] == [
        "| own | ",
        "| beside",
    ]


def test_mutations_are_the_same_for_a_seed_and_differ_from_the_good_file() -> None:
    good = seed("claims.lock")
    made = {number: mutated(good, number) for number in range(50)}
    assert made == {number: mutated(good, number) for number in range(50)}
    assert sum(data == good for data in made.values()) < 5
