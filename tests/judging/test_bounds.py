"""A bound and its p-value never disagree about the threshold."""

import math

import pytest

from causaltest.judging.bounds import Bound, Thresholds, agreed, probability, silent, widest

ASKED = Thresholds(0.3, 0.5, 0.05)


@pytest.mark.parametrize(("lower", "above"), [(0.31, 0.051), (0.29, 0.049), (0.29, 0.5), (0.31, 0.9)])
def test_a_disputed_floor_is_not_cleared(lower, above):
    bound = agreed("any", ASKED, lower=lower, upper=0.6, above=above, below=0.9)
    assert bound.lower <= 0.3
    assert bound.p_above > 0.05


@pytest.mark.parametrize(("upper", "below"), [(0.49, 0.051), (0.51, 0.049), (0.51, 0.5), (0.49, 0.9)])
def test_a_disputed_ceiling_is_not_cleared(upper, below):
    bound = agreed("any", ASKED, lower=0.2, upper=upper, above=0.9, below=below)
    assert bound.upper >= 0.5
    assert bound.p_below > 0.05


def test_agreement_is_left_alone():
    assert agreed("any", ASKED, lower=0.31, upper=0.49, above=0.02, below=0.03) == Bound("any", 0.31, 0.49, 0.02, 0.03)


def test_nothing_is_impossible():
    assert 0 < probability(0.0) < 1e-300
    assert probability(1.5) == 1.0


def test_the_widest_is_the_hull_and_the_largest_p():
    hull = widest((Bound("a", 0.1, 0.8, 0.01, 0.4), Bound("b", 0.2, 0.9, 0.02, 0.3)))
    assert hull == Bound("a and b", 0.1, 0.9, 0.02, 0.4)
    assert widest((hull, silent("c"))).lower == -math.inf
