"""A latent reasoner's planned runs against whole ones: nothing forked, nothing trimmed, all computed every time."""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest import accuracy, embed, every, exact_match, index, last, logit_diff, span, step, thought
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import mean, replace, zero
from causaltest.asking.sites import Site
from causaltest.measuring.engine import WHOLE
from causaltest.measuring.planner import Limits

EXAMPLES = max(12, int(os.environ.get("CAUSALTEST_EXAMPLES", "0")) // 5)
LAYERS, HEADS, THOUGHTS, PROMPT, TOKENS = 12, 4, 6, 45, 3
CLOSE = 2e-5
"""Relative to the largest logit. Rounding grows from thought to thought, and was seen to reach 1.3e-5."""
STREAM = ("resid_pre", "resid_mid", "resid_post")
OTHERS = ("attn_out", "mlp_out", "q", "k", "v", "head", "neuron")
WAYS = (("denoise", replace), ("noise", replace), ("ablate", zero), ("ablate", mean))


def some(largest, most=3):
    return st.lists(st.integers(0, largest), min_size=1, max_size=most, unique=True).map(tuple)


def positions(tokens, one):
    """In the prompt, at thoughts, at generated tokens; one of them, where a mean is taken."""
    single = st.one_of(
        st.integers(-PROMPT, PROMPT - 1).map(index),
        st.integers(0, THOUGHTS - 1).map(thought),
        st.integers(0, tokens - 1).map(step),
        st.just(last()),
    )
    if one:
        return single
    return st.one_of(
        single, some(THOUGHTS - 1, 6).map(thought), some(tokens - 1).map(lambda k: step(*k)), st.just(span("number"))
    )


@st.composite
def sites_of(draw, tokens, one):
    sites = []
    for component in draw(st.lists(st.sampled_from(("embed", *STREAM, *OTHERS)), min_size=1, max_size=3)):
        layers = () if component == "embed" else draw(some(LAYERS - 1))
        parts = ()
        if component in ("q", "k", "v", "head"):
            parts = draw(some(HEADS - 1))
        elif component == "neuron":
            parts = draw(some(255))
        sites.append(Site(component, layers, parts, draw(positions(tokens, one))))
    return tuple(dict.fromkeys(sites))


@st.composite
def experiments_of(draw, pairs):
    asked = []
    for _ in range(draw(st.integers(1, 4))):
        direction, by = draw(st.sampled_from(WAYS))
        metric = draw(st.sampled_from([accuracy, exact_match(max_new_tokens=TOKENS), logit_diff]))
        sites = draw(sites_of(metric.max_new_tokens or 1, by == mean))
        asked.append(Experiment(Patching("ducks", direction, pairs, sites, by), "change", metric, controls=False))
    return list({e.digest: e for e in asked}.values())


def same(given, wanted, *, chosen):
    for n, (mine, theirs) in enumerate(zip(given.logits, wanted.logits, strict=True)):
        assert float((mine - theirs).abs().max()) <= CLOSE * max(1.0, float(theirs.abs().max()))
        best = theirs.topk(2).values
        if not chosen or float(best[0] - best[1]) < 1e-3:
            return
        assert given.tokens[n] == wanted.tokens[n]


def check(planned, model, asked, budget=None):
    """Every patched run of every pair."""
    mine = planned(model, asked, budget=budget)
    whole = planned(model, asked, shortcuts=WHOLE)
    assert all(wave.whole for plan in whole.plan() for wave in plan.waves)
    assert not any(wave.whole for plan in mine.plan() for wave in plan.waves)
    for one, other in zip(mine.studies, whole.studies, strict=True):
        for pair in mine.pairs.ids:
            theirs = whole.gave[other.patched.arm, pair]
            same(mine.gave[one.patched.arm, pair], theirs, chosen=mine.chooses)
    for side in ("clean", "corrupt"):
        for pair in mine.pairs.ids:
            same(mine.gave[side, pair], whole.gave[side, pair], chosen=True)
    return mine


@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_any_sites_of_the_ducks_together_give_what_whole_runs_give(ducks, twins, planned, tight, data):
    pairs = twins[data.draw(st.integers(0, 10)) :][: data.draw(st.integers(1, 2))]
    asked = data.draw(experiments_of(pairs))
    limits = Limits(
        data.draw(st.sampled_from((40, 150, 1 << 16))),
        data.draw(st.sampled_from((1, 3, 64))),
        data.draw(st.integers(0, 50)),
    )
    check(planned, ducks.backend.loaded, asked, tight(data.draw(st.integers(1, 2)), limits))


def test_all_layers_and_thoughts_in_one_plan_give_what_whole_runs_give(ducks, twins, planned):
    """A sweep over thoughts: rows that fork off at each of them, and go on together."""
    pairs = twins[:1]
    asked = [
        Experiment(
            Patching("ducks", "denoise", pairs, (Site("resid_post", (layer,), (), thought(k)),)),
            "change",
            accuracy,
            controls=False,
        )
        for layer in range(LAYERS)
        for k in range(THOUGHTS)
    ]
    batch = check(planned, ducks.backend.loaded, asked)
    ((wave,),) = [plan.waves for plan in batch.plan()]
    # A forward for each thought and one for the end, where whole runs need one for each of a row's segments.
    assert len(wave.steps) == THOUGHTS + 1
    assert [step_.rows for step_ in wave.steps] == [12, 24, 36, 48, 60, 72, 72]


@pytest.mark.parametrize("position", [every(), thought(range(THOUGHTS)), index(9), step(0)], ids=str)
def test_the_accuracy_of_the_ducks_is_that_of_whole_runs(ducks, twins, planned, position):
    pairs = twins[:3]
    sites = [embed(position), *(Site("resid_post", (layer,), (), position) for layer in (5, 6, 10))]
    asked = [
        Experiment(Patching("ducks", way, pairs, (site,)), "change", accuracy, controls=False)
        for site in sites
        for way in ("denoise", "noise")
    ]
    batch = check(planned, ducks.backend.loaded, asked)
    right = {tuple(gave.tokens) for gave in batch.gave.values()}
    assert len(right) > 1


def test_whole_runs_are_not_what_planned_runs_compute(ducks, twins, planned, forwards):
    """The comparison compares two ways, of which one computes far fewer tokens."""
    asked = [
        Experiment(
            Patching("ducks", "denoise", twins[:1], (Site("resid_post", (6,), (), thought(5)),)), "change", accuracy
        )
    ]
    counted = []
    handle = ducks.backend.loaded.blocks[11].block.register_forward_hook(
        lambda _, args, __: counted.append(args[0].shape[0] * args[0].shape[1])
    )
    try:
        planned(ducks.backend.loaded, asked)
        few = sum(counted)
        counted.clear()
        planned(ducks.backend.loaded, asked, shortcuts=WHOLE)
    finally:
        handle.remove()
    assert few * 5 < sum(counted)
    assert torch.is_inference_mode_enabled() is False
