"""--causal-json and the summary table."""

from __future__ import annotations

import json
import stat

import pytest

PROMISED = [
    "id", "sentence", "verdict", "reason", "estimate", "lower", "upper", "threshold", "n", "clusters", "eligible",
    "needed_n", "p_value", "p_adjusted", "family", "controls", "status", "seed", "model", "site",
]  # fmt: skip

BODY = """
@claim("The reader holds the value.", at_least(0.5), id="reader")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("The value stays at its token.", at_least(0.5), id="token")
def test_token(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, span("value"))).recovery(accuracy)

@claim("A dead end.", negligible(within=0.1), id="invalid")
def test_invalid(lab, pairs):
    return lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)
"""


def test_json_has_one_object_per_claim_with_the_promised_fields(claims, pytester):
    claims(BODY, "--causal-json=sub/out.json")
    written = json.loads((pytester.path / "sub" / "out.json").read_text())
    assert [c["id"] for c in written] == ["invalid", "reader", "token"]
    assert list(written[0])[: len(PROMISED)] == PROMISED
    by_id = {c["id"]: c for c in written}
    assert by_id["reader"]["verdict"] == "SUPPORTED"
    assert by_id["token"]["verdict"] == "REFUTED"
    assert by_id["invalid"]["verdict"] == "INVALID"
    assert by_id["reader"]["estimate"] == 1.0
    assert by_id["reader"]["model"] == "organism:planted"
    assert by_id["reader"]["site"] == "resid_post L1 @ last()"
    assert by_id["reader"]["clusters"] == 45
    assert by_id["reader"]["controls"]["self_patch"] == {"moved": 0.0, "neutral": True, "rounding": 0.0}
    assert by_id["invalid"]["lower"] is None


def test_verdict_and_numbers_do_not_depend_on_what_else_runs(claims, pytester):
    claims(BODY, "--causal-json=all.json")
    claims(BODY, "--causal-json=one.json", "-k", "reader")
    everything, alone = (json.loads((pytester.path / name).read_text()) for name in ("all.json", "one.json"))
    (reader,) = [c for c in everything if c["id"] == "reader"]
    assert {**alone[0], "runs": 0} == {**reader, "runs": 0}


def test_a_seed_given_by_hand_is_used_and_shown(claims, pytester):
    result = claims(BODY, "--causal-json=a.json", "--causal-seed=1f3a", "-k", "token")
    claims(BODY, "--causal-json=b.json", "-k", "token")
    a, b = (json.loads((pytester.path / name).read_text())[0] for name in ("a.json", "b.json"))
    assert a["seed"] != b["seed"]
    result.stdout.fnmatch_lines(["*--causal-seed=1f3a"])


def test_one_model_is_measured_in_place_of_another(claims, pytester):
    body = '@claim("Swapped.", at_least(0.5), model="somewhere/else")\n' + BODY.split("\n", 2)[2]
    claims(body, "--causal-json=out.json", "--causal-model", "somewhere/else=organism:planted", "-k", "reader")
    assert json.loads((pytester.path / "out.json").read_text())[0]["model"] == "organism:planted"


def test_the_table_has_a_row_per_claim_and_the_counts(claims):
    result = claims(BODY)
    result.stdout.fnmatch_lines(
        [
            "claim *estimate *bounds* n (clusters) *p corr *placebo *verdict *status",
            "reader *1.000 *>= 0.5 *45 (45)*SUPPORTED*EXPLORATORY",
            "token *0.000 *>= 0.5 *45 (45)*REFUTED*EXPLORATORY",
            "1 supported, 1 refuted, 1 invalid · * patched runs in * forwards*",
        ]
    )


def test_a_suite_without_claims_prints_nothing_of_ours(pytester):
    pytester.makepyfile("def test_a():\n    pass\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*causal*claims*")


def test_a_read_only_tree_is_no_obstacle(claims, pytester):
    pytester.makepyfile(test_claims="")
    result = claims(BODY, "-k", "reader")
    pytester.path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "reader")
    finally:
        pytester.path.chmod(stat.S_IRWXU)
    result.assert_outcomes(passed=1, deselected=2)


def test_what_a_test_says_is_printed_in_the_report(claims):
    result = claims('def test_a(causal_report):\n    causal_report.say("a map of everything")\n')
    result.stdout.fnmatch_lines(["*causal claims*", "a map of everything"])


def test_claims_in_a_class_are_judged(claims):
    result = claims(
        """
class TestAll:
    share = 0.34

    @claim("In a class.", at_least(0.34))
    def test_a(self):
        assert self.share == 0.34
        return given(VALUES)
"""
    )
    result.assert_outcomes(passed=1)


RAISES = """
@claim("No such layer.", at_least(0.1), id="broken")
def test_a(lab, pairs):
    return lab.denoise(pairs, at=resid_post(9, last())).recovery(accuracy)
"""


