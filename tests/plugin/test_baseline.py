"""Baselines as pytest runs them: kept, compared, updated, and never lost or taken by mistake."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch
from kinds import KINDS

from causaltest.organisms.wiring import READER, tokenizer, wired
from causaltest.recording.baseline import baseline_file, read_baseline, write_baseline

GIVEN = """
import json, pathlib
NUMBERS = json.loads((pathlib.Path(__file__).parent / "numbers.json").read_text())
def measured(name):
    return Effect.from_values(NUMBERS[name], kind="continuous", iid=True, placebo=Waived("a test"))

@claim("It is large.", at_least(0.3), margin=0.1)
def test_large():
    return measured("large")

@claim("It is small.", at_most(0.3), margin=0.1)
def test_small():
    return measured("small")

@claim("Nobody knows its unit.", at_least(0.3))
def test_unit():
    return measured("unit")
"""
BEFORE = {name: [level + 0.02 * (i % 5) for i in range(80)] for name, level in
          {"large": 0.7, "small": 0.05, "unit": 0.7}.items()}  # fmt: skip
LARGE = "test_claims.py::test_large"
MEASURED = """
@claim("The reader holds the value.", at_least(0.5))
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""


@pytest.fixture
def run(claims, pytester, monkeypatch):
    """Run claims about the numbers given, each shifted by what is said; what the last run wrote as JSON."""
    monkeypatch.delenv("CI", raising=False)

    def go(*options: str, body: str = GIVEN, **shifts: float) -> pytest.RunResult:
        numbers = {name: shifted(name, shifts.get(name, 0.0)) for name in BEFORE}
        (pytester.path / "numbers.json").write_text(json.dumps(numbers))
        return claims(body, "--causal-json=out.json", *options)

    return go


def shifted(name: str, by: float) -> list[float]:
    """Every pair moves by this on average, and no two neighbours alike."""
    return [value + by * (1 + 0.1 * (i % 3 - 1)) for i, value in enumerate(BEFORE[name])]


def drifts(pytester: pytest.Pytester) -> dict[str, dict]:
    """The drift of each claim, by its test's name."""
    return {c["nodeid"].split("::")[1]: c["drift"] for c in json.loads((pytester.path / "out.json").read_text())}


def words(pytester: pytest.Pytester) -> dict[str, str]:
    return {name: drift["word"] for name, drift in drifts(pytester).items()}


def values(pytester: pytest.Pytester, name: str = "baseline") -> dict[str, tuple[float, ...]]:
    """The first number of each claim in the baseline, by its test's name."""
    kept = read_baseline(baseline_file(pytester.path, name)).claims
    return {id.split("::")[1]: claim.effects[0][1].measured.values[0] for id, claim in kept.items()}


def test_without_an_option_nothing_is_written_and_nothing_said(run, pytester):
    result = run()
    assert not (pytester.path / "baselines").exists()
    assert set(map(str, drifts(pytester).values())) == {"{}"}
    result.stdout.no_fnmatch_line("*drift*")
    result.stdout.no_fnmatch_line("*baseline*")


def test_where_there_is_no_baseline_it_is_created_with_a_note_and_then_holds(run, pytester):
    result = run("--causal-compare")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["drift from baselines/baseline.safetensors: 3 new",
         "baseline created: *baseline.safetensors with 3 claims. Commit it; --causal-compare compares with it."]
    )  # fmt: skip
    before = baseline_file(pytester.path).read_bytes()
    result = run("--causal-compare", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["  drift *HOLDS: *", "drift from baselines/baseline.safetensors: 3 hold"])
    result.stdout.no_fnmatch_line("*not measured now*")
    assert words(pytester) == dict.fromkeys(["test_large", "test_small", "test_unit"], "HOLDS")
    assert baseline_file(pytester.path).read_bytes() == before
    drift = drifts(pytester)["test_large"]
    assert (drift["cause"], drift["estimate"], drift["id"], drift["margin"]) == ("rounding", 0.0, LARGE, 0.1)


