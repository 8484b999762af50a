"""The canonical sample: whatever the order of the pairs, the same totals."""

import numpy as np
import pytest

from causaltest.effect import Effect
from causaltest.errors import JudgementError
from causaltest.judging.sample import sample_of


def shuffled(order):
    values, clusters, ids = [0.1, 0.2, 0.4, 0.8], ["b", "a", "b", "a"], ["w", "x", "y", "z"]
    return Effect.from_values(
        [values[i] for i in order],
        kind="continuous",
        clusters=[clusters[i] for i in order],
        pair_ids=[ids[i] for i in order],
        placebo=[values[i] / 2 for i in order],
    ).measured


def test_totals_are_per_cluster_and_independent_of_the_order():
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        sample = sample_of(shuffled(order))
        assert sample.totals == pytest.approx([1.0, 0.5])
        assert sample.weights == pytest.approx([2, 2])
        assert sample.values - 2 * sample.placebo == pytest.approx(0)


def test_minus_zero_is_zero():
    zero, minus = (Effect.from_values([v, 1.0], kind="continuous", iid=True).measured for v in (0.0, -0.0))
    assert sample_of(zero).totals.tobytes() == sample_of(minus).totals.tobytes()


def test_effects_about_the_same_pairs_share_their_layout():
    layouts = {}
    first, again = (sample_of(shuffled([0, 1, 2, 3]), layouts) for _ in range(2))
    assert first.unit_of is again.unit_of
    moved = sample_of(shuffled([3, 1, 0, 2]), layouts)
    assert len(layouts) == 2
    assert (moved.totals == first.totals).all()


def test_a_pair_id_twice_is_refused():
    numbers = Effect.from_values([0.1, 0.2], kind="continuous", iid=True, pair_ids=["a", "a"]).measured
    with pytest.raises(JudgementError, match="'a' occurs more than once"):
        sample_of(numbers)


def test_spread_is_that_of_the_units():
    alike = Effect.from_values([0.0, 1.0] * 30, kind="continuous", clusters=np.repeat(np.arange(30), 2))
    assert not sample_of(alike.measured).has_spread
    apart = Effect.from_values([0.0, 1.0] * 30, kind="continuous", iid=True)
    assert sample_of(apart.measured).has_spread


def test_clusters_of_one_pair_are_independent_pairs():
    values = [0.0, 1.0, 0.5]
    assert sample_of(Effect.from_values(values, kind="continuous", clusters="abc").measured).iid
    assert not sample_of(Effect.from_values(values, kind="continuous", clusters="abb").measured).iid


def test_rounding_is_no_spread():
    values = np.full(30, 0.1) + np.random.default_rng(0).normal(0, 1e-12, 30)
    assert not sample_of(Effect.from_values(values, kind="continuous", iid=True).measured).has_spread
