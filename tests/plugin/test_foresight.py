"""Claims are rehearsed before the first is measured, so that they share one plan; and the plan can be printed."""

from __future__ import annotations

import json

import pytest

SITES = """
@claim("The stream matters somewhere.", at_least(0.5))
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_stream(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
"""


def written(pytester, name="out.json"):
    return {c["id"].split("::")[-1]: c for c in json.loads((pytester.path / name).read_text())}


def test_claims_on_the_same_pairs_are_measured_with_the_first_of_them(claims, pytester):
    claims(SITES, "--causal-json=out.json")
    runs = [claim["runs"] for claim in written(pytester).values()]
    assert [r["patched_runs"] for r in runs[1:]] == [0, 0]
    assert runs[0]["patched_runs"] >= 3 * 9 * 45, "three claims, each with eight placebos, of 45 pairs"
    assert sum(r["reference_runs"] for r in runs) == 2 * 45


def test_together_they_take_fewer_forwards_than_one_by_one(claims, pytester):
    claims(SITES, "--causal-json=together.json")
    together = sum(c["runs"]["forwards"] for c in written(pytester, "together.json").values())
    alone = 0
    for layer in range(3):
        claims(SITES, "--causal-json=alone.json", "-k", f"stream and {layer}")
        alone += sum(c["runs"]["forwards"] for c in written(pytester, "alone.json").values())
    assert together < alone / 2


def test_any_order_gives_the_same_bits(claims, pytester):
    claims(SITES, "--causal-json=out.json")
    backwards = """
def pytest_collection_modifyitems(items):
    items.reverse()
"""
    pytester.makeconftest(backwards)
    claims(SITES, "--causal-json=back.json")
    forwards, back = written(pytester), written(pytester, "back.json")
    for one, other in ((forwards[name], back[name]) for name in forwards):
        del one["runs"], other["runs"]
        assert one == other


def test_one_claim_that_fails_leaves_the_others_their_numbers(claims, pytester):
    body = (
        SITES
        + """
@claim("There is no such layer.", at_least(0.5))
def test_beyond(lab, pairs):
    return lab.denoise(pairs, at=resid_post(99, last())).recovery(accuracy)

@claim("This raises.", at_least(0.5))
def test_raises(lab, pairs):
    raise OSError("disk")
"""
    )
    claims(SITES, "--causal-json=out.json")
    claims(body, "--causal-json=more.json")
    fewer, more = written(pytester), written(pytester, "more.json")
    assert more["test_beyond"]["verdict"] == "ERROR"
    assert "has no layer 99" in more["test_beyond"]["reason"]
    assert more["test_raises"]["verdict"] == "ERROR"
    for name, claim in fewer.items():
        assert more[name]["estimate"] == claim["estimate"]
        assert more[name]["n"] == claim["n"] == 45


def test_a_claim_that_reads_a_number_first_is_measured_when_it_asks(claims, pytester):
    body = (
        SITES
        + """
@claim("Chosen by looking.", at_least(0.5))
def test_looks(lab, pairs):
    best = max(range(3), key=lambda n: lab.denoise(pairs, at=resid_post(n, last())).recovery(accuracy).estimate)
    return lab.denoise(pairs, at=resid_post(best, last())).recovery(accuracy)
"""
    )
    assert claims(body, "--causal-json=out.json").ret in (0, 1)
    looked = written(pytester)["test_looks"]
    assert looked["estimate"] == 1.0
    assert looked["status_reason"].startswith("the body reads a number")


def test_fixtures_are_set_up_for_the_rehearsal_and_again_for_the_run_and_torn_down_each_time(claims, pytester):
    body = """
@pytest.fixture
def mine(pairs):
    with open("log", "a") as log:
        log.write("up ")
    print("seen once")
    yield pairs
    with open("log", "a") as log:
        log.write("down ")

@claim("One.", at_least(0.5))
@pytest.mark.parametrize("layer", [1, 2])
def test_one(lab, mine, layer):
    return lab.denoise(mine, at=resid_post(layer, last())).recovery(accuracy)
"""
    result = claims(body, "-rP")
    assert (pytester.path / "log").read_text().split() == ["up", "down"] * 4
    assert result.stdout.str().count("seen once") <= 2, "what a rehearsal printed is not shown"


