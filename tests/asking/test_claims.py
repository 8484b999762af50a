"""claim: what the decorator keeps, and what it will not decorate."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.claims import CLAIM_ATTRIBUTE, Claim, claim
from causaltest.asking.orderings import top
from causaltest.asking.predictions import at_least
from causaltest.asking.stopping import stopping_of
from causaltest.effect import Effect
from causaltest.errors import ClaimError

PREDICTION = at_least(0.3)
EFFECT = Effect.from_values([1, 0], kind="binary", iid=True)


def declared(function: object) -> Claim:
    return getattr(function, CLAIM_ATTRIBUTE)  # type: ignore[no-any-return]


def test_a_claim_keeps_its_sentence_prediction_body_and_names() -> None:
    def body() -> Effect:
        return EFFECT

    made = claim("Ducks matter.", PREDICTION, id="ducks", model="organism:ducks", family="birds")(body)
    assert declared(made) == Claim("Ducks matter.", PREDICTION, body, "ducks", "organism:ducks", "birds")
    assert declared(claim("Ducks matter.", PREDICTION)(body)) == Claim("Ducks matter.", PREDICTION, body)


def test_a_claim_looks_to_pytest_like_its_body() -> None:
    def test_ducks(lab: Any, layer: int = 3) -> Effect:
        """Ducks."""
        return EFFECT

    made = claim("Ducks matter.", PREDICTION)(pytest.mark.skipif(False, reason="")(test_ducks))
    assert made.__name__ == "test_ducks"
    assert made.__doc__ == "Ducks."
    assert list(inspect.signature(made).parameters) == ["lab", "layer"], "fixtures are found by name"
    assert [mark.name for mark in made.pytestmark] == ["skipif"]  # type: ignore[attr-defined]


def test_a_claim_called_without_the_plugin_raises_instead_of_passing() -> None:
    measured = []

    @claim("Ducks matter.", PREDICTION)
    def test_ducks(x: int) -> Effect:
        measured.append(x)
        return EFFECT

    with pytest.raises(ClaimError, match=r"'Ducks matter.' was called without the causaltest plugin.*-p causaltest"):
        test_ducks(3)
    assert not measured


@pytest.mark.parametrize("sentence", ["", "  \n", None, at_least(0.3), lambda: EFFECT])
def test_a_claim_without_a_sentence_is_refused(sentence: Any) -> None:
    with pytest.raises(ClaimError, match=r"A claim starts with a sentence, and .* was given"):
        claim(sentence, PREDICTION)


@pytest.mark.parametrize("prediction", [None, 0.3, ">= 0.3", at_least])
def test_a_claim_without_a_prediction_is_refused_with_examples(prediction: Any) -> None:
    with pytest.raises(ClaimError, match=r"'Ducks matter.' needs a prediction such as at_least\(0\.3\) or negligible"):
        claim("Ducks matter.", prediction)


def test_a_claim_around_a_hypothesis_test_is_refused_at_decoration() -> None:
    @given(st.integers())
    def test_law(x: int) -> None: ...

    with pytest.raises(ClaimError, match=r"'Ducks matter.' is also a Hypothesis test.*not a sample of a population"):
        claim("Ducks matter.", PREDICTION)(test_law)


def test_a_hypothesis_test_around_a_claim_can_still_be_told_and_never_passes() -> None:
    @given(st.integers())
    @claim("Ducks matter.", PREDICTION)
    def test_law(x: int) -> Effect:
        return EFFECT

    assert declared(test_law.hypothesis.inner_test).sentence == "Ducks matter."  # type: ignore[attr-defined]
    with pytest.raises(ClaimError, match="called without the causaltest plugin"):
        test_law()


def test_an_order_is_judged_once() -> None:
    claim("One layer is best.", top(1, 9))
    with pytest.raises(ClaimError, match=r"is about an order of effects \(9 in the top 1\), which is judged once"):
        claim("One layer is best.", top(1, 9), stopping="anytime")


@pytest.mark.parametrize(
    ("rule", "looks", "message"),
    [
        (None, 4, "looks=4 needs a rule that pays for them"),
        ("pocock", None, "stopping='pocock' is not known; it is one of obrien-fleming, anytime"),
        ("obrien-fleming", 1, "looks=1 must be a whole number from 2 to 20"),
        ("obrien-fleming", 21, "looks=21 must be a whole number from 2 to 20"),
        ("anytime", 2.0, "looks=2.0 must be a whole number from 2 to 1000"),
        ("anytime", True, "looks=True must be a whole number"),
    ],
)
def test_a_stopping_rule_that_means_nothing_is_refused(rule: Any, looks: Any, message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        claim("It matters.", at_least(0.5), stopping=rule, looks=looks)(lambda: None)  # type: ignore[arg-type, return-value]


def test_the_usual_looks_of_a_rule() -> None:
    assert str(stopping_of("obrien-fleming", None)) == "obrien-fleming, 4 looks"
    assert str(stopping_of("anytime", None)) == "anytime, 20 looks"
    assert stopping_of(None, None) is None
