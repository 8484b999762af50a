"""Imagined samples have the truth that they were drawn from, and the first of them are the same in a larger sample."""

from dataclasses import replace

import numpy as np
import pytest

from causaltest.judging.designs import Design
from causaltest.judging.imagined import before_clipping, clipped_mean, imagined
from causaltest.judging.supposing import Truth


def truth(effect, *, sd=0.3, icc=0.0, placebo=0.1):
    return Truth(effect, sd, icc, placebo, ())


def columns(design, supposed, *, units=60, samples=400, seed=1):
    """[sample, pair] values, denominators and placebos."""
    numbers = [e.measured for e in imagined(design, supposed, units=units, samples=samples, seed=seed)]
    placebo = [n.controls.placebo for n in numbers]
    return (
        np.array([n.values for n in numbers]),
        None if numbers[0].denominators is None else np.array([n.denominators for n in numbers]),
        np.array(placebo) if isinstance(placebo[0], tuple) else None,
    )


def correlation_within(values, size):
    """Of two pairs of one cluster, over all samples."""
    table = values.reshape(len(values), -1, size)
    return float(np.corrcoef(table[:, :, 0].ravel(), table[:, :, 1].ravel())[0, 1])


DESIGNS = {
    "binary": Design("binary", (4,) * 10, (0.0, 1.0), 1.0),
    "ranged": Design("continuous", (4,) * 10, (-1.0, 1.0), 1.0),
    "unbounded": Design("continuous", (4,) * 10),
    "ratio": Design("ratio", (4,) * 10, (-40.0, 40.0), 40.0),
    "ratio without a range": Design("ratio", (4,) * 10),
    "arms": Design("continuous", (4,) * 10, (-1.0, 1.0), 1.0, arms="binary"),
}


@pytest.mark.parametrize("icc", [0.0, 0.3])
@pytest.mark.parametrize("name", DESIGNS)
def test_effect_placebo_and_clustering_are_those_supposed(name, icc):
    design = DESIGNS[name]
    values, denominators, placebo = columns(design, truth(0.6, icc=icc))
    below = np.ones_like(values) if denominators is None else denominators
    assert values.sum() / below.sum() == pytest.approx(0.6, abs=0.012)
    level = 0.0 if design.arms else 0.1
    assert placebo.sum() / below.sum() == pytest.approx(level, abs=0.012)
    shares = values / below
    # clipping at the ends of a range takes a little of the correlation
    assert correlation_within(shares, 4) == pytest.approx(icc, abs=0.04)
    if design.range is not None:
        assert design.range[0] <= values.min() and values.max() <= design.range[1]
        assert np.abs(below).max() <= max(map(abs, design.range))


def test_the_spread_is_that_supposed():
    values, _, _ = columns(DESIGNS["unbounded"], truth(0.0, sd=2.0, icc=0.25))
    assert values.std() == pytest.approx(2.0, rel=0.03)
    means = values.reshape(len(values), -1, 4).mean(axis=2)
    assert means.std() == pytest.approx(2.0 * np.sqrt(0.25 + 0.75 / 4), rel=0.03)


def test_a_mean_near_the_end_of_the_range_is_kept_by_placing_the_normal_further_out():
    values, _, _ = columns(DESIGNS["ranged"], truth(0.9, sd=0.5))
    assert values.mean() == pytest.approx(0.9, abs=0.01)
    middle = before_clipping(0.9, 0.5, (-1.0, 1.0))
    draws = np.clip(np.random.default_rng(0).normal(middle, 0.5, 400_000), -1, 1)
    assert draws.mean() == pytest.approx(0.9, abs=0.003)
    assert clipped_mean(middle, 0.5, (-1.0, 1.0)) == pytest.approx(0.9, abs=1e-9)


def test_at_the_very_end_all_are_equal():
    values, _, _ = columns(DESIGNS["ranged"], truth(1.0, sd=0.5), samples=20)
    assert (values == 1.0).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_a_larger_sample_begins_with_the_smaller(name):
    fewer, _, few_placebos = columns(DESIGNS[name], truth(0.5, icc=0.2), units=37, samples=5)
    more, _, placebos = columns(DESIGNS[name], truth(0.5, icc=0.2), units=90, samples=5)
    assert (more[:, : fewer.shape[1]] == fewer).all()
    assert (placebos[:, : fewer.shape[1]] == few_placebos).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_a_wrong_place_does_as_much_as_the_placebo_and_spreads_more(name):
    design = replace(DESIGNS[name], wrong_places=2)
    effects = imagined(design, truth(0.6, placebo=0.2), units=60, samples=200, seed=3)
    numbers = [effect.measured for effect in effects]
    first, second = (np.array([n.controls.elsewhere[place].values for n in numbers]) for place in (0, 1))
    placebo = np.array([n.controls.placebo for n in numbers])
    below = np.ones_like(first) if numbers[0].denominators is None else np.array([n.denominators for n in numbers])
    level = 0.0 if design.arms else 0.2
    for place in (first, second):
        assert place.sum() / below.sum() == pytest.approx(level, abs=0.02)
        assert (place / below).std() > 1.5 * (placebo / below).std()
    assert not (first == second).all()


def test_a_seed_decides_everything():
    first, again, other = (
        columns(DESIGNS["binary"], truth(0.5, icc=0.2), samples=5, seed=seed)[0] for seed in (1, 1, 2)
    )
    assert (first == again).all() and not (first == other).all()


def test_sizes_repeat_and_independent_pairs_have_no_clusters():
    uneven = Design("binary", (1, 5, 2), (0.0, 1.0), 1.0)
    numbers = imagined(uneven, truth(0.5, icc=0.2), units=5, samples=1, seed=0)[0].measured
    assert [numbers.clusters.count(name) for name in dict.fromkeys(numbers.clusters)] == [1, 5, 2, 1, 5]
    alone = imagined(Design("binary", (1,) * 3, (0.0, 1.0), 1.0), truth(0.5), units=4, samples=1, seed=0)[0].measured
    assert alone.clusters is None and len(alone.values) == 4
