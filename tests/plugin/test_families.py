"""The family of a claim is counted where items are made, before any selection."""

from __future__ import annotations

import json

import pytest

BODY = """
@claim("One of three.", at_least(0.45))
@pytest.mark.parametrize("n", [1, 2])
def test_a(n):
    return given(VALUES)

@claim("The third.", at_least(0.45))
def test_b():
    return given(VALUES)

@claim("Alone in its family.", at_least(0.45), family="alone")
def test_c():
    return given(VALUES)

def test_plain():
    pass
"""


def families(path) -> dict[str, int]:
    return {claim["id"].split("::")[-1]: claim["family_size"] for claim in json.loads(path.read_text())}


@pytest.mark.parametrize(
    "selection", [[], ["-k", "test_b or test_c"], ["test_claims.py::test_b", "test_claims.py::test_c"]]
)
def test_selection_does_not_change_a_familys_size(claims, pytester, selection):
    result = claims(BODY, "--causal-json=out.json", *selection)
    assert result.ret == 0
    sizes = families(pytester.path / "out.json")
    assert sizes["test_b"] == 3
    assert sizes["test_c"] == 1


def test_last_failed_does_not_change_a_familys_size(pytester, claims):
    body = BODY.replace("at_least(0.45))\ndef test_b", "at_least(0.95))\ndef test_b")
    claims(body)
    pytester.runpytest_inprocess()
    pytester.runpytest_inprocess("--lf", "--causal-json=out.json")
    assert families(pytester.path / "out.json") == {"test_b": 3}


def test_the_family_is_in_the_section(claims):
    result = claims(BODY.replace("0.45", "0.66"))
    result.stdout.fnmatch_lines(["*alpha .05/3: family*test_claims.py, 3*"])


def test_two_claims_with_one_id_are_refused(claims):
    result = claims(
        """
@claim("First.", at_least(0.1), id="same")
def test_a():
    return given(VALUES)

@claim("Second.", at_least(0.1), id="same")
def test_b():
    return given(VALUES)
"""
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*2 claims have the id 'same': *test_a*test_b*give each its own*"])


def test_a_parametrised_claim_carries_its_parameters_in_its_id(claims, pytester):
    body = BODY.replace(
        "at_least(0.45))\n@pytest.mark.parametrize", 'at_least(0.45), id="mine")\n@pytest.mark.parametrize'
    )
    assert claims(body, "--causal-json=out.json").ret == 0
    assert {"mine[1]", "mine[2]"} <= {c["id"] for c in json.loads((pytester.path / "out.json").read_text())}


CLASSES = """
@claim("At the top.", at_least(0.45))
def test_top():
    return given(VALUES)

class TestA:
    @claim("In A.", at_least(0.45))
    def test_a(self):
        return given(VALUES)

class TestB:
    @claim("In B.", at_least(0.45))
    @pytest.mark.parametrize("n", range(5))
    def test_b(self, n):
        return given(VALUES)
"""


@pytest.mark.parametrize("selection", [[], ["test_claims.py::test_top"], ["test_claims.py::TestA"], ["-k", "test_b"]])
def test_classes_that_a_node_id_left_out_are_counted(claims, pytester, selection):
    """pytest expands a class only when something in it is selected."""
    assert claims(CLASSES, "--causal-json=out.json", *selection).ret == 0
    assert set(families(pytester.path / "out.json").values()) == {7}


def test_a_decorator_outside_of_claim_is_refused_and_not_skipped(claims):
    result = claims(
        """
import functools

def outer(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

@outer
@claim("Wrapped.", at_least(0.1))
def test_a():
    return given(VALUES)
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*another decorator stands outside of @claim*"])
