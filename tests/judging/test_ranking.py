"""A place among the k largest: the resamples counted by hand, and the partial conjunction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.effect import Effect
from causaltest.judging.bounds import Bound
from causaltest.judging.ranking import lead_of, ranking_p
from causaltest.judging.sample import sample_of


def samples_of(table, clusters=None, kind="continuous", **more):
    which = {"iid": True} if clusters is None else {"clusters": clusters}
    ids = [f"p{i:03}" for i in range(np.shape(table)[1])]
    return [sample_of(Effect.from_values(row, kind=kind, pair_ids=ids, **which, **more).measured) for row in table]


def counted_by_hand(table, named, k, resamples, seed):
    """Draw the units that scipy would draw, and sort the members of every resample."""
    units = np.shape(table)[1]
    drawn = np.random.default_rng((seed, 1)).integers(0, units, (resamples, units))
    failed = 0
    for row in drawn:
        means = [float(np.sum(member[row])) for member in table]
        places = [sum(other >= means[i] for j, other in enumerate(means) if j != i) for i in named]
        failed += any(place >= k for place in places)
    return (1 + failed) / (1 + resamples)


@pytest.mark.parametrize(("named", "k"), [([0], 1), ([0], 2), ([0, 1], 2), ([3], 3)])
def test_the_resamples_by_hand(named, k):
    table = np.random.default_rng(2).integers(0, 9, (4, 25)) + np.array([[1.0], [0.5], [0.0], [0.0]])
    p = ranking_p(samples_of(table), named, k, resamples=500, seed=3)
    assert p == pytest.approx(counted_by_hand(table, named, k, 500, 3))
    assert 0 < p < 1


def test_a_tie_counts_against_the_named():
    table = np.tile(np.random.default_rng(0).normal(0, 1, 30), (3, 1))
    assert ranking_p(samples_of(table), [0], 1, resamples=200, seed=0) == 1.0
    assert ranking_p(samples_of(table), [0], 2, resamples=200, seed=0) == 1.0
    above = table + np.array([[1.0], [0.0], [0.0]])
    assert ranking_p(samples_of(above), [0], 1, resamples=200, seed=0) == pytest.approx(1 / 201)


def test_clusters_are_drawn_whole():
    """Two clusters that disagree: no number of pairs within them makes the ranking sure."""
    clusters = np.arange(200) % 2
    table = np.stack([np.where(clusters == 0, 1.0, 0.0), np.where(clusters == 0, 0.0, 0.9)])
    assert ranking_p(samples_of(table, clusters), [0], 1, resamples=400, seed=0) > 0.15
    assert ranking_p(samples_of(table), [0], 1, resamples=400, seed=0) < ranking_p(
        samples_of(table, clusters), [0], 1, resamples=400, seed=0
    )


def partial_conjunction(p_values, u):
    """Benjamini and Heller: that at least u of the hypotheses are false, by the Bonferroni form."""
    ascending = sorted(p_values)
    return min(1.0, (len(ascending) - u + 1) * ascending[u - 1])


probabilities = st.floats(1e-6, 1)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(probabilities, probabilities), min_size=2, max_size=8), st.data())
def test_the_p_values_are_the_partial_conjunctions(p_values, data):
    others = len(p_values)
    k = data.draw(st.integers(1, others))
    bounds = [Bound("any", -1.0, 1.0, above, below) for above, below in p_values]
    lead = lead_of([0.0] * others, bounds, k)
    # of N = others + 1 members, it must beat N - k; it is out where k others beat it
    assert lead.bound.p_above == pytest.approx(partial_conjunction([p for p, _ in p_values], others + 1 - k))
    assert lead.bound.p_below == pytest.approx(partial_conjunction([p for _, p in p_values], k))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=8), st.data())
def test_the_lead_lies_between_its_bounds(differences, data):
    k = data.draw(st.integers(1, len(differences)))
    estimates = [float(d) for d, _, _ in differences]
    bounds = [Bound("any", float(d - low), float(d + high), 0.5, 0.5) for d, low, high in differences]
    lead = lead_of(estimates, bounds, k)
    assert lead.bound.lower <= lead.estimate <= lead.bound.upper
    # it leads by more than zero exactly when fewer than k others are at least as large
    assert (lead.estimate > 0) == (sum(d <= 0 for d in estimates) < k)
