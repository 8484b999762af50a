"""Betting bounds keep their level where BCa and t lose it, and need no spread."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from causaltest.effect import Effect
from causaltest.judging.bca import bca, replicates_of
from causaltest.judging.betting import Game, betting, far_side, lower_bound, wealth
from causaltest.judging.bounds import Thresholds
from causaltest.judging.sample import Sample, sample_of
from causaltest.judging.student import student


def bounded(values, span=(0.0, 1.0)) -> Sample:
    return sample_of(Effect.from_values(values, kind="continuous", iid=True, range=span).measured)


def asked(threshold: float, alpha: float = 0.05) -> Thresholds:
    return Thresholds(threshold, threshold, alpha)


@pytest.mark.parametrize(("threshold", "n"), [(0.94, 49), (0.5, 5), (0.8, 14)])
def test_without_spread_it_is_as_sharp_as_the_exact_binomial(threshold, n):
    assert betting(bounded([1.0] * n), asked(threshold), tuned_at=0.05, seed=0).p_above <= 0.05
    assert betting(bounded([1.0] * (n - 1)), asked(threshold), tuned_at=0.05, seed=0).p_above > 0.05
    assert betting(bounded([0.0] * n), asked(1 - threshold), tuned_at=0.05, seed=0).p_below <= 0.05


def plainly(totals, weights, largest, span, is_ratio, alpha, threshold):
    """The largest wealth of a gambler who plays unit after unit, by the formulas as they stand in the docstrings."""
    n = len(totals)
    reach = abs(threshold) * max(map(abs, span)) if is_ratio else None
    losing, winning = (
        (threshold - span[0], span[1] - threshold) if reach is None else (reach - span[0], reach + span[1])
    )
    losing, winning = max(losing, 0.0), max(winning, 0.0)
    width = losing + winning
    share = min(max(losing / width, 1e-12), 1 - 1e-12)
    q = share
    if math.log(1 / alpha) / n < -math.log(share):
        q = optimize.brentq(
            lambda q: special.rel_entr(q, share) + special.rel_entr(1 - q, 1 - share) - math.log(1 / alpha) / n,
            share, 1 - 1e-16,
        )  # fmt: skip
    else:
        q = 1 - 1e-12
    cut = max(0.9 / share, min((q - share) / (share * (1 - share)), 1 / share))
    wealth, best, seen, squares = 1.0, 1.0, [], share * (1 - share)
    for total, weight in zip(totals, weights, strict=True):
        pays = (total - threshold * weight) / largest / width
        stake = min(math.sqrt(2 * math.log(1 / alpha) / (n * squares / (len(seen) + 1))), cut)
        wealth *= max(1 + stake * pays, 0.0)
        best = max(best, wealth)
        seen.append(pays)
        squares += (pays - sum(seen) / len(seen)) ** 2
    return best


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_the_wealth_is_that_of_a_gambler_who_plays_unit_after_unit(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, alpha = data.draw(st.integers(1, 80)), data.draw(st.sampled_from((0.05, 0.01, 1e-4)))
    span = sorted(rng.normal(0, 1, 2))
    sizes = rng.integers(1, 6, n).astype(float) if data.draw(st.booleans()) else np.ones(n)
    values = rng.uniform(*span, n) if data.draw(st.booleans()) else rng.choice(span, n)
    is_ratio = data.draw(st.booleans())
    weights = sizes * (rng.uniform(0.1, 1, n) * max(map(abs, span)) if is_ratio else 1)
    game = Game(values * sizes, weights, float(sizes.max()), span[0], span[1], is_ratio, alpha)
    thresholds = (
        np.linspace(span[0] + 1e-3, span[1] - 1e-3, 7) if span[1] - span[0] > 0.01 else np.array([sum(span) / 2])
    )
    for threshold, given_wealth in zip(thresholds, wealth(game, thresholds), strict=True):
        wanted = plainly(values * sizes, weights, sizes.max(), span, is_ratio, alpha, threshold)
        assert given_wealth == pytest.approx(wanted, rel=1e-6)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_effect_below_the_bound_is_possible(data):
    """The wealth need not fall steadily with X, so a search could step over a stretch that is possible."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n, is_ratio = data.draw(st.integers(5, 120)), data.draw(st.booleans())
    sizes = rng.integers(1, 8, n).astype(float) if data.draw(st.booleans()) else np.ones(n)
    drawn = [rng.uniform(0, 1, n), (rng.random(n) < rng.random()).astype(float), rng.beta(0.2, 0.2, n)]
    values = data.draw(st.sampled_from(drawn))
    order = data.draw(st.sampled_from((slice(None), np.argsort(values), np.argsort(-values))))
    values = values[order]
    weights = sizes * (rng.uniform(0.1, 1, n) if is_ratio else 1)
    game = Game(values * sizes, weights, float(sizes.max()), 0.0, 1.0, is_ratio, 0.05)
    estimate = float((values * sizes).sum() / weights.sum())
    lower, _ = lower_bound(game, estimate, 0.05, estimate)
    for end in (0.0, far_side(game, estimate, 0.05)):
        if max(end, lower - 2) < lower < np.inf:
            below = np.linspace(max(end, lower - 2), lower, 500)[:-1]
            assert (wealth(game, below) >= 1 / 0.05).all()


