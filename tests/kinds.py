"""Files of claims as pytest is given them: their usual head, and a claim of every kind."""

PLANTED = """
import pytest
from causaltest import *
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@pytest.fixture(scope="module")
def pairs():
    return planted.pairs(per_cluster=1)
"""
"""The head of a file of claims about the planted organism."""

KINDS = """
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
