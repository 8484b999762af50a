"""The same patch elsewhere, as the judge weighs it: one more test at the full alpha, and all must clear."""

import dataclasses
from itertools import product

import numpy as np
import pytest

from causaltest.asking.predictions import at_least, at_most, greater_than, negligible
from causaltest.effect import Controls, Effect, Elsewhere, Waived
from causaltest.errors import JudgementError
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome

WAIVED = Waived("simulated data")


def effect(values, elsewhere, *, placebo=WAIVED, far=1.0, kind="binary", **which):
    """An effect with the same patch at some wrong places: values by name."""
    which = which or {"iid": True}
    bare = Effect.from_values(values, kind=kind, placebo=placebo, **which)
    places = tuple(Elsewhere(what, tuple(map(float, v)), (far,) * len(values)) for what, v in elsewhere.items())
    controls = dataclasses.replace(bare.measured.controls, elsewhere=places, distance=(1.0,) * len(values))
    return Effect(None, dataclasses.replace(bare.measured, controls=controls))


def sign_flip_by_hand(differences):
    """The share of all ways to flip the signs in which the sum is at least as large as it is."""
    ways = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    return sum(way >= sum(differences) - 1e-12 for way in ways) / len(ways)


ONES = [1] * 12


def test_p_is_the_largest_of_all_and_that_of_a_wrong_place_a_sign_flip():
    there = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    verdict = judge(effect(ONES, {"layer 2": there}), at_least(0.5))
    p = sign_flip_by_hand([1 - v for v in there])
    assert verdict.p_value == pytest.approx(p)
    assert verdict.outcome is Outcome.SUPPORTED
    worse = judge(effect(ONES, {"layer 3": [1] * 9 + [0] * 3, "layer 2": there}), at_least(0.5))
    assert worse.p_value == pytest.approx(sign_flip_by_hand([0] * 9 + [1] * 3)) == 0.125
    assert worse.outcome is Outcome.INCONCLUSIVE
    assert worse.reason == (
        "The same patch at layer 3 does as much: it gives 0.75, and is not beaten (p = 0.12 at alpha .05), so what was "
        "seen is not this place's own."
    )


def test_each_is_tested_at_the_familys_alpha_and_nothing_is_spent_on_it():
    there = [1] * 6 + [0] * 6
    assert judge(effect(ONES, {"layer 2": there}), at_least(0.3)).outcome is Outcome.SUPPORTED
    two = effect(ONES, {"layer 2": there, "layer 3": there[::-1]})
    assert judge(two, at_least(0.3)).outcome is Outcome.SUPPORTED
    assert judge(two, at_least(0.3), family_size=4).outcome is Outcome.INCONCLUSIVE


def test_clusters_are_flipped_whole():
    """Twenty-four pairs that exceed the wrong place in two clusters of four are two units, and not twelve."""
    clusters = [f"c{i % 24}" for i in range(48)]
    values, there = [1] * 48, [0 if c in ("c0", "c1", "c2", "c3") else 1 for c in clusters]
    verdict = judge(effect(values, {"layer 2": there}, clusters=clusters), at_least(0.5))
    assert verdict.p_value == pytest.approx(2.0**-4, rel=0.1)
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_negative_claim_must_lie_below_its_wrong_places():
    values = np.clip(np.random.default_rng(0).normal(-0.5, 0.1, 40), -1, 1)
    below = effect(values, {"layer 2": values + 0.3}, kind="continuous", iid=True, range=(-1, 1))
    above = effect(values, {"layer 2": values - 0.3}, kind="continuous", iid=True, range=(-1, 1))
    assert judge(below, at_most(-0.3)).outcome is Outcome.SUPPORTED
    assert judge(above, at_most(-0.3)).outcome is Outcome.INCONCLUSIVE
    assert judge(above, at_most(-0.3)).p_value == 1.0


def test_a_null_needs_no_wrong_place():
    values = np.clip(np.random.default_rng(0).normal(0, 0.05, 60), -1, 1)
    one = effect(values, {"layer 2": values}, kind="continuous", iid=True, range=(-1, 1))
    null = judge(one, negligible(within=0.2))
    assert null.outcome is Outcome.SUPPORTED
    told = "the wrong places that were asked for are no part of this verdict: a claim of no effect beats none"
    assert told in null.notes
    assert told not in judge(one, at_least(-0.2)).notes
    bare = effect(values, {}, kind="continuous", iid=True, range=(-1, 1))
    assert told not in judge(bare, negligible(within=0.2)).notes


def test_a_refuted_claim_stays_refuted_whatever_the_wrong_place_does():
    assert judge(effect([0] * 40, {"layer 2": [1] * 40}), at_least(0.5)).outcome is Outcome.REFUTED


def test_a_wrong_place_that_moves_nothing_is_no_control():
    verdict = judge(effect(ONES, {"layer 2": [0] * 12}, far=0.0), at_least(0.5))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason.startswith("The same patch at layer 2 moves nothing in 12 of 12 pairs, so that it is beaten")
    assert judge(effect(ONES, {"layer 2": [0] * 12}), at_least(0.5)).outcome is Outcome.SUPPORTED


def test_a_number_that_is_none_makes_the_claim_invalid():
    verdict = judge(effect(ONES, {"layer 2": [0] * 11 + [float("nan")]}), at_least(0.5))
    assert verdict.outcome is Outcome.INVALID
    assert "The patch at layer 2 of 'pair 11' is nan" in verdict.reason


def test_a_difference_is_weighed_against_the_difference_elsewhere():
    first = effect(ONES * 2, {"layer 2": [1] * 24})
    second = effect([0] * 24, {"layer 2": [1, 0, 0] * 8})
    (place,) = (first - second).measured.controls.elsewhere
    assert place.values == (0.0, 1.0, 1.0) * 8
    with pytest.raises(JudgementError, match=r"different wrong places \(layer 2 in one only\)"):
        first - effect([0] * 24, {})
    verdict = judge(first - effect([0] * 24, {"layer 2": [0] * 24}), greater_than(0.1))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "at layer 2 does as much: it gives 1" in verdict.reason


def test_controls_know_no_wrong_place_by_themselves():
    assert Controls().elsewhere == ()
