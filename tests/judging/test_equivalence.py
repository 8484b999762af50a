"""What each relation asks of the two bounds."""

import pytest

from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible, unchanged
from causaltest.judging.bounds import Bound
from causaltest.judging.equivalence import p_of, refutes, supports, thresholds_of


def bounds(lower: float, upper: float, above: float = 0.01, below: float = 0.01) -> Bound:
    return Bound("any", lower, upper, above, below)


@pytest.mark.parametrize(
    ("prediction", "bound", "supported", "refuted"),
    [
        (at_least(0.5), bounds(0.5, 0.9), True, False),
        (at_least(0.5), bounds(0.4, 0.9, above=0.2), False, False),
        (at_least(0.5), bounds(0.1, 0.4, above=0.9), False, True),
        (greater_than(0.5), bounds(0.5, 0.9), False, False),
        (greater_than(0.5), bounds(0.51, 0.9), True, False),
        (at_most(0.5), bounds(0.1, 0.5), True, False),
        (at_most(0.5), bounds(0.6, 0.9, below=0.9), False, True),
        (at_most(0.5), bounds(0.4, 0.6, below=0.5), False, False),
        (negligible(within=0.1), bounds(-0.05, 0.1), True, False),
        (negligible(within=0.1), bounds(-0.05, 0.11, below=0.06), False, False),
        (negligible(within=0.1), bounds(0.11, 0.3, below=0.9), False, True),
        (negligible(within=0.1), bounds(-0.3, -0.11, above=0.9), False, True),
        (negligible(within=0.1), bounds(-0.3, 0.3, above=0.5, below=0.5), False, False),
        (between(0.2, 0.4), bounds(0.2, 0.4), True, False),
        (between(0.2, 0.4), bounds(0.1, 0.4, above=0.1), False, False),
        (between(0.2, 0.4), bounds(0.2, 0.5, below=0.1), False, False),
        (between(0.2, 0.4), bounds(0.2, 0.4, below=0.051), False, False),
        (between(0.2, 0.4), bounds(0.2, 0.41), False, False),
        (between(0.2, 0.4), bounds(0.19, 0.4), False, False),
        (negligible(within=0.1), bounds(-0.05, 0.11), False, False),
        (between(0.2, 0.4), bounds(0.41, 0.5, below=1.0), False, True),
        (between(0.2, 0.4), bounds(-0.5, 0.19, above=1.0), False, True),
        (unchanged(margin=0.1), bounds(-0.1, 0.3, below=1.0), True, False),
        (unchanged(margin=0.1), bounds(-0.11, 0.3, above=0.06), False, False),
        (unchanged(margin=0.1), bounds(-0.5, -0.11, above=1.0), False, True),
    ],
)
def test_relations(prediction, bound, supported, refuted):
    thresholds = thresholds_of(prediction, 0.05)
    assert supports(prediction, bound, thresholds) is supported
    assert refutes(prediction, bound) is refuted


def test_p_is_of_the_claims_own_side():
    bound = bounds(0, 1, above=0.2, below=0.3)
    assert p_of(at_least(0.5), bound) == 0.2
    assert p_of(at_most(0.5), bound) == 0.3
    assert p_of(negligible(within=0.5), bound) == 0.3
    assert p_of(between(0.1, 0.5), bound) == 0.3
    assert p_of(unchanged(margin=0.5), bound) == 0.2


def test_a_bound_that_clears_with_a_p_above_alpha_supports_nothing():
    assert not supports(at_least(0.5), bounds(0.5, 0.9, above=0.06), thresholds_of(at_least(0.5), 0.05))
