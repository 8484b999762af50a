"""Where the power wanted is reached, told from points on a curve that is known."""

import math

import pytest
from scipy import special

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.predictions import at_least
from causaltest.judging.closing_in import beside, crossing
from causaltest.judging.curves import Point, Question
from causaltest.judging.designs import Design
from causaltest.judging.supposing import Truth

ASKED = Question(at_least(0.5), 1, Design("continuous", (1,) * 60), Truth(0.8, 1.0, 0.0, 0.0, ()), Assumptions(), 0)


def point(units, power, samples=400):
    return Point(units, units, power, power, power, samples)


def t_like(units, target=100):
    """Power of a t test that has .8 at the target."""
    z = -special.ndtri(0.05)
    return float(special.ndtr((z + special.ndtri(0.8)) * math.sqrt(units / target) - z))


@pytest.mark.parametrize("units", [60, 85, 100, 120, 150])
def test_one_point_of_a_t_test_is_enough(units):
    assert beside(ASKED, point(units, t_like(units)), t_like(units)) == pytest.approx(100, abs=1)
    assert crossing(ASKED, [point(units, t_like(units))]) == pytest.approx(100, rel=0.12)


def test_two_points_tell_a_slope_that_is_steeper_than_a_t_tests():
    def steep(units):
        return float(special.ndtr(special.ndtri(0.8) + 1.0 * (math.sqrt(units) - 10)))

    assert crossing(ASKED, [point(85, steep(85)), point(110, steep(110))]) == pytest.approx(100, abs=3)


def test_chance_between_two_points_that_are_close_moves_little():
    """69 samples of .70 beside 400 of .83, at nearly the same number: no slope is read off their difference."""
    assert crossing(ASKED, [point(98, 0.70, 69), point(102, 0.83)]) == pytest.approx(97, abs=4)


def test_where_nothing_or_everything_is_supported_the_step_is_bounded():
    assert crossing(ASKED, [point(100, 0.0)]) == pytest.approx(289, abs=1)
    assert crossing(ASKED, [point(100, 1.0)]) == pytest.approx(100 / 1.7**2, abs=1)
