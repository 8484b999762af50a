"""Experiments: what can be asked, and that a digest stands for exactly one of them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking import interventions
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import Metric, accuracy, exact_match, logit, logit_diff
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import Position, every, first, index, last, span, step, thought
from causaltest.asking.sites import Site, attn_out, embed, head, neuron, resid_post, resid_pre
from causaltest.errors import ClaimError

PAIRS = Pairs([Pair(clean="2 ducks", corrupt="3 ducks", answer="2", cluster="a")])
OTHERS = Pairs([Pair(clean="2 ducks", corrupt="4 ducks", answer="2", cluster="a")])
LOSES = ("drop", "change")
QUANTITIES = {"denoise": ("recovery", "change"), "noise": LOSES, "ablate": LOSES, "steer": LOSES}
ABLATIONS = [
    interventions.zero,
    interventions.mean,
    interventions.mean(over=OTHERS),
    interventions.resample,
    interventions.scale(0.5),
    interventions.gaussian(sd=1),
]
BY = {
    "denoise": [interventions.replace],
    "noise": [interventions.replace],
    "ablate": ABLATIONS,
    "steer": [interventions.add([1.0]), interventions.add([1.0], times=2), interventions.add([2.0])],
}

few = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True)
positions: st.SearchStrategy[Position] = st.one_of(
    st.just(every()),
    st.just(last()),
    st.sampled_from(["s", "t"]).flatmap(
        lambda text: st.sampled_from([span(text), first(text), last(text), first(span(text)), last(span(text))])
    ),
    st.builds(lambda n: first("s", occurrence=n), st.integers(0, 1)),
    few.map(lambda n: thought(*n)),
    few.map(lambda n: index(*n)),
    few.map(lambda n: step(*n)),
)
sites: st.SearchStrategy[Site] = st.one_of(
    st.builds(resid_pre, few, positions),
    st.builds(resid_post, few, positions),
    st.builds(attn_out, few, positions),
    st.builds(head, few, few, positions),
    st.builds(neuron, few, few, positions),
    st.builds(embed, positions),
    st.builds(lambda at, vector: resid_post(1, at).along(vector), positions, st.sampled_from([[1.0], [2.0]])),
)
metrics: st.SearchStrategy[Metric] = st.sampled_from(
    [
        accuracy,
        logit,
        logit_diff,
        logit(range=(-1, 1)),
        logit(first_token=True),
        exact_match,
        exact_match(extract="last_number"),
        exact_match(max_new_tokens=3),
    ]
)


@st.composite
def experiments(draw: st.DrawFn) -> Experiment:
    direction = draw(st.sampled_from(sorted(QUANTITIES)))
    return Experiment(
        Patching(
            model=draw(st.sampled_from(["a", "b"])),
            direction=direction,  # type: ignore[arg-type]
            pairs=draw(st.sampled_from([PAIRS, OTHERS])),
            sites=tuple(draw(st.lists(sites, min_size=1, max_size=2))),
            intervention=draw(st.sampled_from(BY[direction])),
        ),
        quantity=draw(st.sampled_from(QUANTITIES[direction])),  # type: ignore[arg-type]
        metric=draw(metrics),
        controls=draw(st.booleans()),
        placebo_draws=draw(st.integers(0, 2)),
        seed=draw(st.sampled_from(["", "0", "1"])),
    )


def asked(
    direction: str = "denoise", quantity: str = "recovery", *, metric: Metric = accuracy, **more: Any
) -> Experiment:
    patching = {"model": "m", "pairs": PAIRS, "sites": (resid_post(6, thought(0)),), **more}
    return Experiment(Patching(direction=direction, **patching), quantity, metric)  # type: ignore[arg-type]


# the digest


@given(experiments(), experiments())
def test_two_experiments_are_equal_exactly_when_their_digests_are(one: Experiment, other: Experiment) -> None:
    assert (one == other) is (one.canonical() == other.canonical()) is (one.digest == other.digest)


@given(experiments())
def test_an_equal_experiment_built_again_has_the_same_digest(one: Experiment) -> None:
    patching = dataclasses.replace(one.patching, pairs=Pairs(list(one.patching.pairs)))
    again = dataclasses.replace(one, patching=patching)
    assert again == one
    assert again.digest == one.digest


def changes_of(one: Experiment) -> list[Experiment]:
    """The experiment with one thing changed, once for each thing that there is."""
    site, metric = one.patching.sites[0], one.metric
    position = site.position

    def elsewhere(**change: Any) -> Experiment:
        return patched(sites=(dataclasses.replace(site, **change), *one.patching.sites[1:]))

    def patched(**change: Any) -> Experiment:
        return dataclasses.replace(one, patching=dataclasses.replace(one.patching, **change))

    def measured(**change: Any) -> Experiment:
        return dataclasses.replace(one, metric=dataclasses.replace(metric, **change))

    turned = {"denoise": ("noise", "drop"), "noise": ("denoise", "recovery")}
    direction, quantity = turned.get(one.patching.direction, ("noise", "drop"))
    others = [by for by in BY[one.patching.direction] if by != one.patching.intervention]
    kept = {} if one.patching.direction in turned else {"intervention": interventions.replace}
    within = None if site.within is not None else interventions.direction([9.0])
    return [
        patched(model=one.patching.model + "!"),
        patched(pairs=OTHERS if one.patching.pairs == PAIRS else PAIRS),
        patched(sites=(*one.patching.sites, site)),
        dataclasses.replace(
            one,
            patching=dataclasses.replace(one.patching, direction=direction, **kept),
            quantity="change" if one.quantity == "change" else quantity,
        ),
        *(patched(intervention=by) for by in others),
        elsewhere(within=within),
        elsewhere(component="mlp_out"),
        elsewhere(layers=(*site.layers, 99)),
        elsewhere(parts=(*site.parts, 99)),
        elsewhere(position=dataclasses.replace(position, kind="everywhere")),
        elsewhere(position=dataclasses.replace(position, numbers=(*position.numbers, 99))),
        elsewhere(position=dataclasses.replace(position, text="another text")),
        elsewhere(position=dataclasses.replace(position, occurrence=99)),
        elsewhere(position=dataclasses.replace(position, of=span("another span"))),
        measured(name="another metric"),
        measured(range=(-7.0, 7.0)),
        measured(first_token=not metric.first_token),
        measured(extract="another way"),
        measured(max_new_tokens=99),
        dataclasses.replace(
            one, quantity="change" if one.quantity != "change" else QUANTITIES[one.patching.direction][0]
        ),
        dataclasses.replace(one, controls=not one.controls),
        dataclasses.replace(one, placebo_draws=one.placebo_draws + 1),
        dataclasses.replace(one, seed=one.seed + "!"),
    ]


@settings(max_examples=50)
@given(experiments())
def test_any_change_of_an_experiment_changes_its_digest(one: Experiment) -> None:
    changed = changes_of(one)
    for other in changed:
        assert other != one
        assert other.digest != one.digest, (one, other)
    assert len({other.digest for other in changed}) == len(changed)


def test_a_range_from_minus_zero_is_a_range_from_zero() -> None:
    assert asked(metric=logit(range=(-0.0, 1))).digest == asked(metric=logit(range=(0.0, 1))).digest


@given(experiments())
def test_the_canonical_form_is_plain_data(one: Experiment) -> None:
    assert json.loads(json.dumps(one.canonical())) == one.canonical()


def test_the_digest_is_the_same_in_another_process() -> None:
    code = (
        "from causaltest import *\nfrom causaltest.asking.experiment import Experiment, Patching\n"
        "pairs = Pairs([Pair(clean='2 ducks', corrupt='3 ducks', answer='2', cluster='a')])\n"
        "print(Experiment(Patching('m', 'denoise', pairs, (resid_post(6, thought(0)),)), 'recovery', accuracy).digest)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == asked().digest


# what can be asked


@pytest.mark.parametrize(
    ("direction", "quantity", "has"),
    [
        ("denoise", "drop", "recovery and change"),
        ("noise", "recovery", "drop and change"),
        ("ablate", "recovery", "drop and change"),
    ],
)
def test_a_quantity_that_a_direction_has_not_is_refused_with_those_it_has(
    direction: str, quantity: str, has: str
) -> None:
    by = {"intervention": interventions.zero} if direction == "ablate" else {}
    with pytest.raises(ClaimError, match=rf"{direction} has no {quantity}; it has {has}"):
        asked(direction, quantity, **by)


def test_an_unknown_direction_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ClaimError, match="direction='restore' is not known; it is 'denoise', 'noise', 'ablate' or 'steer'"
    ):
        asked("restore")


def test_ablating_by_another_runs_activation_is_refused() -> None:
    with pytest.raises(ClaimError, match=r"ablate takes by=zero, mean, .*; lab\.noise puts the corrupt run"):
        asked("ablate", "drop")


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("by", [interventions.zero, interventions.mean])
def test_denoising_and_noising_by_zeros_or_means_is_refused(direction: str, by: interventions.Intervention) -> None:
    with pytest.raises(ClaimError, match=rf"{direction} puts the other run's.*by={by} was given.*direction='ablate'"):
        asked(direction, "change", intervention=by)


# what it says of itself


def test_the_summary_names_quantity_metric_direction_and_site() -> None:
    assert asked().summary == "recovery(accuracy), denoise resid_post L6 @ thought 0"
    ablated = asked("ablate", "drop", intervention=interventions.mean, sites=(head(9, 6), head(9, 7)))
    assert ablated.summary == (
        "drop(accuracy), ablate head L9 H6 @ every position + head L9 H7 @ every position by mean"
    )
    assert ablated.site == "head L9 H6 @ every position + head L9 H7 @ every position"
