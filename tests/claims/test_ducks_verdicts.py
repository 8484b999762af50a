"""Claims about the ducks that ought to come out REFUTED, INCONCLUSIVE or INVALID."""

from __future__ import annotations

import pytest

from causaltest import Lab, accuracy, at_least, at_most, judge, logit_diff, negligible, resid_post, span, thought
from causaltest.organisms import ducks


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load("organism:ducks")


@pytest.fixture(scope="module")
def pairs():
    return ducks.twins(sentence=1, clusters=40, per_cluster=1, seed=3)


def test_layer_three_of_the_first_thought_is_refuted(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(3, thought(0))).recovery(accuracy)
    verdict = judge(effect, at_least(0.30))
    assert verdict.outcome == "REFUTED"
    assert verdict.upper < 0.30


def test_calling_the_first_thought_negligible_is_refuted(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(6, thought(0))).recovery(accuracy)
    assert judge(effect, negligible(within=0.10)).outcome == "REFUTED"
    assert judge(effect, at_most(0.30)).outcome == "REFUTED"


def test_a_null_where_nothing_differs_is_invalid(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(3, thought(0))).recovery(accuracy)
    verdict = judge(effect, negligible(within=0.10))
    assert verdict.outcome == "INVALID"
    assert "distance" in verdict.reason


def test_a_decoy_that_is_called_important_is_refuted(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(8, span("number"))).recovery(accuracy)
    assert min(effect.measured.controls.distance) > 0
    assert judge(effect, at_least(0.30)).outcome == "REFUTED"


def test_nine_pairs_are_inconclusive_and_say_how_many_would_do(lab):
    few = ducks.twins(sentence=1, clusters=9, per_cluster=1, seed=3)
    effect = lab.denoise(few, at=resid_post(6, thought(0))).recovery(accuracy)
    assert effect.estimate == 1.0
    verdict = judge(effect, at_least(0.80, expecting=0.95))
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.needed_n > 9


def test_a_perfect_ratio_without_a_range_is_inconclusive(lab, pairs):
    """A sample without spread is no proof."""
    effect = lab.denoise(pairs, at=resid_post(6, thought(0))).recovery(logit_diff)
    assert effect.estimate == 1.0
    verdict = judge(effect, at_least(0.5))
    assert verdict.outcome == "INCONCLUSIVE"
    assert "range" in verdict.reason
