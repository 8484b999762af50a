"""`causaltest compare`: two baselines claim by claim, its exit status, and what it says of files that are none."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from saved_claims import effect, noise, saved

import causaltest
from causaltest.asking.predictions import at_least
from causaltest.cli import main
from causaltest.recording.baseline import Baseline, baseline_file, write_baseline

BASE = 0.5 + noise(100, seed=1)


def claim(change, *, id, margin=0.1, **spec):
    return saved(effect(BASE + np.asarray(change)), at_least(0.3), id=id, margin=margin, **spec)


HELD, FELL, ROSE = noise(100, 0.0, 1e-9), noise(100, -0.3), noise(100, 0.3)
CLAIMS = {
    "a.py::held": (0.0, HELD),
    "a.py::fell": (0.0, FELL),
    "b.py::rose": (0.0, ROSE),
    "b.py::close": (0.0, noise(100, 0.01)),
}


@pytest.fixture
def files(tmp_path):
    """Two baselines of one folder of claims: some are in one alone, and one is another experiment."""
    for name, at in (("before", 0), ("after", 1)):
        made = [claim(changes[at], id=id) for id, changes in CLAIMS.items()]
        made += [claim(0.0, id=f"c.py::{name}"), claim(0.0, id="c.py::other", pairs=[{"hash": name}])]
        write_baseline(baseline_file(tmp_path, name), Baseline({c.id: c for c in made}))
    return tmp_path


def flat(ran):
    """What was printed, as one line."""
    return " ".join(ran.output.split())


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_what_moved_comes_first_and_what_holds_to_rounding_says_no_more(files):
    ran = run("before", "after", "--folder", files)
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert lines[0].startswith("before  ") and lines[0].endswith("before.safetensors  on m (aa)")
    assert [line.split() for line in lines if line and line[0].isupper() and "::" in line.split()[-1]][:5] == [
        ["REGRESSED", "finding", "a.py::fell"],
        ["INCONCLUSIVE", "experiment", "c.py::other"],
        ["IMPROVED", "finding", "b.py::rose"],
        ["HOLDS", "rounding", "a.py::held"],
        ["HOLDS", "finding", "b.py::close"],
    ]
    assert "It has fallen by more than the margin of 0.1." in flat(ran)
    assert "              pairs[0].hash: before -> after" in lines
    assert "Every number is the same" not in ran.output
    assert lines[-3:] == [
        "In the first alone: c.py::before.",
        "In the second alone: c.py::after.",
        "5 claims in both: 1 regressed, 1 inconclusive, 1 improved, 2 hold (1 of them to rounding).",
    ]
    every = run("before", "after", "--folder", files, "--every")
    assert "No number of 100 pairs moved by more than" in flat(every)


@pytest.mark.parametrize(("after", "status"), [("after", 1), ("before", 0)])
def test_fail_is_the_exit_status_of_a_regression(files, after, status):
    assert run("before", after, "--folder", files, "--fail").exit_code == status
    assert run("before", after, "--folder", files).exit_code == 0


def test_nothing_to_compare_does_not_pass(tmp_path):
    for name in ("x", "y"):
        made = claim(0.0, id="a.py::other", pairs=[{"hash": name}])
        write_baseline(baseline_file(tmp_path, name), Baseline({made.id: made}))
    ran = run("x", "y", "--folder", tmp_path, "--fail")
    assert ran.exit_code == 1 and "Nothing could be compared." in ran.output
    write_baseline(baseline_file(tmp_path, "z"), Baseline({}))
    ran = run("x", "z", "--folder", tmp_path, "--fail")
    assert ran.exit_code == 1 and "No claim is in both." in ran.output


def test_a_claim_that_has_no_numbers_any_more_fails(tmp_path):
    before, dead = claim(0.0, id="a.py::b"), claim(0.0, id="a.py::b")
    dead = dataclasses.replace(dead, told={"verdict": "INVALID"})
    held = claim(0.0, id="a.py::c")
    for name, made in (("x", [before, held]), ("y", [dead, held])):
        write_baseline(baseline_file(tmp_path, name), Baseline({c.id: c for c in made}))
    ran = run("x", "y", "--folder", tmp_path, "--fail")
    assert ran.exit_code == 1
    assert "1 has no numbers any more." in ran.output
    assert run("y", "x", "--folder", tmp_path, "--fail").exit_code == 0


def test_files_and_folders_are_named_too(files):
    path = baseline_file(files, "before")
    (files / "baselines" / "baseline.safetensors").write_bytes(path.read_bytes())
    by_name = run("before", "before", "--folder", files).output.splitlines()[2:]
    assert run(path, files).output.splitlines()[2:] == by_name


def test_a_margin_is_the_claims_own_or_the_one_that_is_given(files):
    assert "margin of 0.1" in flat(run("before", "after", "--folder", files))
    wide = run("before", "after", "--folder", files, "--margin", 0.5)
    assert "REGRESSED" not in wide.output and "margin of 0.5" in flat(wide)
    refused = run("before", "after", "--folder", files, "--margin", 0)
    assert refused.exit_code == 2 and "--margin 0: give the largest change" in refused.output


def test_two_models_are_compared_on_request(tmp_path):
    for name in ("x", "y"):
        made = claim(0.0 if name == "x" else FELL, id="a.py::b", models=[{"name": name, "weights": name * 64}])
        write_baseline(baseline_file(tmp_path, name), Baseline({made.id: made}))
    shown = run("x", "y", "--folder", tmp_path)
    assert (
        "models[0].name: x -> y" in shown.output
        and "To compare two models: causaltest compare --across-models" in flat(shown)
    )
    assert "on x (xxxxxxxx)" in shown.output
    across = run("x", "y", "--folder", tmp_path, "--across-models", "--fail")
    assert across.exit_code == 1 and "It has fallen" in flat(across)


def test_json_is_for_programs(files):
    told = json.loads(run("before", "after", "--folder", files, "--json").output)
    assert told["claims"]["a.py::fell"]["word"] == "REGRESSED" and told["fails"] is True
    assert told["claims"]["c.py::other"]["fields"] == {"pairs[0].hash": ["before", "after"]}
    assert told["only_before"] == ["c.py::before"]


def test_what_is_no_baseline_is_one_line(files):
    ran = run("before", "nonesuch", "--folder", files, "--fail")
    assert ran.exit_code == 2 and len(ran.output.splitlines()) == 1
    assert ran.output.startswith("Error: There is no baseline nonesuch.")
    empty = run(files, "before", "--folder", files)
    assert (
        empty.exit_code == 2
        and f"There are {baseline_file(files, 'after')}, {baseline_file(files, 'before')}." in empty.output
    )
    (files / "text").write_text("nothing of that kind")
    broken = run("before", files / "text", "--folder", files)
    assert broken.exit_code == 2 and broken.output.startswith("Error: ") and len(broken.output.splitlines()) == 1


def test_it_answers_soon_and_without_torch(files):
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(causaltest.__file__).parents[1])}
    code = (
        "import sys\nfrom causaltest.cli import main\n"
        f"main(['compare', 'before', 'after', '--folder', {str(files)!r}], standalone_mode=False)\n"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    started = os.times()
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    # processor time: 0.9 s on an idle machine, of which scipy is most
    ended = os.times()
    used = ended.children_user + ended.children_system - started.children_user - started.children_system
    assert used < 3
