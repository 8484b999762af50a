"""The pairs that a claim needs: exact where its test is, else found by simulation, and never below the minimum."""

import math

import pytest

from causaltest.asking.assumptions import Assumptions
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible, unchanged
from causaltest.errors import JudgementError
from causaltest.judging.curves import power_curve
from causaltest.judging.designs import Design
from causaltest.judging.planning import curve_around, design_effect, needs_of
from causaltest.judging.power import student_units
from causaltest.judging.supposing import supposed

SHARES = Design("binary", (1,) * 30, (0.0, 1.0), 1.0, placebo="waived")
CLUSTERED = Design("binary", (4,) * 22, (0.0, 1.0), 1.0)
UNBOUNDED = Design("continuous", (1,) * 60, placebo="waived")
RATIO = Design("ratio", (4,) * 64, (-4.0, 4.0), 4.0)
ARMS = Design("continuous", (1,) * 64, (-1.0, 1.0), 1.0, arms="binary", placebo="waived")


@pytest.mark.parametrize(
    ("expected", "family", "pairs"), [(0.6, 1, 158), (0.7, 1, 37), (0.8, 1, 18), (0.7, 3, 55), (5 / 9, 3, 716)]
)
def test_the_pinned_figures(expected, family, pairs):
    need = needs_of(at_least(0.5, expecting=expected), SHARES, family_size=family)
    assert (need.pairs, need.low, need.high) == (pairs, pairs, pairs)
    assert need.how == "power of the exact binomial test, enumerated"
    assert need.lasting >= pairs and need.enough == (pairs <= 30)


def test_mcnemar_is_enumerated_at_arms_as_far_apart_as_expected():
    need = needs_of(greater_than(0, expecting=0.2), ARMS)
    assert need.how == "power of the exact McNemar test, enumerated"
    # arms of .6 and .4: right in the first only .36, in the second only .16
    curve = power_curve(greater_than(0), ARMS, n=[need.pairs - 1, need.pairs], effect=0.2)
    assert curve.power[0] < 0.8 <= curve.power[1]
    turned = needs_of(at_most(0, expecting=-0.2), ARMS)
    assert turned.pairs == need.pairs


def test_a_mean_needs_what_the_t_formula_says():
    """Where BCa and t judge, and nothing else: within a tenth of Guenther's formula."""
    need = needs_of(at_least(0.5, expecting=0.7), UNBOUNDED, assumptions=Assumptions(sd=1.0, simulations=1500))
    formula = student_units(gap=0.2, spread=1.0, alpha=0.05, power=0.8)
    assert need.pairs == pytest.approx(formula, rel=0.1)
    assert need.low <= need.pairs <= need.high and need.low < need.high


@pytest.mark.parametrize(
    ("prediction", "design", "family"),
    [
        (at_least(0.3, expecting=0.45), CLUSTERED, 3),
        (at_least(0.3, expecting=0.55), RATIO, 1),
        (negligible(within=0.25), RATIO, 1),
        (between(0.3, 0.7), CLUSTERED, 1),
        (unchanged(margin=0.25), ARMS, 1),
    ],
    ids=["clustered shares", "ratio", "null", "range", "unchanged"],
)
def test_the_pairs_found_have_the_power_in_samples_that_were_not_searched(prediction, design, family):
    need = needs_of(prediction, design, family_size=family, seed=1)
    assert need.pairs is not None
    again = power_curve(
        prediction,
        design,
        n=[need.pairs],
        effect=need.effect,
        family_size=family,
        assumptions=Assumptions(simulations=400),
        seed=77,
    )
    assert 0.8 - 0.1 <= again.power[0] <= (0.8 + 0.1 if "simulated" in need.how else 1.0)


def test_clusters_multiply_pairs_and_are_what_is_added():
    alone = needs_of(at_least(0.3, expecting=0.45), Design("binary", (1,) * 30, (0.0, 1.0), 1.0))
    uncorrelated, usual, alike = (
        needs_of(at_least(0.3, expecting=0.45), CLUSTERED, assumptions=Assumptions(icc=icc)) for icc in (0.0, 0.1, 0.5)
    )
    assert alone.pairs < uncorrelated.pairs * 1.15
    assert uncorrelated.pairs < usual.pairs < alike.pairs
    # Kish's design effect is 1 + 3 * .5
    assert 1.8 < alike.pairs / alone.pairs < 3.3
    assert usual.pairs == 4 * usual.units and usual.units > usual.there.units and not usual.enough


def test_no_claim_is_told_fewer_than_it_can_be_judged_on():
    sure = needs_of(at_least(0.3, expecting=0.95), CLUSTERED)
    assert sure.units == 20 and sure.how == "the fewest that this kind of claim can be judged on"
    null = needs_of(negligible(within=0.02), CLUSTERED)
    assert null.units >= math.log(0.05) / math.log(0.98)
    mean = needs_of(at_least(0, expecting=50), UNBOUNDED, assumptions=Assumptions(sd=1.0))
    assert mean.units == 50


def test_a_placebo_that_keeps_up_takes_the_pairs():
    design = Design("binary", (1,) * 30, (0.0, 1.0), 1.0)
    far = needs_of(at_least(0.5, expecting=0.7), design)
    assert far.pairs == 37
    near = needs_of(at_least(0.5, expecting=0.7), design, assumptions=Assumptions(placebo=0.55))
    assert near.pairs > 60 and near.how.startswith("simulated")
    equal = needs_of(at_least(0.5, expecting=0.7), design, assumptions=Assumptions(placebo=0.7))
    assert equal.pairs is None and equal.how == "the placebo is supposed to do as much as the patch"


