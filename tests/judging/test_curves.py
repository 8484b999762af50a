"""Power that is simulated, against formulas that are exact for the same case."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.predictions import at_least, greater_than, negligible
from causaltest.errors import JudgementError
from causaltest.judging.curves import Question, band, power_at, power_curve, supported
from causaltest.judging.designs import Design
from causaltest.judging.supposing import Truth

UNBOUNDED = Design("continuous", (1,) * 60, placebo="waived")
SAMPLES = Assumptions(sd=1.0, simulations=600)


def within(found, truth, samples, *, errors=3.5):
    return abs(found - truth) <= errors * math.sqrt(truth * (1 - truth) / samples)


@pytest.mark.parametrize(("units", "gap"), [(60, 0.25), (80, 0.3), (120, 0.2)])
def test_a_mean_without_a_range_has_the_power_of_the_t_test(units, gap):
    """Noncentral t. The bootstrap must clear too, which at these sizes costs next to nothing."""
    curve = power_curve(at_least(0.5), UNBOUNDED, n=[units], effect=0.5 + gap, assumptions=SAMPLES)
    exact = stats.nct.sf(stats.t.isf(0.05, units - 1), units - 1, gap * math.sqrt(units))
    assert exact - 0.035 < curve.power[0] < exact + 0.02 or within(curve.power[0], exact, 600)
    assert curve.low[0] <= curve.power[0] <= curve.high[0]


def test_clusters_have_the_power_of_the_t_test_on_their_means():
    design = Design("continuous", (5,) * 60, placebo="waived")
    curve = power_curve(
        at_least(0.0), design, n=[300], effect=0.3, assumptions=Assumptions(sd=1.0, icc=0.4, simulations=600)
    )
    noncentral = 0.3 / math.sqrt((0.4 + 0.6 / 5) / 60)
    exact = stats.nct.sf(stats.t.isf(0.05, 59), 59, noncentral)
    assert within(curve.power[0], exact, 600, errors=4)


def test_the_family_is_counted():
    alone, among = (
        power_curve(at_least(0.5), UNBOUNDED, n=[60], effect=0.8, family_size=k, assumptions=SAMPLES).power[0]
        for k in (1, 10)
    )
    exact = stats.nct.sf(stats.t.isf(0.005, 59), 59, 0.3 * math.sqrt(60))
    assert among < alone and within(among, exact, 600)


@pytest.mark.parametrize(
    ("design", "sd"),
    [
        (UNBOUNDED, 1.0),
        (Design("binary", (4,) * 30, (0.0, 1.0), 1.0, placebo="waived"), 0.0),
        (Design("ratio", (1,) * 30, (-4.0, 4.0), 4.0, placebo="waived"), 0.5),
    ],
    ids=["unbounded", "clustered shares", "ranged ratio"],
)
def test_at_the_threshold_itself_power_is_alpha_or_less(design, sd):
    at_threshold = Truth(0.5, sd, 0.0 if design.iid else 0.1, 0.1, ())
    asked = Question(at_least(0.5), 1, design, at_threshold, Assumptions(), 3)
    found, samples = supported(asked, 60, 600), 600
    # the 99.9 % binomial band above .05
    assert found <= stats.binom.isf(0.0005, samples, 0.05)
    if design is UNBOUNDED:
        assert found >= stats.binom.ppf(0.0005, samples, 0.05)


def test_an_effect_at_the_threshold_is_refused_by_the_front_door():
    with pytest.raises(JudgementError, match="power is alpha"):
        power_curve(at_least(0.5), UNBOUNDED, n=[60], effect=0.5)


def test_the_placebo_takes_power():
    design = Design("binary", (1,) * 60, (0.0, 1.0), 1.0)
    powers = []
    for placebo in (0.1, 0.6):
        truth = Truth(0.7, 0.0, 0.0, placebo, ())
        powers.append(power_at(Question(at_least(0.3), 1, design, truth, Assumptions(), 0, jointly=True), 40).power)
    assert powers[1] < powers[0] - 0.3


def test_units_below_the_minimum_have_no_power():
    curve = power_curve(at_least(0.0), UNBOUNDED, n=[49, 50], effect=5.0, assumptions=SAMPLES)
    assert curve.power == (0.0, 1.0)


@given(
    st.sampled_from([UNBOUNDED, Design("binary", (3,) * 20, (0.0, 1.0), 1.0)]),
    st.floats(0.1, 0.25),
    st.sampled_from([at_least, greater_than]),
    st.integers(0, 10**6),
)
@settings(max_examples=6, deadline=None)
def test_power_grows_with_pairs(design, gap, predicts, seed):
    """With the same draws in a small sample as in a large one, hardly by chance."""
    curve = power_curve(
        predicts(0.4), design, n=[60, 120, 240], effect=0.4 + gap, assumptions=Assumptions(simulations=100), seed=seed
    )
    assert all(later >= earlier - 0.05 for earlier, later in itertools.pairwise(curve.power))
    assert curve.power[-1] > curve.power[0] or curve.power[0] > 0.95


def test_power_grows_with_the_effect():
    powers = [
        power_curve(negligible(within=0.3), UNBOUNDED, n=[100], effect=effect, assumptions=SAMPLES).power[0]
        for effect in (0.2, 0.1, 0.0)
    ]
    assert powers == sorted(powers) and powers[0] < powers[-1]


def test_where_the_test_is_exact_nothing_is_drawn():
    design = Design("binary", (1,) * 60, (0.0, 1.0), 1.0)
    curve = power_curve(at_least(0.5), design, n=[37, 158], effect=0.6)
    by_hand = [stats.binom.sf(stats.binom.isf(0.05, n, 0.5), n, 0.6) for n in (37, 158)]
    assert curve.power == pytest.approx(by_hand, abs=1e-12)
    assert curve.low == curve.high == curve.power


def test_a_curve_is_plain_data_in_the_order_of_its_pairs():
    design = Design("binary", (3,) * 10, (0.0, 1.0), 1.0)
    curve = power_curve(at_least(0.3), design, n=[100, 70], effect=0.7, assumptions=Assumptions(simulations=50))
    assert curve.n == (72, 102), "rounded up to whole clusters"
    assert curve.as_dict() == {
        "n": [72, 102],
        "power": list(curve.power),
        "low": list(curve.low),
        "high": list(curve.high),
    }


def test_the_band_is_clopper_and_pearsons():
    for found, samples in [(0, 50), (50, 50), (13, 80)]:
        by_scipy = stats.binomtest(found, samples).proportion_ci(0.95, method="exact")
        assert band(found, samples) == pytest.approx((by_scipy.low, by_scipy.high), abs=1e-12)


def test_a_smaller_alpha_takes_fewer_samples_for_the_same_precision():
    def samples(family, **more):
        truth = Truth(0.8, 1.0, 0.0, 0.0, ())
        return Question(at_least(0.5), family, UNBOUNDED, truth, Assumptions(**more), 0).simulations

    def relative_error(family):
        quantile = special.ndtri(0.8)
        density = math.exp(-(quantile**2) / 2) / math.sqrt(2 * math.pi)
        in_quantiles = math.sqrt(0.16 / samples(family)) / density
        return 2 * in_quantiles / (quantile - special.ndtri(0.05 / family))

    assert samples(1) == 400 > samples(20)
    assert np.ptp([relative_error(k) for k in (1, 3, 20)]) < 0.002
    assert relative_error(1) < 0.06, "a standard error of a number of pairs; twice that is about a tenth"
    assert samples(20, simulations=90) == 90
