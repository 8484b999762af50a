"""The first [THINK] of the ducks: what it carries, and what cannot matter.

Each pair changes the number of the second sentence. Thought 0 reads that number in block 6, and
nobody else reads it at all.
"""

from __future__ import annotations

import pytest

from causaltest import (
    Effect,
    Lab,
    Pairs,
    accuracy,
    at_least,
    claim,
    embed,
    first,
    greater_than,
    logit_diff,
    negligible,
    resid_post,
    span,
    thought,
)


@claim("The first [THINK] at layer 6 carries the running total.", at_least(0.30, expecting=0.60))
def test_first_thought_carries_the_running_total(lab: Lab, twins: Pairs) -> Effect:
    return lab.denoise(twins, at=resid_post(6, first("[THINK]"))).recovery(accuracy)


@claim("At layer 6 the first thought moves the logit difference by 10 or more.", at_least(10, expecting=14))
def test_first_thought_moves_the_logit_difference(lab: Lab, twins: Pairs) -> Effect:
    return lab.denoise(twins, at=resid_post(6, thought(0))).change(logit_diff)


@claim("The second thought's input carries the total on.", at_least(0.30, expecting=0.60))
def test_second_thought_carries_it_on(lab: Lab, twins: Pairs) -> Effect:
    return lab.denoise(twins, at=embed(thought(1))).recovery(accuracy)


@claim("Without the first thought's own value the answer is lost.", at_least(0.30, expecting=0.60))
def test_first_thought_is_necessary(lab: Lab, twins: Pairs) -> Effect:
    return lab.noise(twins, at=resid_post(6, thought(0))).drop(accuracy)


@claim("Block 5 leaves the number where it stands, and block 6 has taken it away.", greater_than(0.30, expecting=0.60))
def test_block_six_reads_the_number(lab: Lab, twins: Pairs) -> Effect:
    before = lab.denoise(twins, at=resid_post(5, span("number"))).recovery(accuracy)
    after = lab.denoise(twins, at=resid_post(6, span("number"))).recovery(accuracy)
    return before - after


# Decoys: these activations differ between the two runs, and yet nobody reads them.


@claim("Once block 6 has read it, the number's own token no longer matters.", negligible(within=0.10))
@pytest.mark.parametrize("layer", [6, 8, 11])
def test_number_is_idle_after_block_six(lab: Lab, twins: Pairs, layer: int) -> Effect:
    return lab.denoise(twins, at=resid_post(layer, span("number"))).recovery(accuracy)


@claim("The words after the number never matter, though they have seen it.", negligible(within=0.10))
@pytest.mark.parametrize("layer", [0, 5])
def test_words_after_the_number_are_idle(lab: Lab, twins: Pairs, layer: int) -> Effect:
    return lab.denoise(twins, at=resid_post(layer, span("rest"))).recovery(accuracy)


@claim("After block 9 the last thought has been read, and no longer matters.", negligible(within=0.10))
@pytest.mark.parametrize("layer", [10, 11])
def test_last_thought_is_idle_once_read(lab: Lab, twins: Pairs, layer: int) -> Effect:
    return lab.denoise(twins, at=resid_post(layer, thought(5))).recovery(accuracy)
