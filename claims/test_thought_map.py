"""Where the running total lives, layer by thought: looked for on one half, claimed on the other.

Each pair changes the number of the fourth sentence, which thought 2 reads in block 6.
"""

from __future__ import annotations

import pytest

from causaltest import (
    Effect,
    Lab,
    Pairs,
    accuracy,
    at_least,
    attn_out,
    claim,
    head,
    logit_diff,
    mlp_out,
    negligible,
    resid_post,
    thought,
)
from causaltest.organisms.ducks import FACT_LAYER, HEADS, LAYERS, THOUGHTS
from causaltest.pytest_suite import ReportFolder

Halves = tuple[Pairs, Pairs]


def test_map_of_the_residual_stream(lab: Lab, mapped: Halves, causal_report: ReportFolder) -> None:
    sweep = lab.sweep(mapped[0], at=resid_post(range(LAYERS), thought(range(THOUGHTS)))).recovery(accuracy)
    causal_report.say(str(sweep))
    causal_report.heatmap(sweep, "thought_map.png", title="Residual stream of the thoughts")
    assert sweep.estimate[FACT_LAYER:, 2].min() == 1.0, "from block 6 on, the thought that reads the sentence has it"
    assert sweep.estimate[:FACT_LAYER, 2].max() == 0.0, "and not before"
    assert sweep.estimate[:, :2].max() == 0.0, "earlier thoughts never see it"


def test_map_of_the_planted_layer(lab: Lab, mapped: Halves, causal_report: ReportFolder) -> None:
    every_thought = thought(range(THOUGHTS))
    attention = lab.sweep(mapped[0], at=attn_out(FACT_LAYER, every_thought)).recovery(logit_diff)
    mlp = lab.sweep(mapped[0], at=mlp_out(FACT_LAYER, every_thought)).recovery(logit_diff)
    heads = lab.sweep(mapped[0], at=head(FACT_LAYER, range(HEADS), every_thought)).recovery(logit_diff)
    for sweep in (attention, mlp, heads):
        causal_report.say(str(sweep))
    assert attention.best == attn_out(FACT_LAYER, thought(2))
    assert heads.best.position == thought(2)
    assert attention.estimate[0, 2] > heads.estimate[:, 2].max() > mlp.estimate[0, 2]


@claim("Thought 2 holds the fourth sentence's number from block 6 on.", at_least(0.50, expecting=0.80))
@pytest.mark.parametrize("layer", [6, 9, 11])
def test_thought_two_holds_the_number(lab: Lab, mapped: Halves, layer: int) -> Effect:
    return lab.denoise(mapped[1], at=resid_post(layer, thought(2))).recovery(accuracy)


@claim("Each later thought hands the total on.", at_least(0.50, expecting=0.80))
@pytest.mark.parametrize("k", [3, 4, 5])
def test_later_thoughts_hand_it_on(lab: Lab, mapped: Halves, k: int) -> Effect:
    return lab.denoise(mapped[1], at=resid_post(3, thought(k))).recovery(accuracy)


@claim("In block 6 it is attention that brings the number in.", at_least(0.50, expecting=0.80))
def test_attention_brings_it_in(lab: Lab, mapped: Halves) -> Effect:
    return lab.denoise(mapped[1], at=attn_out(FACT_LAYER, thought(2))).recovery(accuracy)


@claim("The four heads of block 6 bring it in together.", at_least(0.50, expecting=0.80))
def test_heads_together_bring_it_in(lab: Lab, mapped: Halves) -> Effect:
    return lab.denoise(mapped[1], at=head(FACT_LAYER, range(HEADS), thought(2))).recovery(accuracy)


@claim("The last thought's final blocks are never read.", negligible(within=0.10))
def test_last_thought_is_idle_once_read(lab: Lab, mapped: Halves) -> Effect:
    return lab.denoise(mapped[1], at=resid_post(11, thought(5))).recovery(accuracy)
