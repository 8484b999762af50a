"""Metrics: their options, and the options that they do not have."""

from __future__ import annotations

import pytest

from causaltest.asking.metrics import Metric, accuracy, exact_match, logit, logit_diff
from causaltest.errors import ClaimError


@pytest.mark.parametrize(("metric", "kind"), [(accuracy, "binary"), (exact_match, "binary"), (logit, "continuous")])
def test_a_metric_knows_its_kind_and_reads_as_its_name(metric: Metric, kind: str) -> None:
    assert metric.kind == kind
    assert str(metric) == metric.name


def test_options_give_another_metric_and_leave_the_first_alone() -> None:
    clipped = logit_diff(range=(-5, 5), first_token=True)
    assert (clipped.range, clipped.first_token) == ((-5, 5), True)
    assert (logit_diff.range, logit_diff.first_token) == (None, False)
    assert clipped != logit_diff
    assert exact_match(extract="last_number", max_new_tokens=4).extract == "last_number"
    assert logit() == logit


@pytest.mark.parametrize(
    ("metric", "option", "has"),
    [
        (accuracy, "first_token", "none"),
        (exact_match, "range", r"\['extract', 'max_new_tokens'\]"),
        (logit, "max_new_tokens", r"\['first_token', 'range'\]"),
        (logit_diff, "rnage", r"\['first_token', 'range'\]"),
    ],
)
def test_an_option_that_a_metric_has_not_is_refused_with_those_it_has(metric: Metric, option: str, has: str) -> None:
    with pytest.raises(ClaimError, match=rf"{metric.name} has no option '{option}'; it has {has}\."):
        metric(**{option: 1})


@pytest.mark.parametrize(
    "span", [(1, 0), (0, 0), (0, float("inf")), (float("nan"), 1), (0, 1, 2), (1,), 5, ("a", "b"), "01"]
)
def test_a_range_is_two_finite_numbers_the_smaller_first(span: object) -> None:
    with pytest.raises(ClaimError, match=r"range=.* must be two finite numbers, the smaller first"):
        logit(range=span)


def test_a_range_may_be_a_list_and_is_the_same_range() -> None:
    assert logit(range=[0, 1]) == logit(range=(0, 1))
    assert hash(logit(range=[0, 1])) == hash(logit(range=(0, 1)))


@pytest.mark.parametrize("extract", ["last_nunber", "number", None])
def test_an_extraction_that_is_not_known_is_refused(extract: object) -> None:
    with pytest.raises(ClaimError, match=r"extract=.*text.*last_number"):
        exact_match(extract=extract)


@pytest.mark.parametrize("count", [0, -3, 2.5, None, True])
def test_at_least_one_token_is_generated(count: object) -> None:
    with pytest.raises(ClaimError, match=r"max_new_tokens=.*whole number from 1"):
        exact_match(max_new_tokens=count)