def test_a_finding_that_moved_is_told_and_fails_only_when_asked(run, pytester):
    run("--causal-save")
    run("--causal-compare", large=-0.3, small=-0.2, unit=0.2).assert_outcomes(passed=3)
    assert words(pytester) == {"test_large": "REGRESSED", "test_small": "IMPROVED", "test_unit": "INCONCLUSIVE"}
    result = run("--causal-compare-fail", large=-0.3, small=-0.2, unit=0.2)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["REGRESSED: *", "CLAIM test_claims.py::test_large  SUPPORTED*", "  drift *REGRESSED: *"]
    )
    result.stdout.fnmatch_lines(
        ["drift from baselines/baseline.safetensors: 1 regressed, 1 improved, 1 inconclusive",
         "  REGRESSED  test_claims.py::test_large: *(margin 0.1, declared by the claim)",
         "  INCONCLUSIVE  test_claims.py::test_unit: *A margin is declared by *",
         "  IMPROVED  test_claims.py::test_small: *"]
    )  # fmt: skip
    assert run("--causal-compare-fail", "-v", large=-0.3).stdout.str().count("test_large REGRESSED ") == 1


def test_what_regressed_fails_a_claim_whose_inconclusive_verdict_would_be_skipped(run, pytester):
    run("--causal-save")
    skip = ("-o", "causaltest_inconclusive=skip")
    run(*skip, large=-0.44).assert_outcomes(passed=2, skipped=1)
    run(*skip, "--causal-compare-fail", large=-0.44).assert_outcomes(passed=2, failed=1)
    assert drifts(pytester)["test_large"]["word"] == "REGRESSED"


def test_the_margin_is_the_claims_own_then_the_options_then_the_ini_files(run, pytester):
    run("--causal-save")
    pytester.makeini("[pytest]\ncausaltest_margin = 0.5\n")
    run("--causal-compare", large=-0.2, unit=-0.2)
    assert {name: drift["margin"] for name, drift in drifts(pytester).items()} == {
        "test_large": 0.1,
        "test_small": 0.1,
        "test_unit": 0.5,
    }
    assert words(pytester)["test_unit"] == "HOLDS"
    run("--causal-compare", "--causal-margin=0.15", unit=-0.2)
    assert drifts(pytester)["test_unit"]["margin"] == 0.15 and words(pytester)["test_unit"] == "REGRESSED"


def test_a_margin_that_was_widened_since_the_baseline_is_told(run, pytester):
    run("--causal-save")
    assert "In the baseline" not in str(run("--causal-compare", "-v").stdout)
    run("--causal-compare", body=GIVEN.replace("margin=0.1", "margin=0.5", 1), large=-0.2)
    assert drifts(pytester)["test_large"]["sentence"].endswith(" In the baseline its margin was 0.1.")
    assert words(pytester)["test_large"] == "HOLDS"


def test_recovery_has_a_usual_margin_which_is_called_one(run, pytester):
    run("--causal-compare", body=MEASURED)
    result = run("--causal-compare", "-v", body=MEASURED)
    assert drifts(pytester)["test_reader"]["margin"] == 0.1
    result.stdout.fnmatch_lines(["  drift *HOLDS: *(margin 0.1, the default)"])


def test_a_change_in_the_metrics_own_units_has_no_usual_margin(run, pytester):
    body = MEASURED.replace("recovery(accuracy)", "change(accuracy)")
    run("--causal-save", body=body)
    run("--causal-compare", body=body)
    assert (drifts(pytester)["test_reader"]["margin"], words(pytester)["test_reader"]) == (None, "HOLDS")


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf"])
def test_a_margin_that_is_no_size_is_refused(run, pytester, given):
    result = run("--causal-compare", f"--causal-margin={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --causal-margin *{given}*: give the largest change*"])
    pytester.makeini(f"[pytest]\ncausaltest_margin = {given}\n")
    assert run().ret == pytest.ExitCode.USAGE_ERROR
    result = run(body=f"@claim('A', at_least(0.3), margin=float('{given}'))\ndef test_a():\n    return given(VALUES)\n")
    assert result.ret != 0


