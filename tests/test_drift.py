"""`causaltest drift`: the same claims on two models, each measured by pytest in a process of its own.

The process is a fork of a warm one but where pytest stops before it imports torch.
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from kinds import PLANTED

import causaltest
from causaltest.cli import main
from causaltest.organisms.wiring import READER, tokenizer, wired

CLAIMS = (
    PLANTED
    + """
@claim("The reader holds the value.", at_least(0.5))
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("It moves the logits by 10.", at_least(10), margin=2)
def test_logits(lab, pairs):
    return lab.denoise(pairs, at=head(1, 0, last())).change(logit_diff(range=(-40, 40)))
"""
)
TWO_MODELS = """
@claim("Another model too.", at_least(0.5), model="organism:bypass")
def test_other(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(causaltest.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "test_planted.py").write_text(CLAIMS)
    return tmp_path


@pytest.fixture
def forked(warm, folder, monkeypatch):
    """Runs pytest in a fork of a process that has imported torch."""

    def run(command, **_):
        output = folder / "output.txt"
        status = warm.run(["pytest", *command[3:]], folder, os.environ, output)
        return subprocess.CompletedProcess(command, status, output.read_text())

    monkeypatch.setattr(subprocess, "run", run)


def fainter(folder):
    """The planted organism, whose answers are half as loud."""
    model = wired([READER])
    with torch.no_grad():
        model.lm_head.weight /= 2
    model.save_pretrained(folder / "fainter")
    tokenizer().save_pretrained(folder / "fainter")
    return "fainter"


def run(*arguments):
    return CliRunner().invoke(main, ["drift", *map(str, arguments)])


def test_it_says_what_became_of_each_claim(folder, forked):
    ran = run("organism:planted", fainter(folder), "claims", "--fail")
    assert ran.exit_code == 1, ran.output
    told = " ".join(ran.output.split())
    assert "before organism:planted" in told and "after fainter (" in told
    assert "REGRESSED finding test_planted.py::test_logits" in told
    assert "It has fallen by more than the margin of 2." in told
    assert "HOLDS rounding test_planted.py::test_reader" in told
    assert told.endswith("2 claims in both: 1 regressed, 1 hold (1 of them to rounding).")
    # nothing is left behind among the claims
    assert [path.name for path in (folder / "claims").iterdir() if path.name != "__pycache__"] == ["test_planted.py"]


def test_several_models_are_asked_about_and_options_of_pytest_are_handed_on(folder, forked):
    with (folder / "claims" / "test_planted.py").open("a") as file:
        file.write(TWO_MODELS)
    ran = run("organism:planted", "organism:planted", "claims", "-k", "other or reader", "--fail")
    # what could be compared is, and what could not does not pass
    assert ran.exit_code == 1, ran.output
    assert "1 claim in both: 1 hold" in ran.output
    assert "they name organism:bypass and organism:planted" in ran.output
    assert ran.output.splitlines()[-1] == "say which model is meant: --in-place-of NAME"


def test_what_cannot_be_measured_is_said(folder):
    ran = run("organism:planted", "organism:planted", "nowhere")
    assert ran.exit_code == 2
    assert "pytest could not measure the claims on organism:planted (exit status 4)" in ran.output
    assert "not found: nowhere" in ran.output
    assert "Traceback" not in ran.output


def test_the_margin_is_checked_before_anything_is_measured(folder):
    ran = run("a", "b", "claims", "--margin", -1)
    assert ran.exit_code == 2 and "--margin -1: give" in ran.output and "measuring" not in ran.output
    assert os.listdir(folder) == ["claims"]
