"""Warnings and enforced directions, as pytest reports them."""

from __future__ import annotations

import json
import re

import pytest

READER = """
@claim("The reader holds the value.", at_least(0.5), id="reader", accept=ACCEPT)
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""


def written(pytester, name="out.json"):
    return {c["id"].split("::")[-1]: c for c in json.loads((pytester.path / name).read_text())}


def test_a_warning_is_printed_with_its_source_and_recorded(claims, pytester):
    result = claims(READER.replace("ACCEPT", "[]"), "-v", "--causal-json=out.json")
    result.assert_outcomes(passed=1)
    said = " ".join(result.stdout.str().split())
    assert re.search(r'warning accuracy-only: .* arXiv 2309.16042\). To accept it: accept=\["accuracy-only"\]', said)
    result.stdout.fnmatch_lines(["warnings: accuracy-only 1 *"])
    (warning,) = written(pytester)["reader"]["warnings"]
    assert set(warning) == {"name", "says", "source", "accepted"}
    assert (warning["name"], warning["accepted"]) == ("accuracy-only", "")


def test_an_accepted_warning_is_printed_as_accepted(claims, pytester):
    result = claims(READER.replace("ACCEPT", '["accuracy-only", "few-eligible"]'), "-v", "--causal-json=out.json")
    result.stdout.fnmatch_lines(["  accepted    accuracy-only: *", "warnings: 1 accepted *"])
    result.stdout.no_fnmatch_line("*few-eligible*")
    assert [w["accepted"] for w in written(pytester)["reader"]["warnings"]] == ["by the claim"]


@pytest.mark.parametrize(
    ("accept", "told"),
    [('["accuracy"]', "There is no warning 'accuracy' to accept; there are accuracy-only, *null-by-layer."),
     ('"accuracy-only"', "accept='accuracy-only' takes a list of warnings: accept=[[]'accuracy-only']."),
     ("3", "accept=3 takes a list of warnings*")],
)  # fmt: skip
def test_what_is_no_warning_cannot_be_accepted(claims, accept, told):
    result = claims(READER.replace("ACCEPT", accept))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([f"*ClaimError: {told}"])


def test_another_metric_among_the_variants_is_enough(claims, pytester):
    body = """
@claim("The reader holds the value.", at_least(0.5), id="reader")
@claim.multiverse(metric=METRICS)
def test_reader(lab, pairs, metric):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(metric)
"""
    claims(body.replace("METRICS", "[accuracy, logit_diff(range=(-20, 20))]"), "--causal-json=out.json")
    assert written(pytester)["reader"]["warnings"] == []
    claims(body.replace("METRICS", "[accuracy, exact_match]"), "--causal-json=out.json")
    assert [w["name"] for w in written(pytester)["reader"]["warnings"]] == ["accuracy-only"]


FAMILIES = """
@claim("Forty of sixty.", at_least({least}), family="{family}")
@pytest.mark.parametrize("n", range({size}))
def test_{family}(n):
    return given(VALUES)
"""


def test_verdicts_that_one_family_would_change_say_so_however_they_are_selected(claims, pytester):
    body = FAMILIES.format(family="one", least=0.5, size=1) + FAMILIES.format(family="many", least=0.34, size=9)
    for selection in ([], ["-k", "test_one"], ["test_claims.py::test_one"]):
        claims(body, "--causal-json=out.json", *selection)
        one = written(pytester)["test_one[0]"]
        assert one["verdict"] == "SUPPORTED"
        assert [w["name"] for w in one["warnings"]] == ["one-family"]
        assert (
            "if all 10 claims of this run's files were one family, it would be INCONCLUSIVE"
            in one["warnings"][0]["says"]
        )


def test_claims_of_another_file_count_too(claims, pytester):
    claims(FAMILIES.format(family="many", least=0.34, size=9), name="test_other")
    claims(FAMILIES.format(family="one", least=0.5, size=1), "--causal-json=out.json")
    assert [w["name"] for w in written(pytester)["test_one[0]"]["warnings"]] == ["one-family"]


def test_a_null_that_is_true_of_any_model_says_so(claims, pytester):
    body = """