def test_updating_adds_what_is_new_or_replaces_what_moved_and_keeps_the_rest(run, pytester):
    run("--causal-compare", "-k", "large or small")
    old = values(pytester)
    assert set(old) == {"test_large", "test_small"}
    result = run("--causal-compare", large=-0.3, small=0.001, unit=0.1)
    result.stdout.fnmatch_lines(["*1 holds, 1 regressed, 1 new"])
    assert values(pytester) == old
    result = run("--causal-update=new", large=-0.3, small=0.001, unit=0.1)
    result.stdout.fnmatch_lines(["baseline baselines/baseline.safetensors: 1 claim added; 2 claims left as they were"])
    assert values(pytester) == {**old, "test_unit": shifted("unit", 0.1)[0]}
    result = run("--causal-update=changed", "--causal-compare-fail", large=-0.3, small=0.001, unit=0.1)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["  REGRESSED *It is the new baseline.", "*: 1 claim replaced; 2 claims left*"])
    # What holds is not churned by rounding or a drift within the margin.
    assert values(pytester) == {
        "test_large": shifted("large", -0.3)[0],
        "test_small": BEFORE["small"][0],
        "test_unit": shifted("unit", 0.1)[0],
    }
    run("--causal-compare-fail", large=-0.3, unit=0.1).assert_outcomes(passed=3)


def test_a_selection_deletes_nothing(run, pytester):
    run("--causal-save")
    for options in (["--causal-save"], ["--causal-update=changed"], ["--causal-update=new"]):
        result = run(*options, "-k", "large", large=-0.3)
        assert set(values(pytester)) == {"test_large", "test_small", "test_unit"}
        result.stdout.no_fnmatch_line("*not measured now*")
    assert values(pytester)["test_large"] == shifted("large", -0.3)[0]


def test_a_claim_that_is_gone_is_named_and_kept(run, pytester):
    run("--causal-save")
    result = run("--causal-compare", body=GIVEN.replace("def test_unit", "def test_units"))
    result.stdout.fnmatch_lines(["baseline * has a claim that was not measured now: test_claims.py::test_unit. If it*"])
    assert set(values(pytester)) == {"test_large", "test_small", "test_unit"}


def test_updating_is_refused_in_ci_and_beside_saving(run, pytester, monkeypatch):
    run("--causal-save")
    before = baseline_file(pytester.path).read_bytes()
    result = run("--causal-update=new", "--causal-save")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --causal-save replaces every claim*give one."])
    monkeypatch.setenv("CI", "true")
    for mode in ("new", "changed"):
        result = run(f"--causal-update={mode}", large=-0.3)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --causal-update is refused where CI is set*"])
    assert baseline_file(pytester.path).read_bytes() == before
    baseline_file(pytester.path).unlink()
    run("--causal-compare").stdout.fnmatch_lines(["baseline created: *CI is set: what is not committed is gone*"])


def test_another_experiment_is_told_and_not_compared(run, pytester):
    run("--causal-save", body=MEASURED)
    result = run("--causal-compare-fail", body=MEASURED.replace("resid_post(1", "resid_post(2"))
    result.assert_outcomes(passed=1)
    drift = drifts(pytester)["test_reader"]
    assert drift["cause"] == "experiment" and drift["fields"] and drift["estimate"] is None
    result.stdout.fnmatch_lines(["drift from *: 1 not compared", "  not compared  *the experiment is another*"])
    run("--causal-update=changed", body=MEASURED.replace("resid_post(1", "resid_post(2"))
    run("--causal-compare", body=MEASURED.replace("resid_post(1", "resid_post(2"))
    assert words(pytester) == {"test_reader": "HOLDS"}


def test_names_keep_baselines_apart(run, pytester):
    run("--causal-save=one")
    run("--causal-save=two", large=-0.3)
    assert values(pytester, "one")["test_large"] > values(pytester, "two")["test_large"]
    run("--causal-compare=two", "--causal-save=three", large=-0.3)
    assert words(pytester)["test_large"] == "HOLDS"
    assert values(pytester, "three") == values(pytester, "two")
    assert values(pytester, "two") != values(pytester, "one")


@pytest.mark.parametrize("option", ["--causal-save", "--causal-compare"])
@pytest.mark.parametrize("path", ["claims", "claims/", "test_claims.py", "a/b", "../up", "test_claims.py::test_large"])
def test_a_path_that_the_option_swallowed_is_refused(run, pytester, option, path):
    (pytester.path / "claims").mkdir()
    result = run(option, path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: {option} {path}: * was taken for the baseline's name*pytest {path} {option}*"]
    )


