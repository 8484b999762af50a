"""Partners: the draws of a list of all others, without the list."""

import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from causaltest.measuring.draws import resampled
from causaltest.measuring.partners import NOBODY, Pool, nearest_unlike, partners

PAIRS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([4, 8]), st.booleans(), st.sampled_from([0.0, 1.0, 2.0, None])),
    min_size=1,
    max_size=24,
)


def plainly(clusters, shapes, usable, rng):
    """Each pair with a list of all that it may be given."""
    out = []
    for i in range(len(shapes)):
        alike = [j for j in range(len(shapes)) if j != i and shapes[j] == shapes[i] and usable[j]]
        pool = [j for j in alike if clusters[j] != clusters[i]] or alike
        out.append(rng.choice(pool) if pool else NOBODY)
    return out


@given(PAIRS, st.integers(0, 5))
def test_partners_are_those_of_a_list_of_all_others(pairs, seed):
    clusters, shapes, usable, _ = map(list, zip(*pairs, strict=True))
    found = partners(Pool(clusters, shapes, usable), len(pairs), random.Random(seed))
    assert found.tolist() == plainly(clusters, shapes, usable, random.Random(seed))


@given(PAIRS, st.randoms(use_true_random=False))
def test_resampled_partners_are_those_of_a_list_of_all_others_by_their_ids(pairs, rng):
    clusters, shapes, _, _ = map(list, zip(*pairs, strict=True))
    clusters, shapes = clusters * 2, [(shape,) for shape in shapes * 2]  # so that each has another of its shape
    ids = [f"pair {n}" for n in range(len(shapes))]
    rng.shuffle(ids)
    wanted = []
    for i, name in enumerate(ids):
        by_id = sorted((j for j in range(len(ids)) if j != i and shapes[j] == shapes[i]), key=lambda j: ids[j])
        pool = [j for j in by_id if clusters[j] != clusters[i]] or by_id
        wanted.append(random.Random(f"resample s {name}").choice(pool))
    assert resampled("s", ids, clusters, shapes).tolist() == wanted


def next_plainly(clusters, shapes, rows):
    """For each pair, all others in a ring, those of other clusters first; the first whose row differs."""
    out = []
    for i in range(len(rows)):
        others = [j for j in (*range(i + 1, len(rows)), *range(i)) if shapes[j] == shapes[i]]
        others.sort(key=lambda j: clusters[j] == clusters[i])
        out.append(next((j for j in others if bool((rows[j] - rows[i]).any())), NOBODY))
    return out


@given(PAIRS)
def test_the_next_unlike_pair_is_the_first_in_the_ring_that_differs(pairs):
    clusters, shapes, _, kinds = map(list, zip(*pairs, strict=True))
    rows = [torch.tensor([torch.nan if kind is None else kind]) for kind in kinds]
    assert nearest_unlike(clusters, shapes, kinds).tolist() == next_plainly(clusters, shapes, rows)


def test_partners_come_from_other_clusters_and_have_the_same_shape():
    clusters, shapes = ["a", "a", "b", "b", "c"], [4, 4, 4, 8, 4]
    pool, seen = Pool(clusters, shapes, [True] * 5), [set() for _ in clusters]
    for seed in range(200):
        for i, j in enumerate(partners(pool, 5, random.Random(seed)).tolist()):
            seen[i].add(j)
    assert seen == [{2, 4}, {2, 4}, {0, 1, 4}, {NOBODY}, {0, 1, 2}]


def test_partners_of_one_cluster_are_taken_when_there_is_no_other():
    assert partners(Pool(["a", "a"], [4, 4], [True, True]), 2, random.Random(0)).tolist() == [1, 0]


def test_partners_of_many_pairs_are_found_without_looking_at_all_others():
    """Looking at all of them for each would take minutes."""
    count = 50_000
    clusters, shapes = [f"cluster {n % 9}" for n in range(count)], [1] * count
    found = partners(Pool(clusters, shapes, [True] * count), count, random.Random(0))
    assert all(clusters[i] != clusters[j] for i, j in enumerate(found.tolist()))
    # All rows alike but one, and all of one cluster but one.
    kinds, alone = [0] * (count - 1) + [1], ["a"] * (count // 2) + ["b"] + ["a"] * (count // 2 - 1)
    assert nearest_unlike(alone, shapes, kinds).tolist() == [count - 1] * (count - 1) + [count // 2]