@claim("The value's token is idle.", negligible(within=0.2), id="idle")
@pytest.mark.parametrize("layer", [2, 3])
def test_idle(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, span("value"))).recovery(logit_diff(range=(-20, 20)))
"""
    claims(body, "--causal-json=out.json")
    found = {name: [w["name"] for w in c["warnings"]] for name, c in written(pytester).items()}
    assert found == {"idle[2]": [], "idle[3]": ["null-by-layer"]}


def test_a_part_that_does_more_than_its_whole_is_told_once(claims, pytester):
    """As a warning, and no longer as a note beside it."""
    body = """
import dataclasses
from causaltest.effect import FullComponent

@claim("A direction.", at_least(0.3), id="part", accept=["subspace"])
def test_part():
    effect = given(VALUES)
    full = dataclasses.replace(effect.numbers.controls, full=FullComponent(0.1, effect.estimate, "resid_post"))
    return Effect(None, dataclasses.replace(effect.numbers, controls=full))
"""
    claims(body, "--causal-json=out.json")
    part = written(pytester)["part"]
    assert [w["name"] for w in part["warnings"]] == ["subspace"]
    assert not any("pathway" in note for note in part["notes"])


# Enforced

MISDIRECTED = """
@claim("The reader is necessary.", at_least(0.5), id="wrong")
def test_wrong(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""


def test_necessity_from_denoising_is_invalid_and_not_measured(claims, pytester):
    result = claims(MISDIRECTED, "--causal-json=out.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["CLAIM wrong  INVALID *", "  because     The sentence says 'necessary', and its *"])
    wrong = written(pytester)["wrong"]
    assert wrong["runs"] and not any(wrong["runs"].values())
    assert wrong["estimate"] is None


@pytest.mark.parametrize(
    ("word", "verb", "verdict"),
    [
        ("sufficient", "denoise(pairs, at=site).recovery", "SUPPORTED"),
        ("sufficient", "noise(pairs, at=site).drop", "INVALID"),
        ("sufficient", "ablate(pairs, at=site).drop", "INVALID"),
        ("necessary", "noise(pairs, at=site).drop", "SUPPORTED"),
        ("necessary", "ablate(pairs, at=site).drop", "SUPPORTED"),
    ],
)
def test_each_direction_tests_its_own_word(claims, pytester, word, verb, verdict):
    body = f"""
@claim("The reader is {word}.", at_least(0.5, expecting=1.0), id="worded")
def test_worded(lab, pairs):
    site = resid_post(1, last())
    return lab.{verb}(accuracy, placebo=False)
"""
    claims(body, "--causal-json=out.json")
    found = written(pytester)["worded"]
    assert (found["verdict"] == "INVALID") == (verdict == "INVALID")
    assert ("The sentence says" in found["reason"]) == (verdict == "INVALID")


def test_a_body_that_looks_first_is_held_to_its_words_too(claims, pytester):
    body = """
@claim("The best site is necessary.", at_least(0.5), id="looked")
def test_looked(lab, pairs):
    best = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy).best
    return lab.denoise(pairs, at=best).recovery(accuracy)
"""
    claims(body, "--causal-json=out.json")
    looked = written(pytester)["looked"]
    assert looked["verdict"] == "INVALID"
    assert "The sentence says 'necessary'" in looked["reason"]


def test_a_variant_of_the_wrong_direction_is_invalid(claims, pytester):
    body = """
@claim("The reader is sufficient.", at_least(0.5), id="both")
@claim.multiverse(way=["denoise", "noise"])
def test_both(lab, pairs, way):
    run = getattr(lab, way)(pairs, at=resid_post(1, last()))
    return run.recovery(accuracy) if way == "denoise" else run.drop(accuracy)
"""
    claims(body, "--causal-json=out.json")
    both = written(pytester)["both"]
    assert [v["verdict"] for v in both["variants"]] == ["SUPPORTED", "INVALID"]
    assert both["verdict"] == "INVALID"
