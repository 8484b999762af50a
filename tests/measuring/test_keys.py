"""Keys and values: a row's prefix from the unpatched run, the rest its own."""

import pytest
import torch

from causaltest.measuring.keys import ForwardKeys, Kept, chosen

HEADS, WIDTH, TOTAL, LAYERS = 2, 3, 7, 2


def drawn(rows, positions, seed=0, width=WIDTH):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, HEADS, positions, width, generator=generator)


@pytest.fixture
def base():
    """The unpatched runs of three pairs: keys and values of other widths, per layer."""
    return [(drawn(3, TOTAL, layer), drawn(3, TOTAL, 10 + layer, width=5)) for layer in range(LAYERS)]


def test_the_prefix_is_the_unpatched_runs_and_the_rest_is_new(base):
    """Four rows of pairs 2, 0, 0, 1 that begin at position 4; in the first layer only two are there."""
    pairs = torch.tensor([2, 0, 0, 1])
    keys = ForwardKeys(4, 6, 0, pairs, base)
    for layer, rows in ((0, 2), (1, 4)):
        new = drawn(rows, 2, 20), drawn(rows, 2, 21, width=5)
        for given, before, after in zip(keys.extended(layer, new), base[layer], new, strict=True):
            assert torch.equal(given[:, :, :4], before[pairs[:rows], :, :4])
            assert torch.equal(given[:, :, 4:], after)


def test_from_the_first_position_there_is_no_prefix(base):
    new = drawn(2, 4, 20), drawn(2, 4, 21, width=5)
    keys, values = ForwardKeys(0, 4, 0, torch.tensor([0, 1]), base).extended(0, new)
    assert torch.equal(keys, new[0]) and torch.equal(values, new[1])


def test_the_cache_of_a_forward_says_where_it_starts_and_answers_for_each_layer(base):
    cache = ForwardKeys(4, 6, 0, torch.tensor([1]), base).cache(LAYERS)
    assert cache.get_seq_length() == 4
    new = drawn(1, 2, 20), drawn(1, 2, 21, width=5)
    for layer in range(LAYERS):
        keys, values = cache.update(*new, layer)
        assert torch.equal(keys, torch.cat([base[layer][0][1:2, :, :4], new[0]], dim=2))
        assert torch.equal(values, torch.cat([base[layer][1][1:2, :, :4], new[1]], dim=2))


def test_what_is_kept_is_read_by_the_next_forward_slot_by_slot(base):
    """Slots 1 and 2 of a wave of four begin at position 3; the next forward carries all of them on."""
    pairs = torch.tensor([0, 2, 1, 0])
    kept = Kept.empty(4, TOTAL, LAYERS)
    kept.prefill(slice(0, 4), base, pairs, 3)
    for layer in range(LAYERS):
        new = drawn(2, 2, 30 + layer), drawn(2, 2, 40 + layer, width=5)
        given = ForwardKeys(3, 5, 1, pairs[1:3], base, kept).extended(layer, new)
        for mine, before, after in zip(given, base[layer], new, strict=True):
            assert mine.shape[:3] == (2, HEADS, 5)
            assert torch.equal(mine, torch.cat([before[[2, 1], :, :3], after], dim=2))
        later = drawn(4, 1, 50 + layer), drawn(4, 1, 60 + layer, width=5)
        following = ForwardKeys(5, 6, 0, pairs, base, kept).extended(layer, later)
        for mine, earlier, after in zip(following, given, later, strict=True):
            assert torch.equal(mine[1:3, :, :5], earlier)
            assert torch.equal(mine[:, :, 5:], after)
    full = kept.full()
    assert len(full) == LAYERS
    assert all(keys.shape[2] == values.shape[2] == TOTAL for keys, values in full)


def test_a_row_that_is_prefilled_leaves_the_others_and_the_base_as_they_are(base):
    before = [(keys.clone(), values.clone()) for keys, values in base]
    kept = Kept.empty(3, TOTAL, LAYERS)
    kept.prefill(slice(0, 3), base, torch.tensor([0, 1, 2]), TOTAL)
    held = [layer[0].clone() for layer in kept.full()]
    kept.prefill(slice(1, 2), base, torch.tensor([0]), 4)
    for layer in range(LAYERS):
        keys, _ = kept.full()[layer]
        assert torch.equal(keys[[0, 2]], held[layer][[0, 2]])
        assert torch.equal(keys[1, :, :4], base[layer][0][0, :, :4])
        assert torch.equal(keys[1, :, 4:], base[layer][0][1, :, 4:])
        assert torch.equal(base[layer][0], before[layer][0]) and torch.equal(base[layer][1], before[layer][1])


def test_one_row_to_choose_from_is_not_copied():
    one, many = drawn(1, 2), drawn(3, 2)
    assert chosen(one, torch.tensor([0, 0, 0])).untyped_storage().data_ptr() == one.untyped_storage().data_ptr()
    assert chosen(one, torch.tensor([0, 0])).shape[0] == 2
    assert torch.equal(chosen(many, torch.tensor([2, 0])), many[[2, 0]])