def test_bounds_hold_the_estimate_and_the_range():
    values = np.random.default_rng(0).beta(2, 2, 80)
    bound = betting(bounded(values), asked(0.3), tuned_at=0.05, seed=1)
    assert 0 <= bound.lower < values.mean() < bound.upper <= 1
    assert bound.upper - bound.lower < 0.2


def test_the_bound_is_where_the_p_value_crosses_alpha():
    sample = bounded(np.random.default_rng(0).beta(2, 2, 80))
    lower = betting(sample, asked(0.0), tuned_at=0.05, seed=1).lower
    assert betting(sample, asked(lower - 1e-4), tuned_at=0.05, seed=1).p_above <= 0.05
    assert betting(sample, asked(lower + 1e-4), tuned_at=0.05, seed=1).p_above > 0.05


def test_a_mirrored_sample_has_mirrored_bounds():
    values = np.random.default_rng(2).beta(5, 1, 60)
    right = betting(bounded(values), asked(0.7), tuned_at=0.05, seed=3)
    left = betting(bounded(-values, (-1.0, 0.0)), asked(-0.7), tuned_at=0.05, seed=3)
    assert left.upper == pytest.approx(-right.lower)
    assert left.p_below == pytest.approx(right.p_above)


def test_a_wider_range_is_a_weaker_promise():
    values = np.random.default_rng(2).beta(5, 5, 60)
    narrow = betting(bounded(values), asked(0.4), tuned_at=0.05, seed=3)
    wide = betting(bounded(values, (-10.0, 10.0)), asked(0.4), tuned_at=0.05, seed=3)
    assert wide.lower < narrow.lower


def test_clusters_are_the_units_of_play():
    values = np.repeat(np.random.default_rng(7).beta(2, 2, 30), 10)
    clustered = Effect.from_values(values, kind="continuous", clusters=np.repeat(np.arange(30), 10), range=(0, 1))
    wide = betting(sample_of(clustered.measured), asked(0.2), tuned_at=0.05, seed=1)
    narrow = betting(bounded(values), asked(0.2), tuned_at=0.05, seed=1)
    assert wide.lower < narrow.lower - 0.03


def test_a_ratio_is_bounded_by_the_range_of_its_values():
    rng = np.random.default_rng(8)
    below = rng.uniform(2, 4, 200)
    above = below * rng.normal(0.6, 0.1, 200)
    effect = Effect.from_values(above, kind="ratio", denominators=below, range=(-6, 6), iid=True)
    bound = betting(sample_of(effect.measured), asked(0.3), tuned_at=0.05, seed=1)
    assert bound.p_above <= 0.05
    assert 0.3 < bound.lower < 0.6 < bound.upper


def test_a_larger_family_never_helps():
    sample = bounded(np.random.default_rng(0).beta(3, 2, 60))
    bounds = [betting(sample, asked(0.45, 0.05 / k), tuned_at=0.05, seed=1) for k in range(1, 12)]
    lowers = [b.lower for b in bounds]
    assert lowers == sorted(lowers, reverse=True)
    # the bets themselves are the same, and only the bar rises
    cleared = [betting(sample, asked(0.2, 0.05 / k), tuned_at=0.05, seed=1).p_above for k in range(1, 12)]
    assert len(set(cleared)) == 1


@pytest.mark.parametrize("n", [20, 50])
def test_rare_failures_that_the_sample_missed(n):
    """97 % at 1 and 3 % at -1 has mean .94: BCa with t find "at least .94" far too often, betting does not."""
    rng, repeats = np.random.default_rng(5), 300
    approximate = by_betting = 0
    for repeat in range(repeats):
        sample = bounded(rng.choice([1.0, -1.0], n, p=[0.97, 0.03]), (-1.0, 1.0))
        question = asked(0.94)
        # without spread t has p = 0 and BCa a point: both "clear"
        approximate += not sample.has_spread or (
            bca(sample, question, replicates_of([sample], resamples=1000, seed=repeat)[0]).p_above <= 0.05
            and student(sample, question).p_above <= 0.05
        )
        by_betting += betting(sample, question, tuned_at=0.05, seed=repeat).p_above <= 0.05
    assert by_betting / repeats <= 0.05
    assert approximate / repeats > 0.15


@pytest.mark.parametrize("shape", [(1, 3), (0.2, 0.2)])
def test_level_on_other_bounded_shapes(shape):
    rng, repeats = np.random.default_rng(6), 400
    mean = shape[0] / sum(shape)
    false = sum(
        betting(bounded(rng.beta(*shape, 40)), asked(mean), tuned_at=0.05, seed=i).p_above <= 0.05
        for i in range(repeats)
    )
    assert false / repeats <= 0.05
