"""Predictions: which side is claimed, and what no sample could show."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.predictions import (
    Prediction,
    at_least,
    at_most,
    between,
    greater_than,
    negligible,
    unchanged,
)
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
        (between(-0.1, 0.25), "between -0.1 and 0.25"),
        (unchanged(margin=0.1), "unchanged, margin 0.1"),
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
        assert unchanged(margin=threshold).holds(effect) is (effect >= -threshold)
    assert between(threshold, threshold + 1).holds(effect) is (threshold <= effect <= threshold + 1)


@given(numbers, numbers)
def test_the_gap_is_the_way_to_the_nearest_end(threshold: float, effect: float) -> None:
    assert at_least(threshold).gap(effect) == effect - threshold
    assert at_most(threshold).gap(effect) == threshold - effect
    assert between(threshold, threshold + 1).gap(effect) == min(effect - threshold, threshold + 1 - effect)
    if threshold > 0:
        assert negligible(within=threshold).gap(effect) == pytest.approx(threshold - abs(effect))
        assert unchanged(margin=threshold).gap(effect) == effect + threshold


@pytest.mark.parametrize("margin", [0, -0.1, -0.0])
def test_unchanged_within_nothing_leaves_no_room(margin: float) -> None:
    with pytest.raises(ClaimError, match=rf"unchanged\(margin={margin}\) leaves no room.*still call unchanged"):
        unchanged(margin=margin)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.3), (0.5, 0.2), (0, -0.0)])
def test_between_nothing_leaves_no_room(low: float, high: float) -> None:
    with pytest.raises(ClaimError, match=rf"between\({low}, {high}\) leaves no room.*smaller end first"):
        between(low, high)


def test_only_between_has_a_second_end() -> None:
    with pytest.raises(ClaimError, match=r"at_least has one threshold, and upper=0.5 was given too"):
        Prediction("at_least", 0.3, upper=0.5)
    with pytest.raises(ClaimError, match="between needs a finite threshold, and got None"):
        Prediction("between", 0.3)


@pytest.mark.parametrize("smallest", [0, math.nan, math.inf, "0.1", True])
def test_the_smallest_effect_of_interest_is_a_size(smallest: object) -> None:
    with pytest.raises(ClaimError, match="the smallest effect of interest is a finite number other than 0"):
        at_least(-1, smallest=smallest)  # type: ignore[arg-type]


def test_the_smallest_effect_of_interest_lies_on_the_claims_own_side() -> None:
    for make, smallest in ((at_least, 0.4), (at_most, 0.6), (greater_than, 0.5)):
        with pytest.raises(ClaimError, match=f"smallest={smallest} would not make .* true"):
            make(0.5, smallest=smallest)
    with pytest.raises(ClaimError, match=r"smallest=0.6 would not make between 0.2 and 0.5 true"):
        between(0.2, 0.5, smallest=0.6)


def test_pairs_are_counted_for_what_is_expected_else_for_the_smallest_of_interest() -> None:
    assert at_least(0.3).assumed is None
    assert at_least(0.3, smallest=0.4).assumed == 0.4
    assert at_least(0.3, smallest=0.4, expecting=0.6).assumed == 0.6


@pytest.mark.parametrize("within", [0, -0.1, -0.0])
def test_negligible_within_nothing_leaves_no_room(within: float) -> None:
    with pytest.raises(
        ClaimError, match=rf"negligible\(within={within}\) leaves no room: no sample.*still call nothing"
    ):
        negligible(within=within)


@pytest.mark.parametrize(
    "make",
    [
        at_least,
        at_most,
        greater_than,
        lambda t: negligible(within=t),
        lambda t: unchanged(margin=t),
        lambda t: between(t, 2),
        lambda t: between(0, t),
    ],
)
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


@pytest.mark.parametrize(
    ("prediction", "is_null"),
    [
        (between(0.1, 0.3), False),
        (between(-0.3, -0.1), False),
        (between(-0.3, 0.1), True),
        (between(0, 0.1), True),
        (between(-0.1, 0), True),
        (unchanged(margin=0.1), True),
        (at_most(-0.1), None),
    ],
)
def test_a_range_that_holds_zero_is_a_null(prediction: Prediction, is_null: bool | None) -> None:
    assert prediction.needs_positive_control is (is_null is not False)
    assert prediction.needs_placebo is (is_null is not True)
