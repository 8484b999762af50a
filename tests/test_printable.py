"""What a stranger wrote into a record cannot steer the terminal of whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from causaltest.cli import main
from causaltest.cli.printable import printable
from causaltest.recording.amendment import amend
from causaltest.recording.canonical import digest_of
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec

NASTY = "\x1b[2J\x1b[Hall is well\u202e\x07"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record whose id, reason and look are nasty, and whose hashes are right."""
    for size in (1, 2):
        candidate = Candidate(Spec(NASTY, {"sentence": NASTY, "family": {"name": NASTY, "size": size}}))
        if size == 1:
            register(Record(tmp_path), [candidate])
        else:
            amend(Record(tmp_path), [candidate], [NASTY], why=NASTY)
    line = {name: NASTY for name in ("claim", "spec", "data", "seed", "status", "verdict", "reason", "at")}
    line |= {"kind": "look", "previous": "", "lock": ""}
    text = json.dumps({**line, "hash": digest_of(line)}, ensure_ascii=False)
    (tmp_path / "claims.ledger").write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("command", [["verify", "."], ["ledger", "--folder", "."], ["ledger", NASTY, "--folder", "."]])
def test_nothing_that_is_printed_steers_a_terminal(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    # click takes such characters out by itself where nobody looks at a terminal
    ran = CliRunner().invoke(main, command, color=True)
    assert isinstance(ran.exception, SystemExit | None), ran.exception
    assert "all is well" in ran.output
    assert printable(ran.output) == ran.output


def test_lines_and_letters_stay():
    assert printable("é ± 漢\nb\tc\r\u200b") == "é ± 漢\nb?c??"
