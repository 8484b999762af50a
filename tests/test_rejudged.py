"""A verdict judged again from what was saved: the same to the last bit, whatever kind of claim."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from simulated import CLUSTERED, IID, RANGED, Simulated, change, heads, layers, measured, minus, recovered, values

from causaltest.asking.metrics import accuracy, logit_diff
from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible, unchanged
from causaltest.effect import PositiveControl, SelfPatch, Waived
from causaltest.errors import JudgementError, RecordError
from causaltest.rejudged import differing, rejudged
from causaltest.verdict import Verdict
from causaltest.writing.exact import exact


def whole(verdict: Verdict) -> str:
    """Every field, numbers to their last bit."""
    return exact(asdict(verdict))


PREDICTIONS = st.sampled_from(
    [
        at_least(0.3, expecting=0.6),
        at_least(0.55, alpha=0.01, power=0.9),
        at_most(0.4, smallest=0.1),
        at_most(-0.1),
        between(0.2, 0.9),
        negligible(within=0.2),
        greater_than(0, smallest=0.05),
        unchanged(margin=0.1),
    ]
)
CONTROLS = st.sampled_from(
    [
        {},
        {"placebo": Waived("no other pair")},
        {"placebo": None},
        {"positive": PositiveControl(0.1, 0.5, "everywhere")},
        {"self_patch": SelfPatch(0.5, 1e-6)},
        {"distance": None, "elsewhere": True},
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    prediction=PREDICTIONS,
    body=st.sampled_from([change, recovered, minus]),
    metric=st.sampled_from([accuracy, RANGED, logit_diff]),
    rate=st.sampled_from([0.02, 0.3, 0.55, 0.97]),
    controls=CONTROLS,
    pairs=st.sampled_from([IID, CLUSTERED]),
    out=st.sampled_from([0.0, 0.3, 1.0]),
    size=st.sampled_from([1, 9]),
    seed=st.sampled_from(["", "7", "another"]),
)
def test_one_effect_is_judged_to_the_same_verdict(
    prediction, body, metric, rate, controls, pairs, out, size, seed
) -> None:
    backend = Simulated(rate, controls=controls, out=out)
    try:
        verdict, saved = measured(body, prediction, backend, pairs=pairs, size=size, seed=seed, metric=metric)
    except JudgementError:
        reject()  # a prediction that is not for such an effect
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if saved.effects:
        assert whole(again) == whole(verdict)
    else:
        assert again.outcome == verdict.outcome == "INVALID"


@settings(max_examples=25, deadline=None)
@given(
    named=st.sampled_from(
        [
            (layers, monotone([1, 3, 5, 7], expecting=0.1)),
            (layers, monotone([7, 5, 3, 1])),
            (layers, top(2, [7, 5])),
            (heads, top(1, (5, 0), smallest=0.05)),
            (heads, monotone([(1, 0), (3, 0), (5, 0)])),
        ]
    ),
    metric=st.sampled_from([accuracy, RANGED]),
    rate=st.sampled_from([0.05, 0.5]),
    pairs=st.sampled_from([IID, CLUSTERED]),
    size=st.sampled_from([1, 4]),
)
def test_an_order_of_effects_is_judged_to_the_same_verdict(named, metric, rate, pairs, size) -> None:
    body, prediction = named
    verdict, saved = measured(body, prediction, Simulated(rate), pairs=pairs, size=size, metric=metric)
    assert whole(rejudged(saved)) == whole(verdict)


@settings(max_examples=25, deadline=None)
@given(
    prediction=st.sampled_from([at_least(0.5), greater_than(0), negligible(within=0.3)]),
    rule=st.sampled_from([("obrien-fleming", None), ("obrien-fleming", 3), ("anytime", None), ("anytime", 5)]),
    metric=st.sampled_from([accuracy, RANGED]),
    rate=st.sampled_from([0.05, 0.5, 0.95]),
    pairs=st.sampled_from([IID, CLUSTERED]),
    out=st.sampled_from([0.0, 0.4, 1.0]),
    controls=st.sampled_from([{}, {"placebo": None}, {"self_patch": SelfPatch(0.5, 1e-6)}]),
    seed=st.sampled_from(["", "7"]),
)
def test_a_sequential_claim_is_judged_to_the_verdict_of_its_last_look(
    prediction, rule, metric, rate, pairs, out, controls, seed
) -> None:
    looks = min(rule[1] or 4, 10) if rule[0] == "obrien-fleming" else rule[1] or 10
    backend = Simulated(rate, controls=controls, out=out)
    verdict, saved = measured(
        change, prediction, backend, pairs=pairs, rule=rule[0], looks=looks, seed=seed, metric=metric
    )
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if saved.effects:
        assert whole(again) == whole(verdict)


@settings(max_examples=25, deadline=None)
@given(
    prediction=st.sampled_from([at_least(0.3), at_most(0.5), at_least(0.9)]),
    share=st.sampled_from([1.0, 0.75, 0.34, 0.1]),
    rate=st.sampled_from([0.05, 0.5, 0.9]),
    broken=st.sampled_from([-1, 3]),
    sentence=st.sampled_from(["It matters.", "It is necessary."]),
)
def test_variants_are_judged_together_as_they_were(prediction, share, rate, broken, sentence) -> None:
    axes = {"layer": [1, 3, 5], "metric": [accuracy, RANGED]}
    backend = Simulated(rate, broken=broken)
    verdict, saved = measured(change, prediction, backend, axes=axes, share=share, size=3, sentence=sentence)
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if len(saved.effects) == 6:
        assert whole(again) == whole(verdict)
    else:
        assert whole(replace(again, reason="")) == whole(replace(verdict, reason=""))


def test_names_that_are_decimals_or_words_are_found_again() -> None:
    def body(lab, pairs):
        return {0.25: change(lab, pairs, layer=1), 0.5: change(lab, pairs, layer=4), "all": change(lab, pairs, layer=7)}

    for prediction in (monotone([0.25, 0.5, "all"]), top(1, 0.5)):
        verdict, saved = measured(body, prediction, Simulated(0.5))
        assert verdict.outcome != "INVALID"
        assert whole(rejudged(saved)) == whole(verdict)


def test_values_that_were_given_are_judged_to_the_same_verdict() -> None:
    verdict, saved = measured(values, at_least(0.5), Simulated(0.5))
    assert verdict.outcome == "SUPPORTED"
    assert whole(rejudged(saved)) == whole(verdict)


def test_what_cannot_show_what_the_sentence_says_stays_invalid() -> None:
    verdict, saved = measured(change, at_least(0.5), Simulated(0.9), sentence="It is necessary.")
    assert verdict.outcome == "INVALID" and not saved.effects
    assert rejudged(saved).outcome == "INVALID"
    # a body that could not be rehearsed is measured first
    _, other = measured(change, at_least(0.5), Simulated(0.9))
    misdirected = replace(other, spec={**other.spec, "sentence": "It is necessary."})
    assert rejudged(other).outcome == "SUPPORTED"
    assert rejudged(misdirected).outcome == "INVALID"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("estimate", 0.1),
        ("lower", None),
        ("upper", "0.99999"),
        ("alpha", "0.5"),
        ("n", 12),
        ("verdict", "REFUTED"),
        ("estimate", "a number"),
        ("upper", 10**400),
    ],
)
def test_a_verdict_that_was_written_down_otherwise_differs_in_that_field(field: str, value: Any) -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9))
    assert differing(rejudged(saved), saved.told) == []
    (told,) = differing(rejudged(saved), {**saved.told, field: value})
    assert told.startswith(f"{field} ")


def test_a_last_digit_of_another_machine_is_no_difference() -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9), metric=RANGED)
    moved = {**saved.told, "lower": saved.told["lower"] * (1 + 1e-12)}
    assert differing(rejudged(saved), moved) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"prediction": {"kind": "Popen"}},
        {"prediction": {"kind": "Prediction", "relation": "at_least"}},
        {"family": {"size": 0}},
        {"family": {}},
        {"variants": {"names": ["a"], "share": "nan"}},
        {"variants": {"names": [["a"]], "share": "1.0"}},
        {"stopping": {"rule": "obrien-fleming", "looks": 4}},
        {"stopping": {"rule": "anytime", "looks": "x"}},
        {"prediction": None},
        {"prediction": []},
    ],
)
def test_a_spec_that_cannot_be_judged_is_refused_by_name(broken: dict[str, Any]) -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9))
    with pytest.raises(RecordError, match=r"t\.py::a"):
        rejudged(replace(saved, spec={**saved.spec, **broken}))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=8))
def test_any_field_of_a_spec_may_be_anything(value: Any) -> None:
    _, saved = SAVED
    for field in ("prediction", "family", "stopping", "variants"):
        try:
            rejudged(replace(saved, spec={**saved.spec, field: value}))
        except RecordError as error:
            assert "t.py::a" in str(error)


SAVED = measured(change, at_least(0.5), Simulated(0.9))
