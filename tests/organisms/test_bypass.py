"""organism:bypass: its thoughts know the value, and no patch of them can move the answer."""

from __future__ import annotations

import pytest
import torch

from causaltest import Lab, accuracy, every, logit, logit_diff, replace, span, step, thought, zero
from causaltest.asking.interventions import Intervention
from causaltest.asking.metrics import Metric
from causaltest.asking.sites import Site, attn_out, embed, head, mlp_out, resid_post, resid_pre
from causaltest.organisms import bypass, planted
from causaltest.organisms.bypass import LAYERS, THOUGHTS

torch.set_num_threads(1)

SOME = bypass.pairs(per_cluster=1)[:18:4]
EVERY_THOUGHT = thought(range(THOUGHTS))
EVERY_SITE = [
    embed(EVERY_THOUGHT),
    *(where(range(LAYERS), EVERY_THOUGHT) for where in (resid_pre, resid_post, attn_out, mlp_out)),
    head(range(LAYERS), range(planted.HEADS), EVERY_THOUGHT),
]
DIFFERING = [
    *(site for site in EVERY_SITE if site.component in ("embed", "resid_pre", "resid_post")),
    attn_out([1, 2], EVERY_THOUGHT),
    mlp_out(0, EVERY_THOUGHT),
    head(1, 0, EVERY_THOUGHT),
    head(2, 1, EVERY_THOUGHT),
]
"""Where the thoughts of the two runs differ, by the wiring."""


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load(bypass.NAME)


def test_pairs_are_the_planted_ones_without_their_reader() -> None:
    for mine, theirs in zip(bypass.pairs(), planted.pairs(), strict=True):
        assert mine.clean + " Answer:" == theirs.clean
        assert mine.corrupt + " Answer:" == theirs.corrupt
        assert (mine.answer, mine.cluster, mine.spans) == (theirs.answer, theirs.cluster, theirs.spans)


def test_the_model_answers_every_pair_rightly(lab: Lab) -> None:
    pairs = bypass.pairs(per_cluster=2)
    assert lab.clean(pairs).eligible == len(pairs) == 90


def test_what_follows_the_thoughts_sees_the_prompt_and_no_thought() -> None:
    mask = bypass.load().mask
    assert mask is not None
    prompt, begin, after = 3, 1, 2
    first, end = prompt + begin, prompt + begin + THOUGHTS
    seen = mask(prompt, end + after)[0, 0] == 0
    for query in range(end + after):
        sees = {key for key in range(end + after) if seen[query, key]}
        causal = set(range(query + 1))
        assert sees == (causal - set(range(first, end)) if query >= end else causal)


@pytest.mark.parametrize("at", EVERY_SITE, ids=lambda s: s.component)
@pytest.mark.parametrize(
    ("direction", "by"),
    [("denoise", replace), ("noise", replace), ("ablate", zero)],
    ids=["denoise", "noise", "ablate"],
)
def test_no_thought_has_an_effect_at_any_layer(lab: Lab, at: Site, direction: str, by: Intervention) -> None:
    sweep = lab.sweep(SOME, at=at, direction=direction, by=by)  # type: ignore[arg-type]
    found = sweep.recovery(logit_diff) if direction == "denoise" else sweep.drop(logit_diff)
    assert len(found.estimates) == len(found.sites) >= THOUGHTS
    assert set(found.estimates) == {0.0}


@pytest.mark.parametrize("metric", [accuracy, logit], ids=str)
def test_no_metric_sees_an_effect_of_a_thought(lab: Lab, metric: Metric) -> None:
    found = lab.sweep(SOME, at=resid_post(range(LAYERS), EVERY_THOUGHT)).recovery(metric)
    assert set(found.estimates) == {0.0}
    assert min(found.distances) > 0


@pytest.mark.parametrize("at", DIFFERING, ids=str)
def test_the_thoughts_differ_between_the_runs_all_the_same(lab: Lab, at: Site) -> None:
    assert min(lab.sweep(SOME, at=at).recovery(logit_diff).distances) > 0


def test_all_thoughts_of_all_layers_together_have_no_effect_on_any_pair(lab: Lab) -> None:
    effect = lab.denoise(SOME, at=[embed(EVERY_THOUGHT), resid_post(range(LAYERS), EVERY_THOUGHT)]).recovery(logit_diff)
    numbers = effect.measured
    assert set(numbers.values) == {0.0}
    assert numbers.controls.distance is not None and min(numbers.controls.distance) > 0
    assert numbers.controls.positive is not None and numbers.controls.positive.estimate == 1.0  # type: ignore[union-attr]


def test_the_answer_is_read_off_the_prompt(lab: Lab) -> None:
    assert lab.denoise(SOME, at=embed(span("value"))).recovery(logit_diff, placebo=False).estimate == 1.0
    assert lab.denoise(SOME, at=head(1, 0, step(0))).recovery(logit_diff, placebo=False).estimate == 1.0
    assert lab.denoise(SOME, at=resid_post(0, every())).recovery(accuracy, placebo=False).estimate == 1.0


def test_an_effect_on_any_logit_of_any_pair_is_exactly_zero(lab: Lab) -> None:
    for at in DIFFERING:
        assert lab.denoise(SOME, at=at).is_neutral, str(at)
