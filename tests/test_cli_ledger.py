"""`causaltest ledger`: what it lists, what it says of one claim, and how soon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from causaltest.cli import main
from causaltest.recording.ledger import NAME, Ledger


def look(claim: str, **more: Any) -> dict[str, Any]:
    said = {
        "kind": "look", "at": "2026-01-02T03:04:05Z", "claim": claim, "spec": "s" * 64, "data": "d" * 64, "seed": "0",
        "status": "CONFIRMATORY", "reason": "registered in 12345678", "verdict": "SUPPORTED", "estimate": 0.5,
        "lower": 0.4, "upper": 0.6, "n": 8, "alpha": 0.05,
    }  # fmt: skip
    return {**said, **more}


READER, DECOY = "test_a.py::test_reader", "test_a.py::test_decoy"
INVALID = {"verdict": "INVALID", "estimate": None, "lower": None, "upper": None, "status": "EXPLORATORY", "reason": "r"}
SWEEP = {"kind": "sweep", "at": "2026-01-02T03:04:05Z", "sightings": [{"what": "a map (72 sites)"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / NAME)
    lines = [
        look(READER),
        SWEEP,
        look(READER, seed="7", status="EXPLORATORY", reason="another seed"),
        look(DECOY, **INVALID),
        look(READER, data="e" * 64, status="REPLICATION", reason="of other pairs"),
    ]
    for line in lines:
        ledger.append(lambda _, line=line: line)  # type: ignore[misc]
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments, "--folder", str(folder)])


def test_all_lines_are_listed_and_counted(folder: Path) -> None:
    assert run(folder).output.splitlines() == [
        "2026-01-02T03:04:05Z  test_a.py::test_reader  SUPPORTED  0.500 [0.400, 0.600]  n 8  seed 0  CONFIRMATORY: "
        "registered in 12345678",
        "2026-01-02T03:04:05Z  (sweep)                 a map (72 sites)",
        "2026-01-02T03:04:05Z  test_a.py::test_reader  SUPPORTED  0.500 [0.400, 0.600]  n 8  seed 7  EXPLORATORY: "
        "another seed",
        "2026-01-02T03:04:05Z  test_a.py::test_decoy   INVALID    -                     n 8  seed 0  EXPLORATORY: r",
        "2026-01-02T03:04:05Z  test_a.py::test_reader  SUPPORTED  0.500 [0.400, 0.600]  n 8  seed 0  REPLICATION: "
        "of other pairs",
        "",
        "4 looks at 2 claims, 1 sweep",
    ]


def test_a_folder_is_named_as_by_the_other_commands(folder: Path) -> None:
    assert CliRunner().invoke(main, ["ledger", str(folder)]).output == run(folder).output


@pytest.mark.parametrize("name", [READER, "test_reader", f"claims/{READER}"])
def test_a_claim_has_its_history_and_what_alpha_was_spent_on(folder: Path, name: str) -> None:
    told = run(folder, name).output.splitlines()
    assert told[0] == READER and len(told) == 8
    assert told[2] == "  2026-01-02T03:04:05Z  SUPPORTED  0.500 [0.400, 0.600]  n 8  seed 7  EXPLORATORY: another seed"
    assert told[4:] == [
        "",
        "alpha was spent on 3 looks, at 2 sets of data:",
        "  dddddddddddd: 2 looks, so that a false claim is called SUPPORTED with a chance of up to 0.1",
        "  eeeeeeeeeeee: 1 look, at alpha 0.05",
    ]


def test_a_claim_that_nobody_has_looked_at(folder: Path) -> None:
    told = run(folder, "test_raeder")
    assert told.exit_code == 1
    assert told.output.startswith("Error: no look at test_raeder stands in the ledger, which has looks at 2 claims.")
    assert f"Did you mean {READER} or {DECOY}?" in told.output
    assert "Did you mean" not in run(folder, "qqqq").output


def test_a_name_that_two_claims_end_with(folder: Path) -> None:
    Ledger(folder / NAME).append(lambda _: look("test_b.py::test_reader"))
    told = run(folder, "test_reader")
    assert told.exit_code == 1 and f"give one of them whole:\n  {READER}\n  test_b.py::test_reader" in told.output


def test_as_json_with_numbers(folder: Path) -> None:
    lines = json.loads(run(folder, "--json").output)
    assert [line["kind"] for line in lines] == ["look", "sweep", "look", "look", "look"]
    assert lines[0]["estimate"] == 0.5 and lines[3]["estimate"] is None
    assert [line["seed"] for line in json.loads(run(folder, "test_decoy", "--json").output)] == ["0"]


def test_a_line_that_was_mended(folder: Path) -> None:
    with (folder / NAME).open("ab") as stream:
        stream.write(b'{"at": "20')
    Ledger(folder / NAME).append(lambda _: None)
    told = run(folder).output
    assert "(mended)                a line of 10 bytes was cut by a crash" in told
    assert told.endswith("4 looks at 2 claims, 1 sweep, 1 mended line\n")


def test_nobody_has_looked_yet(tmp_path: Path) -> None:
    assert run(tmp_path).output == f"{tmp_path / NAME}: nobody has looked yet\n"
    assert json.loads(run(tmp_path, "--json").output) == []


def test_a_file_that_is_no_ledger(folder: Path) -> None:
    (folder / NAME).write_text("<<<<<<< HEAD\n")
    told = run(folder)
    assert told.exit_code == 1 and "Keep the lines of both sides" in told.output


def test_it_opens_nothing_heavy(folder: Path) -> None:
    """As it must answer in under 0.4 s for 16,000 lines."""
    script = (
        "import sys; from causaltest.cli import main\n"
        f"main(['ledger', '--folder', {str(folder)!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pytest', 'hypothesis', 'filelock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
