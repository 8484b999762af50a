"""What is assumed to count pairs: numbers that no sample could have are refused, in a sentence."""

import math

import pytest

from causaltest.asking.assumptions import Assumptions, assumptions_of
from causaltest.errors import ClaimError


def test_options_become_assumptions():
    given = assumptions_of(["icc=0.2", "sd=3", "effect=-0.5", "placebo=0", "simulations=200"])
    assert given == Assumptions(effect=-0.5, sd=3.0, icc=0.2, placebo=0.0, simulations=200)
    assert assumptions_of([]) == Assumptions()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sd=0", "sd=0 must be above 0"),
        ("sd=-1", "sd=-1 must be above 0"),
        ("sd=inf", "sd=inf must be above 0 and finite"),
        ("icc=1", "icc=1 must lie from 0 to below 1"),
        ("icc=-0.1", "icc=-0.1 must lie from 0"),
        ("icc=nan", "icc=nan must lie from 0"),
        ("effect=nan", "effect=nan must be a finite number"),
        ("placebo=inf", "placebo=inf must be a finite number"),
        ("simulations=10", "simulations=10 must be a whole number from 50"),
        ("simulations=1e3", "simulations='1e3' is no number"),
        ("icc=much", "icc='much' is no number"),
        ("iccs=0.1", "'iccs=0.1' is no assumption: write NAME=VALUE, where NAME is one of effect, sd, icc"),
        ("icc", "icc='' is no number"),
    ],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(ClaimError) as refused:
        assumptions_of([text])
    assert said in str(refused.value)


def test_the_edges_that_can_be():
    assert Assumptions(icc=0.0).icc == 0
    assert math.isclose(Assumptions(icc=0.999).icc, 0.999)
