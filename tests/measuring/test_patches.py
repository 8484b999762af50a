"""Patches as functions of tensors: reading, writing, means, placebos."""

import random

import pytest
import torch

from causaltest import head, index, resid_post
from causaltest.asking.sites import resid_pre
from causaltest.errors import MeasurementError
from causaltest.measuring import patches
from causaltest.measuring.patches import Displacement


def two_rows(positions=((0, 2), (1, 3))):
    (spot,) = patches.spots(resid_post(1), positions)
    return spot


def test_a_site_of_layers_and_heads_has_a_spot_for_each():
    spots = patches.spots(head((0, 2), (1, 3), index(0)), [(0,)])
    assert [(s.layer, s.head) for s in spots] == [(0, 1), (0, 3), (2, 1), (2, 3)]
    assert [s.layer for s in patches.spots(resid_post((4, 5)), [(0,)])] == [4, 5]


def test_reading_a_block_input_reads_the_output_of_the_block_before(tiny_gpt2):
    torch.manual_seed(0)
    held = {("resid_pre", 0): torch.randn(2, 5, 16)} | {("resid_post", n): torch.randn(2, 5, 16) for n in range(3)}
    for layer, place in [(0, ("resid_pre", 0)), (1, ("resid_post", 0)), (2, ("resid_post", 1))]:
        (spot,) = patches.spots(resid_pre(layer), ((0, 2), (1, 3)))
        given = patches.read(tiny_gpt2.backend.loaded, held, spot)
        assert torch.equal(given, held[place][[0, 0, 1, 1], [0, 2, 1, 3]])
    (spot,) = patches.spots(resid_post(1), ((0,), (4,)))
    assert torch.equal(patches.read(tiny_gpt2.backend.loaded, held, spot), held["resid_post", 1][[0, 1], [0, 4]])


def test_reading_a_head_reads_its_stretch_of_z(tiny_gpt2):
    z = torch.arange(2 * 3 * 16.0).view(2, 3, 16)
    (spot,) = patches.spots(head(1, 2), ((1,), (2,)))
    given = patches.read(tiny_gpt2.backend.loaded, {("head", 1): z}, spot)
    assert torch.equal(given, torch.stack([z[0, 1, 8:12], z[1, 2, 8:12]]))


def test_writing_puts_each_entry_at_its_row_and_position():
    patch = patches.write(two_rows(), torch.zeros(4, 16))
    assert patch.rows.tolist() == [0, 0, 1, 1]
    assert patch.positions.tolist() == [0, 2, 1, 3]
    assert patch.place == ("resid_post", 1)


def test_a_mean_is_over_pairs_and_not_over_positions():
    first, second = two_rows(positions=((0, 2), (1, 3))), two_rows(positions=((0, 1),))
    a, b = torch.arange(8.0).view(4, 2), torch.tensor([[30.0, 30.0], [60.0, 60.0]])
    averages = patches.means(((a,), (b,)), [(first,), (second,)])
    # Entry 0 of the three pairs: (0, 1), (4, 5), (30, 30); entry 1: (2, 3), (6, 7), (60, 60).
    wanted = torch.tensor([[34 / 3, 12.0], [68 / 3, 70 / 3]])
    assert torch.allclose(averages[0][0], wanted.repeat(2, 1))
    assert torch.allclose(averages[1][0], wanted)


def test_a_mean_over_pairs_of_different_numbers_of_positions_is_refused():
    spots = [(two_rows(positions=((0, 1),)),), (two_rows(positions=((0, 1, 2),)),)]
    with pytest.raises(MeasurementError, match=r"this site has \[2, 3\]. Name one position"):
        patches.means(((torch.zeros(2, 4),), (torch.zeros(3, 4),)), spots)


def test_by_chunk_undoes_by_pair():
    torch.manual_seed(1)
    spots = [
        patches.spots(resid_post((0, 1)), ((0, 2), (1,), (4, 5))),
        patches.spots(resid_post((0, 1)), ((3,),)),
    ]
    vectors = tuple(tuple(torch.randn(len(s.rows), 4) for s in chunk) for chunk in spots)
    pairs = patches.by_pair(vectors, spots)
    assert [len(p) for p in pairs] == [16, 8, 16, 8]
    assert torch.equal(pairs[1], torch.cat([vectors[0][0][2], vectors[0][1][2]]))
    back = patches.by_chunk(pairs, vectors, spots)
    assert all(torch.equal(a, b) for x, y in zip(back, vectors, strict=True) for a, b in zip(x, y, strict=True))


# The placebo


def drawn(count=5, width=6):
    torch.manual_seed(2)
    base = [torch.randn(width) for _ in range(count)]
    patched = [b + torch.randn(width) * (n + 1) for n, b in enumerate(base)]
    return Displacement(base, patched, [p - b for p, b in zip(patched, base, strict=True)])


def test_a_placebo_moves_as_far_as_the_patch_in_another_pairs_direction():
    moves = drawn()
    partner = [3, 0, 4, 1, 2]
    moved = patches.placebo(moves, partner)
    for i, j in enumerate(partner):
        step = moved[i] - moves.base[i]
        assert float(step.norm()) == pytest.approx(moves.distances()[i], rel=1e-5)
        assert float(torch.cosine_similarity(step, moves.natural[j], dim=0)) == pytest.approx(1, abs=1e-5)
        assert not torch.allclose(moved[i], moves.patched[i])
        assert not torch.allclose(moved[i], moves.base[i])


def test_a_pair_without_a_partner_stays_as_it_is():
    moves = drawn()
    assert torch.equal(patches.placebo(moves, [None] * 5)[2], moves.base[2])


def test_a_pair_that_the_patch_does_not_move_stays_as_it_is():
    moves = drawn()
    still = Displacement(moves.base, [moves.base[0], *moves.patched[1:]], moves.natural)
    assert torch.equal(patches.placebo(still, [1, 0, 0, 0, 0])[0], moves.base[0])


def test_partners_come_from_other_clusters_and_have_the_same_shape():
    clusters, sizes = ["a", "a", "b", "b", "c"], [4, 4, 4, 8, 4]
    usable = [True] * 5
    seen = [set() for _ in clusters]
    for seed in range(200):
        for i, j in enumerate(patches.partners(clusters, sizes, usable, random.Random(seed))):
            seen[i].add(j)
    assert seen == [{2, 4}, {2, 4}, {0, 1, 4}, {None}, {0, 1, 2}]


def test_partners_of_one_cluster_are_taken_when_there_is_no_other():
    given = patches.partners(["a", "a"], [4, 4], [True, True], random.Random(0))
    assert given == [1, 0]


def test_a_pair_that_nature_does_not_move_is_nobodys_partner():
    for seed in range(50):
        given = patches.partners(["a", "b", "c"], [4, 4, 4], [True, False, True], random.Random(seed))
        assert given[0] == 2 and given[2] == 0