def test_a_skipped_claim_is_not_set_up_and_a_failing_fixture_fails_its_claim_alone(claims, pytester):
    body = (
        SITES
        + """
@pytest.fixture
def broken():
    raise OSError("no such file")

@pytest.mark.skip(reason="not today")
@claim("Skipped.", at_least(0.5))
def test_skipped(broken):
    raise AssertionError("never run")

@claim("Broken.", at_least(0.5))
def test_broken(lab, broken):
    raise AssertionError("never run")
"""
    )
    claims(body).assert_outcomes(passed=2, failed=1, skipped=1, errors=1)


def test_rehearsing_says_nothing_into_the_report(claims):
    body = """
@claim("Says something.", at_least(0.5))
@pytest.mark.parametrize("layer", [1, 2])
def test_says(lab, pairs, layer, causal_report):
    causal_report.say(f"layer {layer} was looked at")
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
"""
    said = claims(body).stdout.str()
    assert said.count("layer 1 was looked at") == said.count("layer 2 was looked at") == 1


def test_a_suite_without_claims_is_not_rehearsed(pytester):
    pytester.makepyfile("def test_a():\n    with open('log', 'a') as log:\n        log.write('ran ')\n")
    pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert (pytester.path / "log").read_text() == "ran "


# The plan


def test_the_plan_is_printed_and_nothing_is_measured(claims, pytester):
    result = claims(SITES, "--causal-plan", "--causal-json=out.json")
    result.stdout.fnmatch_lines(
        [
            "*causal plan*",
            "organism:planted: 3 experiments on 45 pairs",
            "*patched runs and 90 clean and corrupt runs in * forwards",
            "*tokens x layers, where a whole run for each would take *",
            "about * MiB above the model",
        ]
    )
    assert "SUPPORTED" not in result.stdout.str()


def test_what_was_planned_is_what_is_run(claims, pytester):
    planned = claims(SITES, "--causal-plan").stdout.str()
    claims(SITES, "--causal-json=out.json")
    runs = [claim["runs"] for claim in written(pytester).values()]
    assert f"{sum(r['patched_runs'] for r in runs):,} patched runs" in planned
    assert f"in {sum(r['forwards'] for r in runs):,} forwards" in planned


def test_plain_tests_are_left_out_of_a_plan(claims):
    result = claims(SITES + "\ndef test_plain():\n    raise AssertionError\n", "--causal-plan")
    assert result.ret == 0
    result.assert_outcomes(passed=3, deselected=1)


# Memory


@pytest.mark.parametrize("size", ["1MB", "64 MiB", "0.5G", "2000000"])
def test_a_small_memory_gives_the_same_verdicts(claims, pytester, size):
    claims(SITES, "--causal-json=roomy.json")
    assert claims(SITES, f"--causal-memory={size}", "--causal-json=small.json").ret in (0, 1)
    roomy, small = written(pytester, "roomy.json"), written(pytester, "small.json")
    assert {n: (c["verdict"], c["estimate"]) for n, c in roomy.items()} == {
        n: (c["verdict"], c["estimate"]) for n, c in small.items()
    }


@pytest.mark.parametrize("size", ["lots", "-1GB", "", "1 potato"])
def test_a_memory_that_is_no_size_is_refused(claims, size):
    result = claims(SITES, f"--causal-memory={size}")
    result.stderr.fnmatch_lines([f"ERROR: --causal-memory {size} is no size; write 800MB, 4GB or a number of bytes."])


def test_another_dtype_is_said_and_judged_within_its_own_rounding(claims, pytester):
    assert claims(SITES, "--causal-dtype=bfloat16", "--causal-json=out.json").ret in (0, 1)
    for claim in written(pytester).values():
        assert claim["provenance"]["dtype"] == "bfloat16"
        assert claim["controls"]["self_patch"]["neutral"]