def test_a_claim_that_raises_keeps_its_row_and_names_the_users_line(claims, pytester):
    result = claims(RAISES, "--causal-json=out.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["SiteError: organism:planted has no layer 9: its layers are 0 to 3.", "*.py:*: in test_a"]
    )
    result.stdout.fnmatch_lines(["broken *ERROR*", "1 error*"])
    result.stdout.no_fnmatch_line("*positions.py*")
    (written,) = json.loads((pytester.path / "out.json").read_text())
    assert (written["id"], written["verdict"], written["estimate"]) == ("broken", "ERROR", None)


def test_an_expected_failure_is_left_to_pytest(claims):
    body = BODY.replace('@claim("The value stays', '@pytest.mark.xfail(reason="known")\n@claim("The value stays')
    result = claims(body, "-ra", "-k", "token or reader")
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *test_token*"])


def test_a_json_path_that_is_a_folder_is_refused_before_anything_runs(claims, pytester):
    result = claims(BODY, f"--causal-json={pytester.path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--causal-json * is a folder; name a file in it.*"])


def test_a_json_that_cannot_be_written_loses_no_report(claims):
    result = claims(BODY, "--causal-json=/proc/nowhere/out.json", "-k", "reader")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: --causal-json * could not be written: *", "reader *SUPPORTED*"])


def test_collecting_only_overwrites_no_report(claims, pytester):
    claims(BODY, "--causal-json=out.json", "-k", "reader")
    before = (pytester.path / "out.json").read_text()
    claims(BODY, "--causal-json=out.json", "--collect-only")
    assert (pytester.path / "out.json").read_text() == before


def test_a_model_option_that_the_suite_overrides_is_refused(claims):
    result = claims(BODY, "--causal-model=organism:bypass", "-k", "reader")
    result.stdout.fnmatch_lines(["*Write --causal-model organism:planted=organism:bypass*"])
    assert result.ret != 0


def test_a_model_swap_that_nothing_names_is_an_error(claims):
    result = claims(BODY, "--causal-model=organism:plantd=organism:bypass", "-k", "reader")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: *no claim names 'organism:plantd'; the models named are *organism:planted*"])


def test_the_one_model_that_claims_name_is_swapped_without_its_name(claims, pytester):
    claims(BODY, "--causal-json=out.json", "--causal-model=*=organism:bypass", "-k", "reader")
    (written,) = json.loads((pytester.path / "out.json").read_text())
    assert written["model"] == "organism:bypass"


def test_a_swap_of_the_one_model_is_refused_where_there_are_several(claims):
    body = """
@claim("One.", at_least(0.5), model="organism:planted")
@pytest.mark.parametrize("other", ["organism:planted", "organism:bypass"])
def test_a(make_lab, other):
    return make_lab(other).denoise(planted.pairs(per_cluster=1), at=resid_post(1, last())).recovery(accuracy)
"""
    result = claims(body, "--causal-model=*=organism:bypass")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*they name organism:bypass and organism:planted: write --causal-model*"])


def test_a_body_that_makes_its_own_lab_is_rehearsed_without_a_model(claims, pytester):
    body = """
@claim("Looked first.", at_least(0.5), id="looked")
def test_a(make_lab, pairs):
    lab = make_lab("organism:planted")
    best = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy).best
    return lab.denoise(pairs, at=best).recovery(accuracy)
"""
    claims(body, "--causal-json=out.json")
    (written,) = json.loads((pytester.path / "out.json").read_text())
    assert "reads a number" in written["status_reason"]


STEERING = """
import pytest
from causaltest import Effect, at_least, claim

NASTY = "a\\x1b[2Jb\\u202ec\\x9b1md\\x07"

@claim(f"It holds {NASTY}.", at_least(0.5))
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_steers(share):
    clusters = [f"{NASTY}{n}" for n in range(60)]
    return Effect.from_values([share] * 60, kind="binary", clusters=clusters, placebo=[0.0] * 60)

def test_says(causal_report):
    causal_report.say(f"said\\t{NASTY}")
"""


def test_no_text_of_a_report_steers_the_terminal(pytester):
    pytester.makepyfile(STEERING)
    told = pytester.runpytest_inprocess("-v", "--color=no", "--causal-json=report.json").stdout.str()
    assert "It holds a?[2Jb?c?1md?." in told and "said    a?[2Jb" in told
    for line in told.splitlines():
        assert not set(line) & {"\x1b", "\u202e", "\x9b", "\x07"}, line
    report = json.loads((pytester.path / "report.json").read_text())
    assert {one["sentence"] for one in report} >= {"It holds a\x1b[2Jb\u202ec\x9b1md\x07."}, "data stay as they are"
