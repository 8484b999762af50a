"""`causaltest verify` and `causaltest register`: what a researcher and their CI read of a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from records import GIT, commit, entered, git, looked, repository, spec

import causaltest
from causaltest.cli import main
from causaltest.recording.amendment import amend
from causaltest.recording.lock import Lock, write_lock
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate

A, B, C = (spec(f"test_a.py::test_{name}") for name in "abc")
A2 = spec(A.id, threshold="0.4")
HEAVY = ("torch", "transformers", "numpy", "scipy", "safetensors", "tokenizers")


def run(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = repository(tmp_path) / "claims"
    folder.mkdir()
    entered(Record(folder), A, B)
    commit(folder)
    return folder


def test_what_holds_is_said_with_the_reasons_of_amendments(folder) -> None:
    record = Record(folder)
    entered(record, C)
    amend(record, [Candidate(A2)], [A.id], why="The pilot meant it")
    named = spec("test_a.py::test_better", sentence=B.fields["sentence"])
    amend(record, [Candidate(named)], [named.id], why="A better name", was=B.id)
    at = record.lock.events[-1]["at"]
    head = commit(folder)
    (folder / "claims.ledger").write_text(f"{json.dumps(looked(record.lock.head, C))}\n")
    ran = run("verify", folder)
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines() == [
        "claims.lock holds: 3 claims, registered in 2 batches.",
        "2 amendments:",
        f"  {A.id}, on {record.lock.events[-2]['at']}: prediction.threshold: 0.3 -> 0.4. Why: The pilot meant it",
        f"  {named.id}, until then {B.id}, on {at}: its name alone. Why: A better name",
        "claims.ledger holds: 1 look.",
        f"The lock's last event is of {at}: {record.lock.head}",
        f"Git: committed in {head[:8]}, and unchanged since.",
    ]
    assert run("verify", folder / "claims.lock").output == ran.output
    assert json.loads(run("verify", folder, "--json").output) == {"holds": True, "problems": []}


def test_what_was_changed_by_hand_is_tampered_and_status_3(folder) -> None:
    file = folder / "claims.lock"
    text = file.read_text()
    file.write_text(text.replace('"0.3"', '"0.2"', 1))
    ran = run("verify", folder)
    assert ran.exit_code == 3
    assert ran.output.splitlines()[:2] == [
        f"TAMPERED: the record in {folder} is not what it was.",
        f"  {A.id}: its spec or its hash was changed by hand.",
    ]
    told = json.loads(run("verify", folder, "--json").output)
    assert told["holds"] is False and f"{A.id}: its spec or its hash was changed by hand" in told["problems"]
    file.unlink()
    ran = run("verify", folder)
    assert ran.exit_code == 3 and "claims.lock is not there any more" in ran.output
    git(folder, "checkout", "HEAD", "--", "claims.lock")
    assert run("verify", folder).exit_code == 0
    line = looked(Record(folder).lock.head, A)
    (folder / "claims.ledger").write_text(f"{json.dumps({**line, 'verdict': 'REFUTED'})}\n")
    ran = run("verify", folder)
    assert ran.exit_code == 3 and "ine 1 of the ledger" in ran.output


def test_what_cannot_be_read_is_status_1_and_a_wrong_path_2(folder, tmp_path, monkeypatch) -> None:
    file = folder / "claims.lock"
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    ran = run("verify", folder)
    assert ran.exit_code == 1 and "of a newer causaltest" in ran.output and len(ran.output.splitlines()) == 1
    assert "of a newer causaltest" in json.loads(run("verify", folder, "--json").output)["unreadable"]
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("verify", empty)
    assert ran.exit_code == 1
    assert ran.output == f"Error: There is no claims.lock in {empty}: `causaltest register {empty}` begins one.\n"
    assert run("verify", tmp_path / "nowhere").exit_code == 2
    monkeypatch.chdir(empty)
    assert run("verify").exit_code == 2
    other = tmp_path / "other.txt"
    other.write_text("x")
    assert run("verify", other).exit_code == 2


def test_an_empty_lock_holds(tmp_path) -> None:
    write_lock(tmp_path / "claims.lock", Lock())
    ran = run("verify", tmp_path)
    assert ran.exit_code == 0 and ran.output.startswith("claims.lock holds: 0 claims, registered in 0 batches.\n")


def test_without_git_a_record_holds_and_says_that_nothing_dates_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    entered(Record(tmp_path), A)
    ran = run("verify", tmp_path)
    assert ran.exit_code == 0 and "Git: " in ran.output


def test_verify_loads_nothing_heavy(folder) -> None:
    code = f"""
import sys
from causaltest.cli import main
try:
    main(["verify", {str(folder)!r}])