def test_a_name_may_be_that_of_a_folder_where_it_is_written_with_an_equals_sign(run, pytester):
    (pytester.path / "claims").mkdir()
    assert run("--causal-save=claims").ret == 0
    assert set(values(pytester, "claims")) == {"test_large", "test_small", "test_unit"}
    pytester.makeini("[pytest]\naddopts = --causal-compare=claims\n")
    assert run().ret == 0


@pytest.mark.parametrize("option", ["--causal-save", "--causal-compare", "--causal-update=new"])
def test_a_file_that_cannot_be_read_is_told_before_anything_is_measured_and_stays(run, pytester, option):
    file = baseline_file(pytester.path)
    file.parent.mkdir()
    file.write_bytes(b"not a baseline")
    result = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *baseline.safetensors holds no claims*no safetensors file*--causal-save*"])
    assert file.read_bytes() == b"not a baseline"


def test_where_nothing_can_be_written_saving_fails_the_run_and_comparing_does_not(run, pytester):
    (pytester.path / "baselines").symlink_to(pytester.path / "nowhere")
    result = run("--causal-save")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: the baseline could not be written: *"])
    result = run("--causal-compare")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["the baseline could not be written: *"])


def test_a_run_that_is_interrupted_keeps_what_it_measured_and_the_rest_of_the_file(run, pytester):
    run("--causal-save")
    # The first call is the rehearsal's.
    stopped = "CALLS = []\n" + GIVEN.replace(
        '    return measured("small")',
        '    CALLS.append(1)\n    if len(CALLS) > 2:\n        raise KeyboardInterrupt\n    return measured("small")',
    )
    with pytest.raises(KeyboardInterrupt):
        run("--causal-save", body=stopped, large=-0.3)
    assert values(pytester) == {
        "test_large": shifted("large", -0.3)[0],
        "test_small": BEFORE["small"][0],
        "test_unit": BEFORE["unit"][0],
    }


def test_an_invalid_claim_makes_no_baseline_by_itself(run, pytester):
    dead = '@claim("A dead end.", negligible(within=0.1))\ndef test_dead(lab, pairs):\n' + (
        "    return lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)\n"
    )
    result = run("--causal-compare", body=dead)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*There is no baseline of it, and an INVALID claim makes none.*"])
    assert not baseline_file(pytester.path).exists()
    run("--causal-save", body=dead)
    assert len(read_baseline(baseline_file(pytester.path)).claims) == 1


def test_ids_do_not_depend_on_where_pytest_is_called_from(run, pytester, monkeypatch):
    folder = pytester.mkdir("inner")
    run("--causal-save")
    for name in ("test_claims.py", "numbers.json"):
        (pytester.path / name).rename(folder / name)
    (pytester.path / "baselines").rename(folder / "baselines")
    for where, path in ((pytester.path, "inner"), (folder, "."), (folder, "test_claims.py")):
        monkeypatch.chdir(where)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", path, "--causal-compare")
        result.stdout.fnmatch_lines(["drift from *baselines/baseline.safetensors: 3 hold"])


def test_a_folder_with_a_lock_has_one_baseline_for_all_that_is_below(run, pytester):
    (pytester.path / "claims.lock").write_text("")
    run("--causal-save", "--collect-only")
    assert not (pytester.path / "baselines").exists()


def test_reports_of_others_do_not_have_the_numbers(run, pytester):
    run("--causal-save", "--junitxml=out.xml")
    named = {p.get("name") for p in ElementTree.parse(pytester.path / "out.xml").iter("property")}
    assert named == {"causaltest"}


