"""Routed attention: the mask position by position, and the attention under it."""

import dataclasses
from pathlib import Path

import pytest
import torch

from causaltest.errors import ModelError
from causaltest.measuring.adapters.routing import Routing, routed_mask, routing_config
from causaltest.organisms import ducks as organism

ROUTING = Routing(segment_tokens=6, segments=7, fact_index=3, fact_layer=6, answer_layer=10)


@pytest.mark.parametrize("total", [54, 57])
def test_the_mask_equals_the_one_written_out_by_hand(plain, total):
    """45 prompt tokens, begin, six thoughts, end, and the answer."""
    reference = plain.Ducks(organism.CHECKPOINT)
    mask = routed_mask(ROUTING, 12, 45, 6, total)
    assert mask.shape == (1, 12, total, total)
    for layer in range(12):
        assert torch.equal(mask[0, layer] == 0, reference.seen_by(layer, 45, total))
    assert set(mask.unique().tolist()) == {0.0, torch.finfo(torch.float32).min}


def test_what_each_reader_may_read():
    mask = routed_mask(ROUTING, 12, 45, 6, 55)[0] == 0
    begin, end = 45, 52
    for reader in range(7):
        at = begin + reader
        assert mask[6, at].nonzero().flatten().tolist() == [6 * reader + 3, at]
        for layer in (0, 5, 7, 10, 11):
            assert mask[layer, at].nonzero().flatten().tolist() == [at]
    assert mask[10, end].nonzero().flatten().tolist() == [end - 1, end]
    assert mask[9, end].nonzero().flatten().tolist() == [end]
    assert mask[0, 54].nonzero().flatten().tolist() == [52, 53, 54]
    assert mask[3, 10].nonzero().flatten().tolist() == [6, 7, 8, 9, 10]
    # The question stands after the seven sentences, alone.
    assert mask[3, 44].nonzero().flatten().tolist() == [42, 43, 44]


def test_no_position_sees_a_later_one():
    mask = routed_mask(ROUTING, 12, 45, 6, 58)[0] == 0
    assert not bool(mask.triu(1).any())
    assert bool(mask.diagonal(dim1=1, dim2=2).all())


def test_the_mask_of_a_longer_run_begins_with_that_of_a_shorter_one():
    long, short = routed_mask(ROUTING, 12, 45, 6, 60), routed_mask(ROUTING, 12, 45, 6, 53)
    assert torch.equal(long[..., :53, :53], short)


@pytest.mark.parametrize("value", [-1, 2.0, "1", None, 10**9, [1], True])
def test_a_routing_block_of_other_than_small_whole_numbers_is_refused(value):
    block = dict.fromkeys((field.name for field in dataclasses.fields(Routing)), 1) | {"fact_layer": value}
    with pytest.raises(ModelError, match=r"block is not understood .*'fact_layer'"):
        routing_config({"routing": block}, Path("folder"))
