"""`causaltest power`: the pairs that each claim needs, without a model and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import causaltest

BODY = """
@claim("Right or wrong.", at_least(0.5, expecting=0.7))
@pytest.mark.parametrize("layer", [0, 1])
def test_shares(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)

@claim("It expects nothing.", at_least(0.5))
def test_open(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("It reads a number.", at_least(0.5, expecting=0.7))
def test_reads(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
    assert effect.estimate > 0.5
    return effect

@pytest.fixture
def counted(lab, pairs):
    return lab.clean(pairs)

@claim("Its fixture reads a number.", at_least(0.5, expecting=0.7))
def test_fixture(lab, counted):
    return lab.denoise(counted, at=resid_post(1, last())).recovery(accuracy)

@claim("Its body fails.", at_least(0.5, expecting=0.7))
def test_fails(lab):
    raise OSError("disk")

@claim("Values are given.", at_least(0.5, expecting=0.7))
def test_given():
    return given(VALUES)
"""


def test_every_claim_is_answered_or_named_with_its_reason(claims, pytester):
    result = claims(BODY, "--causal-power", "--causal-json=power.json")
    said = result.stdout.str()
    written = json.loads((pytester.path / "power.json").read_text())
    told = {claim["id"].split("::")[-1]: claim for claim in written["claims"]}
    assert {name: claim["reason"] and claim["reason"][:35] for name, claim in told.items()} == {
        "test_shares[0]": None,
        "test_shares[1]": None,
        "test_open": None,
        "test_reads": "the body reads a number before it h",
        "test_fixture": "it cannot be set up without a model",
        "test_fails": "its body cannot be rehearsed: OSErr",
        "test_given": None,
    }
    assert {claim["family_size"] for claim in told.values()} == {7}
    # seven claims share alpha: exact binomial of .7 against .5 at .05/7
    (need,) = told["test_shares[0]"]["needs"]
    assert need == told["test_shares[1]"]["needs"][0]
    assert (need["pairs"], need["enough"], told["test_shares[0]"]["pairs"]) == (67, False, 45)
    assert told["test_given"]["pairs"] == 60 and told["test_given"]["needs"][0]["pairs"] == 67
    assert [need["effect"] for need in told["test_open"]["needs"]] == [0.625, 0.75, 0.875]
    curve = told["test_shares[0]"]["curve"]
    assert curve["n"] == sorted(curve["n"]) and curve["power"][0] < 0.5 < curve["power"][-1]
    assert "45 pairs: power .51 at that effect; 22 more are needed" in said
    assert "test_shares[0]\ntest_claims.py::test_shares[1]\n" in said, "the same answer is told once"


def test_the_plan_tells_both(claims):
    said = claims(
        """
@claim("Right or wrong.", at_least(0.5, expecting=0.7))
def test_shares(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
""",
        "--causal-plan",
    ).stdout.str()
    assert "causal power" in said and "37 pairs if the effect is 0.7" in said
    assert "organism:planted: 1 experiment on 45 pairs" in said


def test_the_same_family_whatever_is_selected(claims, pytester):
    claims(BODY, "--causal-power", "--causal-json=one.json", "-k", "given")
    (told,) = json.loads((pytester.path / "one.json").read_text())["claims"]
    assert told["family_size"] == 7 and told["needs"][0]["pairs"] == 67


def test_what_is_assumed_is_used_and_refused(claims):
    said = claims(BODY, "--causal-power", "--causal-assume=effect=0.2", "-k", "given").stdout.str()
    assert "--effect 0.2 does not lie on the claim's own side" in said
    refused = claims(BODY, "--causal-power", "--causal-assume=sd=0")
    refused.stderr.fnmatch_lines(["ERROR: --causal-assume: sd=0 must be above 0*"])


def test_a_stopping_rule_and_a_missing_placebo_are_noted(claims):
    said = claims(
        """
@claim("In looks.", at_least(0.5, expecting=0.7), stopping="obrien-fleming")
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy, placebo=False)

@claim("At any time.", at_least(0.5, expecting=0.7), stopping="anytime", looks=5)
def test_anytime(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
""",
        "--causal-power",
    ).stdout.str()
    told = " ".join(said.split())
    assert "counted for one look at all pairs (obrien-fleming, 4 looks): plan for about 2.4 % more" in told
    assert "counted for one look at all pairs (anytime, 5 looks): looking at any time costs about" in told
    assert "no placebo is measured, and without one this claim is never SUPPORTED" in said


def test_each_variant_is_counted_at_the_alpha_at_which_it_is_judged(claims):
    said = claims(
        """
@claim("Either way.", at_least(0.5, expecting=0.7), id="either")
@claim.multiverse(layer=[0, 1], share=0.5)
def test_variants(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
""",
        "--causal-power",
    ).stdout.str()
    assert "either: layer=0\neither: layer=1\n" in said
    assert "alpha .05/2 (family test_claims.py, 1 of 2 variants, 2 claims)" in said


def test_the_command_needs_neither_torch_nor_a_model(pytester):
    """In a process of its own; the model named does not even exist."""
    pytester.makepyfile(
        """
import sys
import pytest
from causaltest import accuracy, at_least, claim, last, resid_post
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("no/such-model@none")

@claim("x", at_least(0.3, expecting=0.5))
def test_a(lab):
    return lab.denoise(planted.pairs(per_cluster=2), at=resid_post(1, last())).recovery(accuracy)
"""
    )
    pytester.makeconftest(
        """
import sys

def pytest_unconfigure():
    print("LOADED", [name for name in ("torch", "transformers") if name in sys.modules])
"""
    )
    environment = dict(os.environ) | {"PYTHONPATH": str(Path(causaltest.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-m", "causaltest.cli", "power", ".", "--icc", "0.3", "--json", "power.json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "LOADED []" in run.stdout
    assert "pairs of one cluster correlate by 0.3 (--icc)" in run.stdout
    (told,) = json.loads((pytester.path / "power.json").read_text())["claims"]
    assert told["clusters"] == 45 and told["needs"][0]["clusters"] >= 20
