"""Predictions: which side is claimed, and what no sample could show."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than, negligible
from causaltest.errors import ClaimError

numbers = st.floats(-100, 100)


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (at_least(0.3), ">= 0.3"),
        (at_most(0.3), "<= 0.3"),
        (greater_than(0.1), "> 0.1"),
        (greater_than(), "> 0"),
        (negligible(within=0.05), "within ±0.05"),
    ],
)
def test_a_prediction_reads_as_an_inequality(prediction: Prediction, words: str) -> None:
    assert str(prediction) == words


@given(numbers, numbers)
def test_a_prediction_holds_on_its_own_side_only(threshold: float, effect: float) -> None:
    assert at_least(threshold).holds(effect) is (effect >= threshold)
    assert at_most(threshold).holds(effect) is (effect <= threshold)
    assert greater_than(threshold).holds(effect) is (effect > threshold)
    if threshold > 0:
        assert negligible(within=threshold).holds(effect) is (-threshold <= effect <= threshold)


@pytest.mark.parametrize("within", [0, -0.1, -0.0])
def test_negligible_within_nothing_leaves_no_room(within: float) -> None:
    with pytest.raises(
        ClaimError, match=rf"negligible\(within={within}\) leaves no room: no sample.*still call nothing"
    ):
        negligible(within=within)


@pytest.mark.parametrize("make", [at_least, at_most, greater_than, lambda t: negligible(within=t)])
@pytest.mark.parametrize("threshold", [math.inf, -math.inf, math.nan])
def test_a_threshold_is_finite(make: Callable[[float], Prediction], threshold: float) -> None:
    with pytest.raises(ClaimError, match=f"needs a finite threshold, and got {threshold}"):
        make(threshold)


@pytest.mark.parametrize("make", [at_least, at_most, greater_than])
@pytest.mark.parametrize("threshold", ["0.3", None, [0.3]])
def test_a_threshold_is_a_number(make: Callable[..., Prediction], threshold: object) -> None:
    with pytest.raises(ClaimError, match="needs a finite threshold, and got"):
        make(threshold)


@pytest.mark.parametrize(
    ("make", "expecting", "words"),
    [
        (at_least, 0.4, ">= 0.5"),
        (at_most, 0.6, "<= 0.5"),
        (greater_than, 0.5, "> 0.5"),
        (lambda t, **more: negligible(within=t, **more), -0.6, "within ±0.5"),
        (at_least, math.nan, ">= 0.5"),
    ],
)
def test_expecting_the_wrong_side_is_refused(make: Callable[..., Prediction], expecting: float, words: str) -> None:
    with pytest.raises(ClaimError, match=f"expecting={expecting} would not make {words} true.*own side"):
        make(0.5, expecting=expecting)


def test_expecting_is_finite() -> None:
    with pytest.raises(ClaimError, match="expecting=inf"):
        at_least(0.5, expecting=math.inf)


@given(numbers, st.floats(0, 50))
def test_expecting_the_claims_own_side_is_accepted(threshold: float, more: float) -> None:
    assert at_least(threshold, expecting=threshold + more).expecting == threshold + more
    assert at_most(threshold, expecting=threshold - more).expecting == threshold - more


@pytest.mark.parametrize("alpha", [0, 0.5, -0.05, 5, math.nan])
def test_alpha_lies_between_nothing_and_a_half(alpha: float) -> None:
    with pytest.raises(ClaimError, match=rf"alpha={alpha} must lie between 0 and 0.5; 0.05 is the default"):
        at_least(0.3, alpha=alpha)


@pytest.mark.parametrize("power", [0, 0.05, 1, 80, math.nan])
def test_power_lies_between_alpha_and_one(power: float) -> None:
    with pytest.raises(ClaimError, match=rf"power={power} must lie between alpha and 1; 0.8 is the default"):
        at_least(0.3, power=power)


def test_a_claim_that_something_matters_needs_a_placebo_and_a_null_needs_a_positive_control() -> None:
    matters, nothing = (at_least(0.3), greater_than(0.3)), (at_most(0.3), negligible(within=0.3))
    assert all(p.needs_placebo and not p.needs_positive_control for p in matters)
    assert all(p.needs_positive_control and not p.needs_placebo for p in nothing)