def test_an_empty_selection_writes_nothing(run, pytester):
    assert run("--causal-save", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not (pytester.path / "baselines").exists()


def test_claims_that_were_left_by_another_run_meanwhile_stay(run, pytester, monkeypatch):
    """Two runs at once: the file is read again where it is written."""
    run("--causal-save=other")
    other = read_baseline(baseline_file(pytester.path, "other"))
    body = GIVEN.replace(
        '    return measured("unit")',
        "    import shutil; shutil.copy('baselines/other.safetensors', 'baselines/baseline.safetensors')\n"
        '    return measured("unit")',
    )
    run("--causal-save", "-k", "unit", body=body)
    assert set(read_baseline(baseline_file(pytester.path)).claims) == set(other.claims)


def test_an_id_that_would_rewrite_the_terminal_is_escaped(run, pytester):
    run("--causal-save")
    file = baseline_file(pytester.path)
    write_baseline(file, read_baseline(file).with_claims([replace(read_baseline(file).claims[LARGE], id="a\x1b[2Jb")]))
    result = run("--causal-compare")
    result.stdout.fnmatch_lines(["*not measured now: 'a\\x1b[[]2Jb'.*"])


def test_a_claim_that_fails_is_not_called_gone(run, pytester):
    run("--causal-save")
    result = run("--causal-compare", body=GIVEN.replace('return measured("unit")', "raise RuntimeError"))
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.no_fnmatch_line("*not measured now*")


def test_a_folder_of_all_baselines_is_used_in_place_of_those_beside_the_claims(run, pytester):
    elsewhere = pytester.path / "elsewhere" / "deep"
    run("--causal-save=one", "--causal-baselines=elsewhere/deep")
    assert [file.name for file in elsewhere.iterdir()] == ["one.safetensors"]
    run("--causal-compare=one", f"--causal-baselines={elsewhere}", large=-0.3)
    assert words(pytester)["test_large"] == "REGRESSED"
    run("--causal-update=changed", "--causal-compare=one", "--causal-baselines", str(elsewhere), large=-0.3)
    assert read_baseline(elsewhere / "one.safetensors").claims[LARGE].effects[0][1].estimate < 0.6
    assert not (pytester.path / "baselines").exists()
    assert run("--causal-save", "--causal-baselines=numbers.json").ret == pytest.ExitCode.USAGE_ERROR


def test_two_folders_with_the_same_ids_are_not_put_into_one_file(run, pytester):
    run()
    for folder in ("a", "b"):
        (pytester.path / folder).mkdir()
        for name in ("test_claims.py", "numbers.json"):
            (pytester.path / folder / name).write_bytes((pytester.path / name).read_bytes())
    run_both = ("-p", "no:cacheprovider", "--import-mode=importlib", "a", "b", "--causal-save")
    assert pytester.runpytest_inprocess(*run_both).ret == 0
    assert all(baseline_file(pytester.path / folder).is_file() for folder in ("a", "b"))
    result = pytester.runpytest_inprocess(*run_both, "--causal-baselines=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        ["ERROR: *would hold two claims with the id 'test_claims.py::test_large'*one folder at*"]
    )
    assert not (pytester.path / "all").exists()


OF_A_FOLDER = """
@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("checkpoint")
"""


def test_another_model_is_compared_only_when_asked(run, pytester):
    """The same folder with other weights, as after fine-tuning."""
    folder = pytester.path / "checkpoint"

    def write(seed: int) -> None:
        torch.manual_seed(seed)
        model = wired([READER])
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1 + 1e-7 * seed)
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)

    body = OF_A_FOLDER + MEASURED
    write(0)
    run("--causal-save", body=body)
    write(3)
    result = run("--causal-compare-fail", body=body)
    result.stdout.fnmatch_lines(["drift from *: 1 not compared", "  not compared *models*"])
    run("--causal-across-models", body=body)
    assert words(pytester) == {"test_reader": "HOLDS"}


OBJECT = """
from causaltest.organisms.wiring import READER, tokenizer, wired
@pytest.fixture(scope="module")
def lab():
    return Lab(wired([READER]), tokenizer())
"""


@pytest.mark.parametrize("option", ["--causal-save", "--causal-compare"])
def test_a_model_that_nobody_can_find_again_is_measured_and_not_kept(run, pytester, option):
    result = run(option, body=OBJECT + MEASURED)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["drift from *: 1 not kept", "  not kept  test_claims.py::test_reader: Not kept: *"])
    assert not baseline_file(pytester.path).exists()


def test_claims_of_every_kind_hold_beside_themselves(run, pytester):
    run("--causal-save", body=KINDS)
    run("--causal-compare", body=KINDS)
    got = json.loads((pytester.path / "out.json").read_text())
    assert {c["id"]: c["drift"]["word"] for c in got if c["verdict"] != "INVALID"} == dict.fromkeys(
        ["reader", "mixed", "looks", "decoy", "apart[1]", "apart[2]"], "HOLDS"
    )
    kept = read_baseline(baseline_file(pytester.path)).claims
    assert kept["looks"].played["units"] and len(kept["mixed"].effects) == 2