except SystemExit as done:
    assert done.code == 0
print(*[name for name in {HEAVY} if name in sys.modules])
"""
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(causaltest.__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "", ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--amend", "x"), "An amendment needs its reason"),
        (("--amend", "x", "--why", " "), "An amendment needs its reason"),
        (("--why", "so"), "about a claim that is amended"),
        (("--was", "x"), "about a claim that is amended"),
        (("--amend", "x", "--amend", "y", "--why", "so", "--was", "z"), "amend that claim alone"),
        (("--merge", "--amend", "x"), "--merge takes a folder and nothing else"),
        (("claims", "more", "--merge"), "--merge takes a folder and nothing else"),
    ],
)
def test_what_register_cannot_mean_is_a_usage_error(arguments, said) -> None:
    ran = run("register", *arguments)
    assert ran.exit_code == 2 and said in ran.output


def test_both_sides_of_a_lock_are_joined(folder) -> None:
    ran = run("register", folder, "--merge")
    assert ran.exit_code == 1 and "has no two branches to merge" in ran.output
    git(folder, "checkout", "-q", "-b", "other")
    entered(Record(folder), B, C)
    commit(folder)
    git(folder, "checkout", "-q", "main")
    entered(Record(folder), spec("test_a.py::test_d"))
    commit(folder)
    subprocess.run(["git", "merge", "-q", "other"], cwd=folder, env=GIT, capture_output=True, check=False)
    assert run("verify", folder).exit_code == 1
    ran = run("register", folder, "--merge")
    assert (ran.exit_code, ran.output) == (
        0,
        f"{folder / 'claims.lock'}: joined, 4 claims. Commit it, and the ledger.\n",
    )
    assert run("verify", folder).exit_code == 0


CLAIMS = """
import pytest
from causaltest import accuracy, at_least, claim, resid_post, thought
from causaltest.organisms import ducks


@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:ducks")


@claim("The first thought carries the total.", at_least(0.30, expecting=0.60))
def test_first_thought(lab):
    return lab.denoise(ducks.twins(sentence=1), at=resid_post(6, thought(0))).recovery(accuracy)
"""


def test_a_claim_is_amended_and_named_anew_by_the_command(pytester) -> None:
    pytester.makepyfile(test_a=CLAIMS)
    pytester.runpytest_inprocess(".", "--causal-register")
    lock = pytester.path / "claims.lock"
    id = "test_a.py::test_first_thought"
    assert list(Record(pytester.path).lock.entries) == [id]

    pytester.makepyfile(test_a=CLAIMS.replace("0.30", "0.40"))
    told = pytester.runpytest_inprocess(".", "--causal-register")
    told.stdout.fnmatch_lines(
        [f"*{id} is registered otherwise (*threshold: 0.3 -> 0.4)*causaltest register . --amend '{id}' --why*"]
    )
    told = pytester.runpytest_inprocess(".", "--causal-register", "--causal-amend=test_first", "--causal-why=so")
    told.stderr.fnmatch_lines(
        ["*test_first is no claim that is in the code; did you mean test_a.py::test_first_thought?*"]
    )
    assert Record(pytester.path).lock.entries[id].prior == ()
    told = pytester.runpytest_inprocess(".", "--causal-register", f"--causal-amend={id}", "--causal-why=A pilot")
    told.stdout.fnmatch_lines([f"*{id} amended: *threshold*Why: A pilot*"])
    assert len(Record(pytester.path).lock.entries[id].prior) == 1

    pytester.makepyfile(test_a=CLAIMS.replace("0.30", "0.40").replace("test_first_thought", "test_better"))
    new = "test_a.py::test_better"
    told = pytester.runpytest_inprocess(".", "--causal-register")
    assert told.ret == 1
    told.stdout.fnmatch_lines([f"*{new} is what is registered as {id}*--amend '{new}' --was '{id}'*"])
    assert list(Record(pytester.path).lock.entries) == [id]
    pytester.runpytest_inprocess(
        ".", "--causal-register", f"--causal-amend={new}", "--causal-why=A better name", f"--causal-was={id}"
    )
    assert list(Record(pytester.path).lock.entries) == [new]
    pytester.makepyfile(test_a=CLAIMS.replace("carries", "has").replace("test_first_thought", "test_other"))
    told = pytester.runpytest_inprocess(".", "--causal-register")
    told.stdout.fnmatch_lines([f"*{new} is registered and not in the code any more. It stays in the lock."])
    told = pytester.runpytest_inprocess(".", "--causal-register", "-k", "nothing")
    told.stdout.no_fnmatch_line("*not in the code any more*")
    assert run("verify", lock).exit_code == 0
