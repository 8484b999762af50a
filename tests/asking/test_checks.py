"""Checks: controls on demand, waivers and eligibility, as data of an experiment."""

import dataclasses
from itertools import combinations

import pytest

from causaltest import (
    Lab,
    Pair,
    Pairs,
    Waived,
    accuracy,
    edge,
    embed,
    exact_match,
    head,
    index,
    last,
    logit,
    logit_diff,
    mlp_out,
    resid_post,
    span,
)
from causaltest.asking.checks import AS_USUAL
from causaltest.asking.lab import Rehearsal
from causaltest.effect import Difference
from causaltest.errors import ClaimError, JudgementError
from causaltest.results import counted_if

PAIRS = Pairs([Pair(clean="2 ducks", corrupt="3 ducks", answer="2", corrupt_answer="3", cluster="a")])
SITE = resid_post(6, index(1))


def asked(at=SITE, metric=accuracy, pairs=PAIRS, method="patched", **checks):
    """The experiment that a reading asks for."""
    lab = Lab(backend=Rehearsal("m"), name="m")
    lab.denoise(pairs, at=at, method=method).recovery(metric, **checks)
    return lab.experiments[-1]


def test_without_checks_an_experiment_is_what_it_always_was():
    plain = asked()
    assert plain.checks == AS_USUAL
    assert not {"waived", "wrong", "eligible", "both_right"} & set(plain.canonical())
    assert asked(metric=accuracy, eligible=accuracy).digest == plain.digest


def test_every_check_is_a_part_of_the_experiment():
    given = [
        {},
        {"wrong_layer": 2},
        {"wrong_layer": [2, 3]},
        {"wrong_position": index(0)},
        {"wrong_position": [index(0), last()]},
        {"both_right": True},
        {"placebo": False},
        {"placebo": Waived("a")},
        {"placebo": Waived("b")},
        {"self_patch": Waived("a")},
        {"positive": Waived("a")},
    ]
    made = [asked(**checks) for checks in given]
    made += [asked(metric=logit_diff, eligible=rule) for rule in (None, accuracy, exact_match)]
    assert all(a.digest != b.digest for a, b in combinations(made, 2))


def test_wrong_places_are_the_same_patch_elsewhere():
    one = asked([head(6, 1, index(1)), mlp_out(6, index(1))], wrong_layer=[2, 2], wrong_position=last())
    layer, position = one.checks.wrong_places
    assert (layer.what, layer.sites) == ("layer 2", (head(2, 1, index(1)), mlp_out(2, index(1))))
    assert (position.what, position.sites) == ("last()", (head(6, 1, last()), mlp_out(6, last())))


@pytest.mark.parametrize(
    ("at", "checks", "told"),
    [
        (SITE, {"wrong_layer": 6}, "the claim's own layer"),
        (SITE, {"wrong_layer": [2, 6]}, "the claim's own layer"),
        (SITE, {"wrong_layer": -1}, "takes layers, counted from 0, and got -1"),
        (SITE, {"wrong_layer": True}, "takes layers, counted from 0, and got True"),
        (SITE, {"wrong_layer": "2"}, "takes layers, counted from 0, and got '2'"),
        (resid_post((5, 6), last()), {"wrong_layer": 2}, "has several"),
        ([resid_post(5, last()), resid_post(6, last())], {"wrong_layer": 2}, "has several"),
        (embed(last()), {"wrong_layer": 2}, "has none"),
        (SITE, {"wrong_position": index(1)}, "the claim's own position"),
        (SITE, {"wrong_position": "the"}, "takes positions such as"),
        ([resid_post(5, last()), resid_post(5, index(0))], {"wrong_position": span("s")}, "has several"),
        (edge(embed(last()), mlp_out(1, last())), {"wrong_layer": 2}, "an edge has two ends"),
        (edge(embed(last()), mlp_out(1, last())), {"wrong_position": index(0)}, "an edge has two ends"),
        (SITE, {"self_patch": False}, r'self_patch=False is not known.* self_patch=Waived\("why"\)'),
        (SITE, {"positive": "no"}, "positive='no' is not known"),
        (SITE, {"placebo": 0}, "placebo=0 is not known"),
        (SITE, {"both_right": 1}, "must be True or False"),
        (SITE, {"eligible": logit}, "takes a right-or-wrong metric"),
        (SITE, {"eligible": "accuracy"}, "takes a right-or-wrong metric"),
        (SITE, {"eligible": exact_match}, "accuracy says itself which pairs count"),
    ],
)
def test_what_has_no_meaning_is_refused(at, checks, told):
    with pytest.raises(ClaimError, match=told):
        asked(at, **checks)


def test_a_keyword_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(ClaimError, match=r"recovery\(metric, wrong_layers=...\) is not known; .* wrong_layer, wr"):
        asked(wrong_layers=2)
    sweep = Lab(backend=Rehearsal("m"), name="m").sweep(PAIRS, at=resid_post((5, 6), last()))
    with pytest.raises(ClaimError, match="beside the metric it takes both_right, eligible"):
        sweep.recovery(accuracy, wrong_layer=2)
    with pytest.raises(ClaimError, match="without quotes, and got 'accuracy'"):
        sweep.recovery("accuracy")


def test_both_right_needs_a_metric_that_is_right_or_wrong_and_an_answer_of_the_corrupt_run():
    with pytest.raises(ClaimError, match="add eligible=accuracy"):
        asked(metric=logit_diff, both_right=True)
    assert asked(metric=logit_diff, both_right=True, eligible=accuracy).checks.both_right
    bare = Pairs([dataclasses.replace(PAIRS[0], corrupt_answer=None, id="bare")])
    with pytest.raises(ClaimError, match=r"1 of 1 pairs have none \(bare\)"):
        asked(pairs=bare, both_right=True)
    with pytest.raises(ClaimError, match=r"1 of 1 pairs have none \(bare\)"):
        Lab(backend=Rehearsal("m"), name="m").clean(bare, both_right=True)


def test_an_estimate_has_no_controls_to_ask_for_or_to_waive():
    for checks in ({"wrong_layer": 2}, {"self_patch": Waived("why")}):
        with pytest.raises(ClaimError, match="belong to a patched run"):
            asked(metric=logit_diff, method="attribution", **checks)
    assert asked(metric=logit_diff, method="attribution", eligible=accuracy).checks.eligible == accuracy


def test_a_waiver_without_a_reason_is_refused():
    with pytest.raises(JudgementError, match="needs a reason"):
        asked(positive=Waived(" "))


@pytest.mark.parametrize(
    ("metric", "more", "told"),
    [
        (accuracy, {}, "clean right, corrupt wrong, answers differ"),
        (accuracy, {"both_right": True}, "clean right, corrupt gives its own answer, answers differ"),
        (logit_diff, {}, ""),
        (logit_diff, {"eligible": accuracy}, "by accuracy: clean right, corrupt wrong, answers differ"),
        (
            logit_diff,
            {"eligible": exact_match, "both_right": True},
            "by exact_match: clean right, corrupt gives its own answer, answers differ",
        ),
    ],
)
def test_who_counts_is_told_by_the_rule_that_decides(metric, more, told):
    assert counted_if(asked(metric=metric, **more)) == told


def test_who_counts_is_told_once_where_two_arms_have_one_rule():
    one, other = asked(), asked(at=resid_post(1, last()))
    twins = asked(both_right=True)
    assert counted_if(Difference(one, other)) == counted_if(one)
    assert counted_if(Difference(one, twins)) == f"{counted_if(one)}; {counted_if(twins)}"
    assert counted_if(None) == ""