def test_a_wrong_place_must_be_beaten_too():
    design = Design("binary", (1,) * 30, (0.0, 1.0), 1.0, placebo="waived", wrong_places=1)
    assert needs_of(at_least(0.5, expecting=0.7), design).pairs == 37
    assumed = Assumptions(placebo=0.5)
    assert needs_of(at_least(0.5, expecting=0.7), design, assumptions=assumed).pairs > 60
    without = Design("binary", (1,) * 30, (0.0, 1.0), 1.0, placebo="waived")
    assert needs_of(at_least(0.5, expecting=0.7), without, assumptions=assumed).pairs == 37


def test_a_claim_that_expects_nothing_has_no_number_unless_its_range_has_a_middle():
    assert needs_of(at_least(0.5), SHARES) is None
    assert needs_of(at_least(0.5), SHARES, effect=0.6).pairs == 158
    assert needs_of(at_least(0.5), SHARES, assumptions=Assumptions(effect=0.6)).pairs == 158
    assert needs_of(at_least(0.5, smallest=0.6), SHARES).pairs == 158
    assert needs_of(negligible(within=0.2), SHARES).effect == 0
    assert needs_of(between(0.2, 0.8), SHARES).effect == 0.5
    assert needs_of(negligible(within=0.2, expecting=0.1), SHARES).effect == 0.1


@pytest.mark.parametrize(
    ("prediction", "assumed", "said"),
    [
        (at_least(0.5), {"effect": 0.4}, "--effect 0.4 does not lie on the claim's own side"),
        (at_least(0.5), {"effect": 0.5}, "does not lie on the claim's own side"),
        (at_most(0.5), {"effect": 0.6}, "does not lie on the claim's own side"),
        (negligible(within=0.1), {"effect": -0.2}, "does not lie on the claim's own side"),
        (at_least(0.5), {"effect": 1.5}, r"No sample has an effect of 1.5: a pair's value lies in \[0, 1\]"),
        (at_least(0.5, expecting=0.5), {}, "power is alpha"),
        (at_least(1.5), {}, "the threshold lies outside"),
        (unchanged(margin=0.1), {}, "one effect was given"),
    ],
    ids=lambda value: str(value) if not isinstance(value, dict) else None,
)
def test_what_no_pairs_can_be_counted_for(prediction, assumed, said):
    with pytest.raises(JudgementError, match=said):
        needs_of(prediction, SHARES, assumptions=Assumptions(**assumed))


def test_what_takes_too_many_to_draw_or_enumerate_has_a_formula_or_no_number():
    many = needs_of(at_least(0.5, expecting=0.503), SHARES)
    assert many.how == "by the normal formula: too many to enumerate" and 160_000 < many.pairs < 180_000
    unbounded = needs_of(at_least(0.5, expecting=0.52), UNBOUNDED, assumptions=Assumptions(sd=1.0, simulations=50))
    assert unbounded.pairs == pytest.approx(student_units(gap=0.02, spread=1.0, alpha=0.05, power=0.8), rel=0.25)
    assert unbounded.how == "by the normal formula: too many to simulate"
    wide = Design("continuous", (1,) * 60, (-100.0, 100.0), 100.0, placebo="waived")
    far = needs_of(at_least(0.5, expecting=0.6), wide, assumptions=Assumptions(sd=20.0, simulations=50))
    assert far.pairs is None and "more than 6,000 pairs" in far.how


def test_the_same_seed_gives_the_same_number_and_others_one_close_to_it():
    first, again, other = (needs_of(at_least(0.3, expecting=0.45), CLUSTERED, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert other.pairs == pytest.approx(first.pairs, rel=0.2)


def test_a_curve_goes_through_the_pairs_needed():
    need = needs_of(at_least(0.3, expecting=0.45), CLUSTERED)
    curve = curve_around(need.question, need)
    at = curve.n.index(need.pairs)
    assert 0.68 <= curve.power[at] <= 0.92
    assert curve.power[0] < 0.6 < 0.95 < curve.power[-1]


def test_the_design_effect_of_uneven_clusters():
    # of five pairs, three see two others: (9 + 4) / 5 pairs in the average pair's cluster
    assert design_effect(Design("binary", (3, 2)), 0.5) == pytest.approx(1 + 1.6 * 0.5)


def test_what_is_assumed_is_told():
    def words(prediction, design, **assumed):
        return " | ".join(supposed(design, prediction, Assumptions(**assumed), prediction.expecting).words)

    claim = at_least(0.3, expecting=0.9)
    assert words(claim, CLUSTERED) == "pairs of one cluster correlate by 0.1 (--icc) | placebo 0.1 (--placebo)"
    assert "sd 0.5 of clean - corrupt (a guess" in words(claim, RATIO)
    assert words(claim, RATIO, sd=0.2).startswith("sd 0.2 (--sd)")
    assert "twice the gap to the threshold" in words(claim, UNBOUNDED)
    ranged = Design("continuous", (1,) * 60, (-40.0, 40.0), 40.0)
    assert "sd 10, a quarter of the metric's range" in words(at_least(1, expecting=9), ranged)
    given = Design("continuous", (1,) * 60, placebo="waived", sd=0.4)
    assert words(claim, given) == "sd 0.4, of the values given (--sd)"
    assert words(greater_than(0, expecting=0.2), ARMS) == "arms of 0.6 and 0.4, each for itself"
    both = Design("continuous", (1,) * 64, (-1.0, 1.0), 1.0, arms="binary")
    assert words(greater_than(0, expecting=0.2), both).endswith("the placebos of both arms do as much")
    assert words(claim, SHARES) == ""
