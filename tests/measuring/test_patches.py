"""Patches: reading, writing, means, and a pair's vectors as one row."""

import numpy as np
import pytest
import torch

from causaltest import Pairs, head, index, logit_diff, mlp_out, resid_post
from causaltest.asking.experiment import Patching
from causaltest.asking.interventions import mean
from causaltest.asking.sites import embed, k, neuron, q, resid_mid, resid_pre
from causaltest.errors import MeasurementError
from causaltest.measuring import patches
from causaltest.measuring.chunk_runs import ChunkRuns
from causaltest.measuring.patches import Where
from causaltest.measuring.planner import EMBEDDING
from causaltest.measuring.trajectory import Run
from causaltest.measuring.vectors import Vectors


def spots(site, positions):
    return patches.spots(site, Where(tuple(positions)))


def two_rows(positions=((0, 2), (1, 3)), site=None):
    (spot,) = spots(site or resid_post(1), positions)
    return spot


def test_a_site_of_layers_and_heads_has_a_spot_for_each():
    given = spots(head((0, 2), (1, 3), index(0)), [(0,)])
    assert [(s.layer, s.part) for s in given] == [(0, 1), (0, 3), (2, 1), (2, 3)]
    assert [s.layer for s in spots(resid_post((4, 5)), [(0,)])] == [4, 5]


def test_where_lists_entries_pair_by_pair():
    where = Where(((4, 1), (7,), (0, 2, 3)))
    assert where.counts.tolist() == [2, 1, 3]
    assert where.offsets.tolist() == [0, 2, 3]
    assert where.first.tolist() == [1, 7, 0]
    assert where.rows.tolist() == [0, 0, 1, 2, 2, 2]
    assert where.flat.tolist() == [4, 1, 7, 0, 2, 3]
    assert where.entries(np.array([2, 0])).tolist() == [3, 4, 5, 0, 1]
    assert where.entries(np.array([1])).tolist() == [2]
    assert where.entries(where.everyone).tolist() == list(range(6))


@pytest.mark.parametrize(
    ("site", "join"),
    [
        (embed(index(0)), EMBEDDING),
        (resid_pre(0), 0),
        (resid_pre(2), 2),
        (q(1, 0), 1),
        (k(2, 1), 2),
        (head(1, 2), 1),
        (neuron(2, 7), 2),
        (mlp_out(0), 0),
        (resid_mid(1), 1),
        (resid_post(0), 1),
        (resid_post(2), 3),
    ],
)
def test_a_row_joins_at_the_block_that_is_patched_and_behind_one_whose_output_is(site, join):
    assert two_rows(site=site).join(3) == join


def test_reading_a_block_input_reads_the_output_of_the_block_before(tiny_gpt2):
    torch.manual_seed(0)
    held = {("resid_pre", 0): torch.randn(2, 5, 16)} | {("resid_post", n): torch.randn(2, 5, 16) for n in range(3)}
    for layer, place in [(0, ("resid_pre", 0)), (1, ("resid_post", 0)), (2, ("resid_post", 1))]:
        spot = two_rows(site=resid_pre(layer))
        given = patches.read(tiny_gpt2.backend.loaded, held, spot)
        assert torch.equal(given, held[place][[0, 0, 1, 1], [0, 2, 1, 3]])
        some = patches.read(tiny_gpt2.backend.loaded, held, spot, spot.where.entries(np.array([1])))
        assert torch.equal(some, held[place][[1, 1], [1, 3]])
    spot = two_rows(((0,), (4,)))
    assert torch.equal(patches.read(tiny_gpt2.backend.loaded, held, spot), held["resid_post", 1][[0, 1], [0, 4]])


def test_reading_a_head_reads_its_stretch_of_z(tiny_gpt2):
    z = torch.arange(2 * 3 * 16.0).view(2, 3, 16)
    spot = two_rows(((1,), (2,)), head(1, 2))
    given = patches.read(tiny_gpt2.backend.loaded, {("head", 1): z}, spot)
    assert torch.equal(given, torch.stack([z[0, 1, 8:12], z[1, 2, 8:12]]))


def test_reading_a_shared_key_reads_its_own_of_fewer(tiny_llama):
    """Four query heads of width 4 share two keys."""
    keys = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    given = patches.read(tiny_llama.backend.loaded, {("k", 1): keys}, two_rows(((1,), (2,)), k(1, 1)))
    assert torch.equal(given, torch.stack([keys[0, 1, 4:], keys[1, 2, 4:]]))


