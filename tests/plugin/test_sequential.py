"""Sequential claims in a suite: fewer patched runs, the same verdict however they are run, and a plan of the most."""

from __future__ import annotations

import json
import re

import pytest

ON_PATH = """
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def pairs():
    return planted.pairs(per_cluster=2)

@claim("At once.", at_least(0.3), id="whole")
def test_whole(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("In looks.", at_least(0.3), id="looks", stopping="obrien-fleming", looks=4)
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("At any time.", at_least(0.3), id="anytime", stopping="anytime", looks=10)
def test_anytime(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("A decoy.", at_least(0.3), id="decoy", stopping="obrien-fleming", looks=4)
def test_decoy(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, span("value"))).recovery(accuracy)

@claim("A lab of its own.", greater_than(0.3), id="difference", stopping="obrien-fleming")
def test_difference(make_lab, pairs):
    lab = make_lab("organism:planted")
    late = lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
    return late - lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)
"""


def written(pytester: pytest.Pytester, name: str = "out.json") -> dict:
    return {c["id"]: c for c in json.loads((pytester.path / name).read_text())}


def without_runs(claims: dict) -> dict:
    return {name: {k: v for k, v in claim.items() if k != "runs"} for name, claim in claims.items()}


def test_sequential_claims_take_fewer_patched_runs_and_say_the_same(claims, pytester):
    result = claims(ON_PATH, "-v", "--causal-json=out.json")
    got = written(pytester)
    assert {name: c["verdict"] for name, c in got.items()} == {
        "whole": "SUPPORTED",
        "looks": "SUPPORTED",
        "anytime": "SUPPORTED",
        "decoy": "REFUTED",
        "difference": "SUPPORTED",
    }
    for name in ("looks", "anytime", "decoy", "difference"):
        looks, claim = got[name]["looks"], got[name]
        assert looks["taken"] < looks["planned"], name
        assert claim["n"] == claim["pairs_total"] < 90, name
        assert 0 < looks["saved_runs"] < looks["planned_runs"], name
    assert got["whole"]["looks"] == {} and got["whole"]["n"] == 90
    row = re.search(
        r"looks +(\d) of 4 \(O'Brien-Fleming, alpha [\d.e-]+ of .01 at this look\); (\d+) of 9\d\d", result.stdout.str()
    )
    assert row, "the report has its row"


def test_nothing_beyond_the_portions_looked_at_is_measured(claims, pytester):
    """Also in company: the claims of a run are announced beforehand, each with its first portion alone."""
    goes_on = """
@claim("Almost always.", at_least(0.99), id="goes on", stopping="obrien-fleming", looks=4)
def test_goes_on(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
"""
    claims(ON_PATH + goes_on, "--causal-json=out.json", "-k", "decoy or goes_on")
    got = written(pytester)
    assert {name: c["looks"]["taken"] for name, c in got.items()} == {"decoy": 2, "goes on": 4}
    spent = sum(c["runs"]["patched_runs"] for c in got.values())
    told = sum(c["looks"]["planned_runs"] - c["looks"]["saved_runs"] for c in got.values())
    # A self-patch is made in few pairs of a plan, so two claims in one plan have as many as each alone.
    assert spent == told


def test_verdicts_and_bits_are_the_same_in_any_order_and_by_node_id(claims, pytester):
    claims(ON_PATH, "--causal-json=out.json")
    first = without_runs(written(pytester))
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-json=one.json", "test_claims.py::test_looks")
    assert without_runs(written(pytester, "one.json")) == {"looks": first["looks"]}
    pytester.makeconftest("def pytest_collection_modifyitems(items):\n    items.reverse()\n")
    claims(ON_PATH, "--causal-json=other.json")
    assert without_runs(written(pytester, "other.json")) == first


def test_the_plan_counts_the_most_that_may_be_needed(claims, pytester):
    plan = claims(ON_PATH, "--causal-plan", "-k", "looks").stdout.str()
    assert "on 90 pairs" in plan
    runs = int(re.search(r"([\d,]+) patched runs", plan)[1].replace(",", ""))  # type: ignore[index]
    claims(ON_PATH, "--causal-json=out.json", "-k", "looks")
    (claim,) = written(pytester).values()
    assert runs == claim["looks"]["planned_runs"] > claim["runs"]["patched_runs"]


def test_misuse_is_told_in_a_sentence(claims):
    result = claims(
        """
@claim("A map.", at_least(0.3), stopping="anytime")
def test_map(lab, pairs):
    return lab.sweep(pairs, at=resid_post(range(3), last())).recovery(accuracy)

@claim("Too many looks.", at_least(0.3), stopping="anytime", looks=30)
def test_many(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
    )
    text = result.stdout.str()
    assert "does not return one effect" in text
    assert "looks=30 needs 60 clusters" in text and "have 45" in text


def test_a_claim_that_declares_one_look_is_refused_where_it_is_written(claims):
    text = claims('@claim("One.", at_least(0.3), stopping="anytime", looks=1)\ndef test_one(lab): ...\n').stdout.str()
    assert "looks=1 must be a whole number from 2" in text
