"""Layouts of heads, against the reshape and the split that each family's own code makes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from causaltest.measuring.adapters.heads import Heads, grouped, interleaved, layouts, quartered, side_by_side, stacked

COUNTS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))


def taken(columns, parts):
    """[head, width] of the columns."""
    return torch.stack([columns[part.start : part.stop] for part in parts])


def numbered(heads):
    return torch.arange(heads.columns)


@given(COUNTS)
def test_stacked_is_a_split_of_queries_keys_and_values(sizes):
    keys, shared, width = sizes
    heads = Heads(keys * shared, keys, width)
    q, k, v = numbered(heads).split([heads.queries * width, keys * width, keys * width])
    for which, whole in (("q", q), ("k", k), ("v", v)):
        assert torch.equal(taken(numbered(heads), stacked(heads, which)), whole.view(-1, width))


@given(COUNTS)
def test_interleaved_is_head_by_head(sizes):
    count, _, width = sizes
    heads = Heads(count, count, width)
    by_head = numbered(heads).view(count, 3, width)
    for n, which in enumerate("qkv"):
        assert torch.equal(taken(numbered(heads), interleaved(heads, which)), by_head[:, n])


@given(COUNTS)
def test_grouped_is_group_by_group(sizes):
    """As Falcon splits it: the last two of a group are its key and its value."""
    keys, shared, width = sizes
    heads = Heads(keys * shared, keys, width)
    by_group = numbered(heads).view(keys, shared + 2, width)
    assert torch.equal(taken(numbered(heads), grouped(heads, "q")), by_group[:, :-2].reshape(-1, width))
    assert torch.equal(taken(numbered(heads), grouped(heads, "k")), by_group[:, -2])
    assert torch.equal(taken(numbered(heads), grouped(heads, "v")), by_group[:, -1])


@given(st.integers(1, 4), st.integers(1, 5))
def test_quartered_is_as_codegen_splits_it(each, width):
    heads = Heads(4 * each, 4 * each, width)
    local = numbered(heads).reshape(4, -1).split(each * width, dim=-1)
    for which, whole in zip(("q", "v", "k"), local, strict=True):
        assert torch.equal(taken(numbered(heads), quartered(heads, which)), whole.reshape(-1, width))


@given(COUNTS)
def test_every_layout_uses_every_column_once(sizes):
    keys, shared, width = sizes
    heads = Heads(keys * shared, keys, width)
    for layout in layouts(heads):
        columns = [column for which in ("q", "k", "v") for part in layout(heads, which) for column in part]
        assert sorted(columns) == list(range(heads.columns))


def test_ranges_are_made_once():
    assert side_by_side(3, 2) is side_by_side(3, 2)
    assert side_by_side(2, 3, first=1, stride=5) == (range(1, 4), range(6, 9))