def test_writing_puts_each_entry_at_its_slot_and_position():
    slots, at = np.array([5, 5, 2, 2]), np.array([0, 2, 1, 3])
    patch = patches.write(two_rows(site=mlp_out(1)), slots, at, torch.zeros(4, 16), 3)
    assert patch.rows.tolist() == [5, 5, 2, 2]
    assert patch.positions.tolist() == [0, 2, 1, 3]
    assert patch.place == ("mlp_out", 1)


@pytest.mark.parametrize(("layer", "place"), [(0, ("resid_pre", 1)), (1, ("resid_pre", 2)), (2, ("resid_post", 2))])
def test_a_blocks_output_is_written_where_the_rows_join(layer, place):
    one = np.zeros(1, dtype=np.int64)
    assert patches.write(two_rows(site=resid_post(layer)), one, one, torch.zeros(1, 16), 3).place == place


# Means


def runs_of(model, *tensors):
    """Chunks of runs whose clean side is told: [pair, position, width] after block 1."""
    run = [Run(torch.empty(0), torch.empty(0), torch.empty(0), {("resid_post", 1): t}) for t in tensors]
    return [ChunkRuns(one, one) for one in run]


def averaged(model, spots_of, clusters, runs):
    patching = Patching("t", "ablate", Pairs.__new__(Pairs), (resid_post(1),), mean)
    vectors = Vectors(model, patching, tuple((spot,) for spot in spots_of), clusters)
    for chunk, one in enumerate(runs):
        vectors.take(chunk, one)
    return vectors


def test_a_mean_is_over_pairs_and_not_over_positions(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    stream = torch.zeros(2, 4, 2)
    stream[[0, 0, 1, 1], [0, 2, 1, 3]] = torch.arange(8.0).view(4, 2)
    other = torch.tensor([[[30.0, 30.0], [60.0, 60.0]]])
    runs = runs_of(model, stream, other)
    vectors = averaged(model, [two_rows(), two_rows(((0, 1),))], [None] * 3, runs)
    # Entry 0 of the three pairs: (0, 1), (4, 5), (30, 30); entry 1: (2, 3), (6, 7), (60, 60).
    wanted = torch.tensor([[34 / 3, 12.0], [68 / 3, 70 / 3]])
    assert vectors.first_pass
    assert torch.allclose(vectors.means[0], wanted)
    assert torch.allclose(vectors.asked(0, 0, np.array([1, 0]), runs[0]), wanted.repeat(2, 1))
    assert torch.allclose(vectors.asked(1, 0, np.array([0]), runs[1]), wanted)


def test_a_mean_over_pairs_of_different_numbers_of_positions_is_refused(tiny_gpt2):
    model = tiny_gpt2.backend.loaded
    runs = runs_of(model, torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    with pytest.raises(MeasurementError, match=r"this site has \[2, 3\]. Name one position"):
        averaged(model, [two_rows(((0, 1),)), two_rows(((0, 1, 2),))], [None] * 2, runs)


def test_a_mean_that_is_refused_spoils_no_other_experiment(tiny_gpt2, experiment):
    """Asked together: the mean over spans of two lengths fails alone."""
    from causaltest.measuring.backend import ModelBackend

    backend = ModelBackend(tiny_gpt2.backend.loaded)
    site = resid_post(1)  # every() is five tokens in some pairs, seven in others
    bad = experiment(tiny_gpt2.pairs, "ablate", site, logit_diff, intervention=mean)
    good = experiment(tiny_gpt2.pairs, "denoise", resid_post(1, index(1)), logit_diff)
    backend.expect([bad, good])
    with pytest.raises(MeasurementError, match="Name one position"):
        backend.measure(bad)
    assert backend.measure(good).measured.values == pytest.approx(
        tiny_gpt2.backend.measure(good).measured.values, abs=1e-5
    )


# A pair's vectors as one row


def test_from_pairs_undoes_by_pair():
    torch.manual_seed(1)
    mine = spots(resid_post((0, 1)), ((0, 2), (1,), (4, 5)))
    mine = (mine[0], patches.Spot("head", 1, 2, Where(((1,), (1, 2, 3), (0,)))))
    vectors = [torch.randn(5, 4), torch.randn(5, 2)]
    pairs = patches.by_pair(vectors, mine)
    assert [len(p) for p in pairs] == [2 * 4 + 2, 4 + 3 * 2, 2 * 4 + 2]
    assert torch.equal(pairs[1], torch.cat([vectors[0][2], vectors[1][1:4].flatten()]))
    for index_, (vector, spot) in enumerate(zip(vectors, mine, strict=True)):
        for order in ([0, 1, 2], [2, 0], [1]):
            wanted = vector[spot.where.entries(np.array(order))]
            assert torch.equal(patches.from_pairs(pairs, np.array(order), mine, index_, [4, 2]), wanted)
