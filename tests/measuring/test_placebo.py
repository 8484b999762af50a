"""The placebo: as far as the patch, in another pair's direction."""

import random

import pytest
import torch

from causaltest.measuring import placebo
from causaltest.measuring.placebo import Displacement, between


def drawn(count=5, width=6):
    torch.manual_seed(2)
    base = [torch.randn(width) for _ in range(count)]
    patched = [b + torch.randn(width) * (n + 1) for n, b in enumerate(base)]
    return Displacement(base, patched, [p - b for p, b in zip(patched, base, strict=True)])


def test_a_placebo_moves_as_far_as_the_patch_in_another_pairs_direction():
    moves = drawn()
    partner = [3, 0, 4, 1, 2]
    moved = placebo.placebo(moves, partner)
    for i, j in enumerate(partner):
        step = moved[i] - moves.base[i]
        assert float(step.norm()) == pytest.approx(moves.distances()[i], rel=1e-5)
        assert float(torch.cosine_similarity(step, moves.natural[j], dim=0)) == pytest.approx(1, abs=1e-5)
        assert not torch.allclose(moved[i], moves.patched[i])
        assert not torch.allclose(moved[i], moves.base[i])


def test_a_pair_without_a_partner_stays_as_it_is():
    moves = drawn()
    assert torch.equal(placebo.placebo(moves, [None] * 5)[2], moves.base[2])


def test_a_pair_that_the_patch_does_not_move_stays_as_it_is():
    moves = drawn()
    still = Displacement(moves.base, [moves.base[0], *moves.patched[1:]], moves.natural)
    assert torch.equal(placebo.placebo(still, [1, 0, 0, 0, 0])[0], moves.base[0])


def test_partners_come_from_other_clusters_and_have_the_same_shape():
    clusters, sizes = ["a", "a", "b", "b", "c"], [4, 4, 4, 8, 4]
    usable = [True] * 5
    seen = [set() for _ in clusters]
    for seed in range(200):
        for i, j in enumerate(placebo.partners(clusters, sizes, usable, random.Random(seed))):
            seen[i].add(j)
    assert seen == [{2, 4}, {2, 4}, {0, 1, 4}, {None}, {0, 1, 2}]


def test_partners_of_one_cluster_are_taken_when_there_is_no_other():
    given = placebo.partners(["a", "a"], [4, 4], [True, True], random.Random(0))
    assert given == [1, 0]


def test_a_pair_that_nature_does_not_move_is_nobodys_partner():
    for seed in range(50):
        given = placebo.partners(["a", "b", "c"], [4, 4, 4], [True, False, True], random.Random(seed))
        assert given[0] == 2 and given[2] == 0


# Nature's difference of an ablation


def test_the_difference_is_to_a_pair_of_another_cluster_and_of_the_same_shape():
    vectors = [torch.full((2,), 1.0), torch.full((2,), 5.0), torch.full((3,), 9.0), torch.full((2,), 4.0)]
    assert between(vectors, ["a", "a", "b", "b"], 0).tolist() == [3.0, 3.0]
    assert between(vectors, ["a", "a", "b", "a"], 0).tolist() == [4.0, 4.0]
    assert between(vectors, ["a", "a", "b", "b"], 2).tolist() == [0.0, 0.0, 0.0]


def test_a_pair_that_is_the_same_makes_no_difference_so_the_next_is_taken():
    vectors = [torch.ones(2), torch.ones(2), torch.zeros(2)]
    assert between(vectors, ["a", "b", "a"], 0).tolist() == [-1.0, -1.0]
