"""The placebo: as far as the patch, in another pair's direction."""

import random

import numpy as np
import pytest
import torch

from causaltest.measuring.kept_vectors import KeptVectors, Room
from causaltest.measuring.partners import NOBODY
from causaltest.measuring.placebo import Displacement, Nature, Seen

WIDTH = 6


def kept(rows, room=None):
    out = KeptVectors(room or Room(1 << 20))
    out.add(rows)
    return out


def drawn(count=5, still=()):
    """Rows before, after and between, of pairs of a cluster each, and what a patch does to them."""
    torch.manual_seed(2)
    base = [torch.randn(WIDTH) for _ in range(count)]
    natural = [torch.randn(WIDTH) * (n + 1) for n in range(count)]
    patched = [b if n in still else b + torch.randn(WIDTH) * (n + 2) for n, b in enumerate(base)]
    nature = Nature(kept(base), kept([b + d for b, d in zip(base, natural, strict=True)]))
    far = torch.stack([torch.dist(b, p) for b, p in zip(base, patched, strict=True)])
    lengths = torch.stack([d.norm() for d in natural])
    clusters = [f"cluster {n}" for n in range(count)]
    return natural, Displacement(nature, lengths, far, clusters, [WIDTH] * count)


def steps_of(moves, partner):
    """Per pair, its step over its whole row."""
    count = len(partner)
    everyone, zero, one = np.arange(count), np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
    return moves.steps(everyone, np.array(partner, dtype=np.int32), zero, one, WIDTH)


def test_a_placebo_moves_as_far_as_the_patch_in_another_pairs_direction():
    natural, moves = drawn()
    partner = [3, 0, 4, 1, 2]
    for i, (j, step) in enumerate(zip(partner, steps_of(moves, partner), strict=True)):
        assert float(step.norm()) == pytest.approx(float(moves.far[i]), rel=1e-5)
        assert float(torch.cosine_similarity(step, natural[j], dim=0)) == pytest.approx(1, abs=1e-5)


def test_a_spot_of_a_placebo_is_a_part_of_its_step():
    """As long over all spots as the patch is, and not at each."""
    _, moves = drawn()
    partner = np.array([3, 0, 4, 1, 2], dtype=np.int32)
    whole, pairs = steps_of(moves, partner), np.array([1, 4])
    begins, counts = np.array([2, 2]), np.array([2, 2])
    given = moves.steps(pairs, partner, begins, counts, 2)
    assert torch.equal(given, whole[[1, 4], 2:].reshape(4, 2))


def test_pairs_may_have_more_or_fewer_entries_at_a_spot():
    _, moves = drawn()
    partner = np.array([3, 0, NOBODY, 1, 2], dtype=np.int32)
    whole = steps_of(moves, partner)
    given = moves.steps(np.array([0, 2, 3]), partner, np.array([2, 0, 4]), np.array([2, 3, 1]), 2)
    wanted = torch.cat([whole[0, 2:6].view(2, 2), torch.zeros(3, 2), whole[3, 4:].view(1, 2)])
    assert torch.equal(given, wanted)


def test_a_pair_without_a_partner_stays_as_it_is():
    _, moves = drawn()
    steps = steps_of(moves, [1, 0, NOBODY, 4, 3])
    assert not steps[2].any() and all(bool(steps[i].any()) for i in (0, 1, 3, 4))
    assert not steps_of(moves, [NOBODY] * 5).any()


def test_a_pair_that_the_patch_does_not_move_stays_as_it_is():
    _, moves = drawn(still=(0,))
    steps = steps_of(moves, [1, 0, 0, 0, 0])
    assert not steps[0].any() and steps[1].any()


def test_a_pair_that_nature_does_not_move_is_nobodys_partner_and_alone_where_it_is_the_only_other():
    _, moves = drawn(count=2)
    unmoved = Displacement(moves.nature, moves.lengths * torch.tensor([1.0, 0.0]), moves.far, ["a", "b"], [6, 6])
    assert unmoved.partners(random.Random(0)).tolist() == [NOBODY, 0]
    assert unmoved.alone == [True, False]
    still = Displacement(unmoved.nature, unmoved.lengths, moves.far * torch.tensor([0.0, 1.0]), ["a", "b"], [6, 6])
    assert still.alone == [False, False], "a pair that the patch does not move needs no placebo"


# Nature's difference of an ablation


def nature(rows, clusters):
    seen = Seen(kept(rows), KeptVectors(Room(0)))
    seen.one_run(rows)
    seen.moved(rows, rows)
    return seen.displacement(clusters, [len(row) for row in rows]).nature


def test_the_difference_is_to_a_pair_of_another_cluster_and_of_the_same_shape():
    rows = [torch.full((2,), 1.0), torch.full((2,), 5.0), torch.full((3,), 9.0), torch.full((2,), 4.0)]
    assert nature(rows, ["a", "a", "b", "b"]).parts([0]).tolist() == [3.0, 3.0]
    assert nature(rows, ["a", "a", "b", "a"]).parts([0]).tolist() == [4.0, 4.0]
    assert nature(rows, ["a", "a", "b", "b"]).lengths([2]).tolist() == [0.0]


def test_a_pair_that_is_the_same_makes_no_difference_so_the_next_is_taken():
    rows = [torch.ones(2), torch.ones(2), torch.zeros(2)]
    assert nature(rows, ["a", "b", "a"]).parts([0]).tolist() == [-1.0, -1.0]


def test_rows_that_differ_by_the_sign_of_a_zero_alone_make_no_difference():
    rows = [torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0]), torch.tensor([2.0, 1.0])]
    assert nature(rows, ["a", "b", "c"]).parts([0]).tolist() == [2.0, 0.0]
