"""Which heads of block 6 bring the number in: an order of effects, a choice of metrics, and an early stop.

The map of `test_thought_map.py` suggested these claims on the discovery half; they are made on the other one.
"""

from __future__ import annotations

from causaltest import (
    Effect,
    Lab,
    Pairs,
    accuracy,
    at_least,
    claim,
    head,
    logit_diff,
    monotone,
    resid_post,
    thought,
    top,
)
from causaltest.asking.metrics import Metric
from causaltest.organisms.ducks import FACT_LAYER, HEADS

Halves = tuple[Pairs, Pairs]


@claim("Of the heads of block 6, head 1 brings in the most.", top(1, 1))
def test_head_one_brings_in_the_most(lab: Lab, mapped: Halves) -> dict[int, Effect]:
    return {h: lab.denoise(mapped[1], at=head(FACT_LAYER, h, thought(2))).recovery(logit_diff) for h in range(HEADS)}


@claim("Each further head brings in more.", monotone(range(1, HEADS + 1)))
def test_each_head_adds(lab: Lab, mapped: Halves) -> dict[int, Effect]:
    return {
        n: lab.denoise(mapped[1], at=head(FACT_LAYER, range(n), thought(2))).recovery(logit_diff)
        for n in range(1, HEADS + 1)
    }


@claim("Thought 2 holds the number, by whichever metric and after whichever block.", at_least(0.30, expecting=0.80))
@claim.multiverse(metric=[accuracy, logit_diff(range=(-50, 50))], layer=[FACT_LAYER, 9])
def test_thought_two_by_either_metric(lab: Lab, mapped: Halves, metric: Metric, layer: int) -> Effect:
    return lab.denoise(mapped[1], at=resid_post(layer, thought(2))).recovery(metric)


@claim(
    "Without thought 2 the answer is lost.",
    at_least(0.50, expecting=0.80),
    stopping="obrien-fleming",
    looks=4,
    accept=["accuracy-only"],
)
def test_thought_two_is_needed(lab: Lab, mapped: Halves) -> Effect:
    return lab.noise(mapped[1], at=resid_post(8, thought(2))).drop(accuracy)
