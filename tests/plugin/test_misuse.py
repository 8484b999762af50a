"""Claims that are written wrong say what to do instead."""

from __future__ import annotations

import os
import subprocess
import sys


def test_a_claim_that_returns_nothing_is_an_error_that_says_so(claims):
    result = claims('@claim("Forgot.", at_least(0.1))\ndef test_a():\n    given(VALUES)\n')
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ClaimError: The claim 'Forgot.' returned nothing*End its body with*return*"])


def test_a_claim_that_returns_something_else_is_an_error(claims):
    result = claims('@claim("Number.", at_least(0.1))\ndef test_a():\n    return 0.7\n')
    result.stdout.fnmatch_lines(["*ClaimError: The claim 'Number.' returned float: a claim returns an Effect*"])


def test_an_effect_returned_without_claim_is_an_error(claims):
    result = claims("def test_a():\n    return given(VALUES)\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_a returned an Effect without @claim*"])


def test_a_plain_test_passes_whatever_else_its_module_holds(pytester):
    """A function made from a text has no module, and a proxy may answer no question about its class."""
    pytester.makepyfile(
        """
square = eval("lambda x: x * x", {})
Made = type("Made", (), {"__module__": None})

class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("working outside of a request")

proxy = Proxy()

def test_a():
    assert square(3) == 9
"""
    )
    pytester.makeconftest("import causaltest.effect")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_claim_over_given_is_refused(claims):
    result = claims(
        """
from hypothesis import given as examples, strategies as st
@claim("Law.", at_least(0.1))
@examples(st.integers())
def test_a(n):
    return given(VALUES)
"""
    )
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*ClaimError: The claim 'Law.' is also a Hypothesis test*not a sample*"])


def test_given_over_claim_is_refused(claims):
    result = claims(
        """
from hypothesis import given as examples, strategies as st
@examples(st.integers())
@claim("Law.", at_least(0.1))
def test_a(n):
    return given(VALUES)
"""
    )
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*The claim 'Law.' is also a Hypothesis test*not a sample*"])


def test_a_law_may_use_the_module_scoped_lab(claims):
    result = claims(
        """
from hypothesis import given as examples, settings, strategies as st
@settings(max_examples=3, deadline=None, database=None)
@examples(n=st.integers(0, 3))
def test_a(lab, n):
    pair = planted.pairs(per_cluster=1)[0]
    assert lab.denoise(pair.with_itself(), at=resid_post(n, last())).is_neutral
"""
    )
    result.assert_outcomes(passed=1)


def test_without_the_plugin_a_claim_fails_instead_of_passing(pytester):
    """pytest itself only warns about a returned value, and would pass the claim."""
    path = pytester.makepyfile(
        """
from causaltest import *

@claim("Nobody judges this.", at_least(0.1))
def test_a():
    return Effect.from_values([1] * 50, kind="binary", iid=True, placebo=Waived("a test"))
"""
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(path)]
    alone = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert alone.returncode == 1
    assert "was called without the causaltest plugin" in alone.stdout
    named = subprocess.run(
        [*run, "-p", "causaltest.pytest_plugin"], env=environment, capture_output=True, text=True, check=False
    )
    assert named.returncode == 0, named.stdout


def test_the_lab_fixture_without_a_model_says_what_to_give(claims):
    result = claims(
        '@pytest.fixture(scope="module")\ndef lab(request):\n    return request.getfixturevalue("bare")\n',
    )
    assert result.ret == 5
    body = '@claim("Which model?", at_least(0.1))\ndef test_a(lab):\n    return given(VALUES)\n'
    result = claims("del lab\n" + body)
    result.stdout.fnmatch_lines(["*The lab fixture has no model. Give --causal-model NAME*"])
    claims("del lab\n" + body, "--causal-model", "organism:planted").assert_outcomes(passed=1)


def test_an_unknown_model_says_what_was_tried(claims):
    result = claims(
        """
@claim("Nowhere.", at_least(0.1), model="organism:geese")
def test_a(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
    )
    result.stdout.fnmatch_lines(["*ModelError: There is no organism 'geese'; there are *bypass*ducks*planted*"])
