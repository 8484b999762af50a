"""organism:planted: every site's truth follows from the wiring, and every measurement is exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest import Lab, Pairs, accuracy, every, last, logit, logit_diff, mean, span, zero
from causaltest.asking.sites import Site, attn_out, embed, head, mlp_out, resid_post, resid_pre
from causaltest.organisms import planted, wiring
from causaltest.organisms.planted import HEADS, LAYERS, decoys, on_path

torch.set_num_threads(1)

PAIRS = planted.pairs(per_cluster=1)
SOME = PAIRS[::5]
JANET, NOTE = PAIRS[:9], PAIRS[27:36]
"""Prompts of six and of seven tokens."""
ANSWERS = [pair.answer for pair in JANET]
EVERY_SITE = [
    embed(every()),
    *(where(range(LAYERS), every()) for where in (resid_pre, resid_post, attn_out, mlp_out)),
    head(range(LAYERS), range(HEADS), every()),
]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load(planted.NAME)


def carries(site: Site, value: int, reader: int) -> bool:
    """Whether a single site carries the value, by the wiring: block 0 writes, head 1.0 moves, the output reads."""
    (at,) = site.position.numbers
    layer = site.layers[0] if site.layers else None
    if site.component == "embed":
        return at == value
    if site.component == "resid_pre":
        return at == value if layer in (0, 1) else at == reader
    if site.component == "resid_post":
        return at == value if layer == 0 else at == reader
    if site.component == "mlp_out":
        return (layer, at) == (0, value)
    return (layer, at) == (1, reader) and site.parts in ((), (0,))


# pairs


def test_pairs_differ_in_their_value_and_name_it() -> None:
    assert len(PAIRS) == len(set(PAIRS.clusters or ())) == 45
    for pair in planted.pairs(per_cluster=3):
        start, stop = pair.spans["value"]
        assert pair.clean[start:stop] == pair.answer != pair.corrupt_answer
        assert pair.clean[:start] + str(pair.corrupt_answer) + pair.clean[stop:] == pair.corrupt
        assert pair.clean[slice(*pair.spans["rest"])] == pair.clean[stop + 1 :].removesuffix(" Answer:")
        assert set(pair.clean.split()) <= set(wiring.vocabulary())


def test_pairs_are_drawn_from_their_seed() -> None:
    assert planted.pairs(seed=3) == planted.pairs(seed=3) != planted.pairs(seed=4)


# the model


def test_the_model_answers_every_pair_rightly_by_sixteen_logits(lab: Lab) -> None:
    clean = lab.clean(PAIRS)
    assert clean.eligible == len(PAIRS)
    numbers = lab.denoise(SOME, at=on_path()[0]).recovery(logit_diff, placebo=False).measured
    assert set(numbers.references["clean"]) == {16.0}
    assert set(numbers.references["corrupt"]) == {-16.0}


def test_every_weight_is_a_whole_or_half_number_that_float32_holds_exactly() -> None:
    for name, weight in wiring.wired([wiring.READER]).named_parameters():
        assert torch.equal(weight * 2, (weight * 2).round()), name


# the lists that the organism offers


@pytest.mark.parametrize("site", on_path(), ids=str)
def test_a_site_on_the_path_gives_everything_back(lab: Lab, site: Site) -> None:
    for metric in (accuracy, logit_diff, logit):
        assert lab.denoise(SOME, at=site).recovery(metric, placebo=False).estimate == 1.0
        assert lab.noise(SOME, at=site).drop(metric, placebo=False).estimate == 1.0


@pytest.mark.parametrize("site", decoys(), ids=str)
def test_a_decoy_differs_between_the_runs_and_gives_nothing_back(lab: Lab, site: Site) -> None:
    effects = [
        *(lab.denoise(SOME, at=site).recovery(metric, placebo=False) for metric in (accuracy, logit_diff, logit)),
        *(lab.noise(SOME, at=site).drop(metric, placebo=False) for metric in (accuracy, logit_diff, logit)),
    ]
    for effect in effects:
        assert set(effect.measured.values) == {0.0}
        assert effect.measured.controls.distance is not None
        assert min(effect.measured.controls.distance) > 0


@pytest.mark.parametrize("site", [*on_path(), *decoys()], ids=str)
def test_the_controls_of_every_site_pass(lab: Lab, site: Site) -> None:
    controls = lab.denoise(SOME, at=site).recovery(logit_diff, placebo=False).measured.controls
    assert controls.self_patch is not None and controls.self_patch.moved == 0.0  # type: ignore[union-attr]
    assert controls.positive is not None and controls.positive.estimate == 1.0  # type: ignore[union-attr]


# every site there is


@pytest.mark.parametrize("pairs", [JANET, NOTE], ids=["six tokens", "seven tokens"])
@pytest.mark.parametrize("at", EVERY_SITE, ids=lambda s: s.component)
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_truth_of_every_single_site_is_exact(lab: Lab, pairs: Pairs, at: Site, direction: str) -> None:
    words = pairs[0].clean.split()
    value, reader = words.index(pairs[0].answer), len(words) - 1
    sweep = lab.sweep(pairs, at=at, direction=direction)  # type: ignore[arg-type]
    found = sweep.recovery(logit_diff) if direction == "denoise" else sweep.drop(logit_diff)
    assert len(found.sites) == found.estimate.size
    for site, estimate, distance in zip(found.sites, found.estimates, found.distances, strict=True):
        assert estimate == float(carries(site, value, reader)), str(site)
        assert distance > 0 or estimate == 0


def test_the_sweep_meets_decoys_that_differ(lab: Lab) -> None:
    found = lab.sweep(JANET, at=resid_post(range(LAYERS), every())).recovery(logit_diff)
    assert ((found.distance > 0) & (found.estimate == 0)).sum() == 9


@settings(max_examples=25, deadline=None)
@given(sites=st.lists(st.sampled_from([*on_path(), *decoys()]), min_size=1, max_size=4, unique=True), data=st.data())
def test_sites_together_carry_the_value_when_any_of_them_does(lab: Lab, sites: list[Site], data: st.DataObject) -> None:
    pairs = Pairs(data.draw(st.lists(st.sampled_from(list(PAIRS)), min_size=1, max_size=3, unique_by=lambda p: p.id)))
    effect = lab.denoise(pairs, at=sites).recovery(logit_diff, placebo=False)
    assert effect.estimate == float(any(site in on_path() for site in sites))


# ablation and neutrality


@pytest.mark.parametrize("by", [zero, mean], ids=str)
def test_ablating_a_decoy_takes_nothing_and_ablating_the_path_takes_the_answer(lab: Lab, by: object) -> None:
    for site in decoys():
        run = lab.ablate(JANET, at=site, by=by)  # type: ignore[arg-type]
        assert run.drop(logit_diff, placebo=False).estimate == 0.0, str(site)
    # What is left of the 16 logits: nothing, or each answer's share of the pairs.
    left = 0.0 if by == zero else sum(ANSWERS.count(p.answer) - ANSWERS.count(p.corrupt_answer) for p in JANET) / 9**2
    run = lab.ablate(JANET, at=resid_post(3, last()), by=by)  # type: ignore[arg-type]
    assert run.drop(logit_diff, placebo=False).estimate == pytest.approx((1 - left) / 2, abs=1e-6)


@pytest.mark.parametrize("verb", [Lab.denoise, Lab.noise])
def test_a_pair_patched_with_itself_changes_nothing_anywhere(lab: Lab, verb: Callable[..., object]) -> None:
    for site in (*on_path(), *decoys(), resid_pre(2, every()), resid_post(range(LAYERS), span("rest"))):
        assert verb(lab, PAIRS[0].with_itself(), at=site).is_neutral, str(site)  # type: ignore[attr-defined]
    assert not verb(lab, PAIRS[0], at=on_path()[0]).is_neutral  # type: ignore[attr-defined]
