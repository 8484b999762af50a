"""What a stranger wrote into a record cannot steer the terminal of whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from causaltest.cli import main
from causaltest.printable import printable
from causaltest.recording.amendment import amend
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec
from causaltest.writing.canonical import digest_of

NASTY = "\x1b[2J\x1b[Hall is well\u202e\x07"


def spec(size: int) -> dict[str, Any]:
    """A whole spec, in which every text is nasty."""
    prediction = {"kind": "Prediction", "relation": "at_least", "threshold": "0.3", "alpha": "0.05", "power": "0.8"}
    site = {"component": NASTY, "position": {"kind": "span", "text": NASTY}, "layers": [1]}
    asked = {
        "model": "model 1",
        "pairs": "pairs 1",
        "direction": "denoise",
        "quantity": "recovery",
        "metric": {"name": "accuracy"},
        "intervention": {"kind": "replace"},
        "controls": {"placebo_draws": 8, "waived": {NASTY: NASTY}},
        "sites": [site],
    }
    return {
        "accepted": [NASTY],
        "asked": asked,
        "body": NASTY,
        "family": {"name": NASTY, "size": size},
        "models": [{"name": NASTY, "weights": NASTY}],
        "pairs": [{"hash": NASTY, "prompts": NASTY, "number": 3, "clusters": None, "split": None}],
        "parameters": {NASTY: NASTY},
        "prediction": {**prediction, "expecting": None, "smallest": None, "upper": None},
        "sentence": NASTY,
        "settings": {"dtype": NASTY},
        "statistics": "1",
        "stopping": None,
        "units": ["clusters"],
        "variants": None,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record whose id, reason and look are nasty, and whose hashes are right."""
    for size in (1, 2):
        candidate = Candidate(Spec(NASTY, spec(size)))
        if size == 1:
            register(Record(tmp_path), [candidate])
        else:
            amend(Record(tmp_path), [candidate], [NASTY], why=NASTY)
    line = {name: NASTY for name in ("claim", "spec", "data", "seed", "status", "verdict", "reason", "at")}
    line |= {"kind": "look", "previous": "", "lock": ""}
    text = json.dumps({**line, "hash": digest_of(line)}, ensure_ascii=False)
    (tmp_path / "claims.ledger").write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["verify", "."],
        ["ledger", "--folder", "."],
        ["ledger", NASTY, "--folder", "."],
        ["ledger", f"{NASTY}!", "--folder", "."],
        ["export", ".", "--format", "osf"],
        ["export", ".", "--format", "osf", "--claim", f"{NASTY}!"],
        ["bundle", ".", "-o", "claims.zip"],
    ],
)
def test_nothing_that_is_printed_steers_a_terminal(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    # click takes such characters out by itself where nobody looks at a terminal
    ran = CliRunner().invoke(main, command, color=True)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    assert printable(ran.output) == ran.output != ""


def test_a_bundle_steers_no_terminal_either(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "claims.ledger").unlink()
    assert "wrote claims.zip" in CliRunner().invoke(main, ["bundle", ".", "-o", "claims.zip"]).output
    ran = CliRunner().invoke(main, ["verify", "claims.zip"], color=True)
    assert "all is well" in ran.output
    assert printable(ran.output) == ran.output


def test_a_spec_of_another_kind_is_told_and_packed_by_nobody(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "claims.ledger").unlink()
    register(Record(folder), [Candidate(Spec("other", {"sentence": NASTY, "family": {"name": NASTY, "size": 1}}))])
    ran = CliRunner().invoke(main, ["bundle", ".", "-o", "claims.zip"], color=True)
    assert "is not as this causaltest writes them" in ran.output
    assert (ran.exit_code, (folder / "claims.zip").exists()) == (1, False)


def test_lines_and_letters_stay():
    assert printable("é ± 漢\nb\tc\r\u200b") == "é ± 漢\nb?c??"
