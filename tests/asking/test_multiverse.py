"""claim.multiverse: the axes that it takes, their combinations, and what it refuses."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.claims import CLAIM_ATTRIBUTE, Claim, claim
from causaltest.asking.metrics import accuracy, logit_diff
from causaltest.asking.multiverse import Multiverse, multiverse_of
from causaltest.asking.positions import last, span
from causaltest.asking.predictions import at_least
from causaltest.errors import ClaimError

PREDICTION = at_least(0.3)


def declared(function: object) -> Claim:
    return getattr(function, CLAIM_ATTRIBUTE)  # type: ignore[no-any-return]


def body(lab: Any, pairs: Any, metric: Any, position: Any) -> Any:
    raise AssertionError("never run")


AXES: dict[str, Any] = {"metric": [logit_diff, accuracy], "position": [last(), span("subject")]}


@pytest.mark.parametrize("above", [True, False])
def test_below_and_above_claim_it_says_the_same(above: bool) -> None:
    def fresh(lab: Any, pairs: Any, metric: Any, position: Any) -> Any: ...

    claimed, variants = claim("Ducks.", PREDICTION), claim.multiverse(**AXES, share=0.75)
    made = variants(claimed(fresh)) if above else claimed(variants(fresh))
    assert declared(made).multiverse == Multiverse({k: tuple(v) for k, v in AXES.items()}, 0.75)
    assert declared(made).body is fresh
    assert list(inspect.signature(made).parameters) == ["lab", "pairs"], "an axis is no fixture"
    with pytest.raises(ClaimError, match=r"has one claim\.multiverse"):
        variants(made)


def test_a_claim_without_variants_keeps_its_parameters() -> None:
    assert list(inspect.signature(claim("Ducks.", PREDICTION)(body)).parameters) == [
        *inspect.signature(body).parameters
    ]
    assert declared(claim("Ducks.", PREDICTION)(body)).multiverse is None


def test_the_variants_are_all_combinations_with_their_names() -> None:
    variants = multiverse_of(AXES, 1.0).variants()
    assert [v.name for v in variants] == [
        "metric=logit_diff, position=last()",
        "metric=logit_diff, position=span('subject')",
        "metric=accuracy, position=last()",
        "metric=accuracy, position=span('subject')",
    ]
    assert [v.choices["metric"] for v in variants] == [logit_diff, logit_diff, accuracy, accuracy]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.floats(0.001, 1))
def test_the_number_needed_is_the_share_rounded_up(sizes: list[int], share: float) -> None:
    made = multiverse_of({f"axis{i}": range(size) for i, size in enumerate(sizes)}, share)
    assert made.count == len({v.name for v in made.variants()}) == np.prod(sizes)
    assert made.needed - 1 < share * made.count + 1e-9
    assert made.needed >= share * made.count - 1e-9
    assert 1 <= made.needed <= made.count


def test_a_share_that_is_whole_is_not_rounded_up_by_its_last_digit() -> None:
    assert multiverse_of({"n": range(30)}, 0.1).needed == 3, "0.1 * 30 is 3.0000000000000004"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([logit_diff(range=(-1, 1)), logit_diff(range=(-20, 20))], ["logit_diff(-1 to 1)", "logit_diff(-20 to 20)"]),
        ([np.zeros(100), np.ones(100)], ["ndarray #1", "ndarray #2"]),
        ([max, min], ["max", "min"]),
        (["twins", "noise"], ["twins", "noise"]),
        ([1, True], ["1", "True"]),
    ],
)
def test_each_value_has_a_name_of_its_own(values: list[Any], names: list[str]) -> None:
    assert [v.name for v in multiverse_of({"x": values}, 1.0).variants()] == [f"x={name}" for name in names]


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({}, "has no axis; give one as metric="),
        ({"metric": []}, r"metric=\[\]\) has no values"),
        ({"metric": [accuracy, logit_diff, accuracy]}, "has accuracy twice: a variant counts once"),
        ({"metric": accuracy}, r"metric=accuracy\) takes a list of values: metric=\[accuracy, "),
        ({"corruption": "twins"}, r"takes a list of values: corruption=\['twins'"),
        ({"model": ["a", 3]}, r"takes names such as \"organism:ducks\""),
        ({"a": range(11), "b": range(100)}, r"11 x 100 = 1,100 combinations, and 1,000 are accepted"),
    ],
)
def test_axes_that_are_none_are_refused(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(ClaimError, match=told):
        claim.multiverse(**axes)


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan"), "half", True, None])
def test_a_share_that_is_none_is_refused(share: Any) -> None:
    with pytest.raises(ClaimError, match="must lie above 0 and be at most 1"):
        claim.multiverse(share=share, metric=[accuracy])


@pytest.mark.parametrize("above", [True, False])
def test_an_axis_without_a_parameter_is_refused(above: bool) -> None:
    def fresh(lab: Any, metric: Any) -> Any: ...

    claimed, variants = claim("Ducks.", PREDICTION), claim.multiverse(metrics=[accuracy])
    with pytest.raises(ClaimError, match=r"body of 'Ducks\.' has no parameter 'metrics'.*It has lab, metric"):
        _ = variants(claimed(fresh)) if above else claimed(variants(fresh))


def test_models_and_seeds_need_no_parameter() -> None:
    def fresh(lab: Any) -> Any: ...

    made = claim("Ducks.", PREDICTION)(claim.multiverse(model=["organism:ducks"], seed=[1, 2])(fresh))
    assert [v.name for v in declared(made).multiverse.variants()] == [  # type: ignore[union-attr]
        "model=organism:ducks, seed=1",
        "model=organism:ducks, seed=2",
    ]


def test_a_model_is_named_once() -> None:
    def fresh(lab: Any) -> Any: ...

    with pytest.raises(ClaimError, match="names model='organism:ducks', and its multiverse has models too"):
        claim("Ducks.", PREDICTION, model="organism:ducks")(claim.multiverse(model=["organism:planted"])(fresh))


def test_a_claim_that_stops_early_has_no_variants() -> None:
    def fresh(lab: Any) -> Any: ...

    with pytest.raises(ClaimError, match="stops by anytime and has variants"):
        claim("Ducks.", PREDICTION, stopping="anytime")(claim.multiverse(seed=[1, 2])(fresh))
