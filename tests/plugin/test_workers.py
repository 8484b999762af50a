"""Claims of every kind, on two workers: the same verdicts, families and numbers as in one process.

One suite for all kinds, as starting workers takes far longer than measuring.
"""

from __future__ import annotations

import json

import pytest

BODY = """
@claim("The reader holds the value.", at_least(0.5), id="reader")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("A dead end.", negligible(within=0.1), id="invalid")
def test_invalid(lab, pairs):
    return lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)

@pytest.mark.parametrize("layer", [1, 2])
@claim("It stays.", at_least(0.5), id="apart", family="apart")
def test_apart(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(logit_diff(range=(-20, 20)))

@claim("The value is held.", at_least(0.5), id="mixed")
@claim.multiverse(where=["reader", "token"], share=0.5)
def test_mixed(lab, pairs, where):
    position = last() if where == "reader" else span("value")
    return lab.denoise(pairs, at=resid_post(3, position)).recovery(accuracy)

@claim("In looks.", at_least(0.3), id="looks", stopping="obrien-fleming", looks=2)
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("A decoy.", at_least(0.3), id="decoy", stopping="anytime", looks=3)
def test_decoy(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, span("value"))).recovery(accuracy)
"""


def test_the_same_suite_gives_the_same_json_alone_and_on_two_workers(claims, pytester):
    pytest.importorskip("xdist")
    claims(BODY, "--causal-json=one.json")
    claims(BODY, "--causal-json=two.json", "-n", "2")
    one, two = (json.loads((pytester.path / name).read_text()) for name in ("one.json", "two.json"))
    for claim in (*one, *two):
        del claim["runs"]
    assert one == two
    assert {claim["id"]: claim["family_size"] for claim in one} == {
        **dict.fromkeys(["reader", "invalid", "mixed", "looks", "decoy"], 5),
        **dict.fromkeys(["apart[1]", "apart[2]"], 2),
    }
    by_id = {claim["id"]: claim for claim in one}
    assert len(by_id["mixed"]["variants"]) == 2 and by_id["looks"]["looks"]["planned"] == 2
