"""BCa bounds are scipy's, and their p-values are the alphas that would put a bound at the threshold."""

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging import bca as room
from causaltest.judging.bounds import Thresholds
from causaltest.judging.sample import sample_of


def bca(sample, thresholds, *, resamples, seed):
    return room.bca(sample, thresholds, room.replicates_of([sample], resamples=resamples, seed=seed)[0])


def skewed(n: int = 60):
    return sample_of(
        Effect.from_values(np.random.default_rng(4).exponential(1, n), kind="continuous", iid=True).measured
    )


def ratio_of_sums(above, below, axis=-1):
    return above.sum(axis=axis) / below.sum(axis=axis)


def sample_like(kind, n, seed):
    """Of few units a resample often is the sample in another order: a tie, which scipy sees where sums are exact."""
    rng = np.random.default_rng(seed)
    clusters, below = None, None
    if kind == "normal":
        values = rng.normal(0.4, 1, n)
    elif kind == "skewed":
        values = rng.exponential(1, n)
    elif kind == "long-tailed":
        values = np.exp(3 * rng.normal(0, 1, n))
    elif kind == "ties":
        values = rng.integers(-1, 3, n) / 4
    elif kind == "single precision":
        values = rng.normal(5, 1, n).astype(np.float32)
    elif kind == "ratio":
        below = rng.uniform(1, 4, n)
        values = below * rng.normal(0.5, 0.3, n)
    elif kind == "clusters":
        values, clusters = rng.normal(0.4, 1, n), rng.integers(0, n // 3, n)
    else:
        below, clusters = rng.exponential(1, n) + 0.1, rng.integers(0, n // 3, n)
        values = below * rng.beta(5, 1, n)
    if n < 30:
        values, below = (None if x is None else np.round(x * 2**20) / 2**20 for x in (values, below))
    effect = Effect.from_values(
        values,
        kind="continuous" if below is None else "ratio",
        clusters=clusters,
        iid=clusters is None,
        denominators=below,
    )
    return sample_of(effect.measured)


CASES = [
    *(("normal", n, 0.05) for n in (5, 60, 634)),
    *(("skewed", n, 0.01) for n in (8, 60, 2000)),
    *(("long-tailed", n, 0.05) for n in (30, 634)),
    *(("ties", n, 0.05) for n in (7, 20, 64, 634)),
    *(("single precision", n, 0.025) for n in (50, 634)),
    *(("ratio", n, 0.05 / 3) for n in (12, 60, 634)),
    *(("clusters", n, 0.05) for n in (30, 634)),
    ("ratio in clusters", 300, 0.05),
    # above 4096 units both parts of a column are in double precision
    ("skewed", 5000, 0.05),
]


@pytest.mark.parametrize(("kind", "n", "alpha"), CASES)
def test_bounds_are_scipys_own(kind, n, alpha):
    sample, seed, resamples = sample_like(kind, n, seed=n), 9, 2000
    ends = Thresholds(-np.inf, np.inf, alpha)
    bound = bca(sample, ends, resamples=resamples, seed=seed)
    # scipy draws its own indices from the same stream, in one batch; ours come in blocks
    theirs = stats.bootstrap(
        (sample.totals, sample.weights),
        ratio_of_sums,
        paired=True,
        n_resamples=resamples,
        confidence_level=1 - 2 * alpha,
        method="BCa",
        rng=np.random.default_rng((seed, 1)),
    ).confidence_interval
    assert bound.lower == pytest.approx(theirs.low, rel=1e-12, abs=0)
    assert bound.upper == pytest.approx(theirs.high, rel=1e-12, abs=0)


def test_ties_with_the_estimate_count_half():
    sample = sample_of(Effect.from_values([0.0] * 9 + [1.0], kind="continuous", iid=True).measured)
    replicates = room.replicates_of([sample], resamples=4000, seed=1)[0]
    share = room.share_below(replicates.ascending, replicates.estimate, within=0.0)
    ties = np.mean(replicates.ascending == 0.1)
    assert ties > 0.3
    assert share == np.mean(replicates.ascending < 0.1) + ties / 2


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_p_at_a_bound_is_alpha(alpha):
    sample = skewed()
    ends = bca(sample, Thresholds(0.0, 9.0, alpha), resamples=4000, seed=2)
    at_ends = bca(sample, Thresholds(ends.lower, ends.upper, alpha), resamples=4000, seed=2)
    assert at_ends.p_above == pytest.approx(alpha, rel=0.05)
    assert at_ends.p_below == pytest.approx(alpha, rel=0.05)


def test_resampling_takes_whole_clusters():
    values = np.repeat(np.random.default_rng(5).normal(size=12), 25)
    clusters = np.repeat(np.arange(12), 25)
    by_cluster = sample_of(Effect.from_values(values, kind="continuous", clusters=clusters).measured)
    by_pair = sample_of(Effect.from_values(values, kind="continuous", iid=True).measured)
    wide, narrow = (bca(s, Thresholds(0, 0, 0.05), resamples=1000, seed=1) for s in (by_cluster, by_pair))
    assert wide.upper - wide.lower > 3 * (narrow.upper - narrow.lower)


def test_without_spread_it_is_silent_and_warns_of_nothing():
    sample = sample_of(Effect.from_values([1.0] * 30, kind="continuous", iid=True).measured)
    bound = bca(sample, Thresholds(0.5, 0.5, 0.05), resamples=1000, seed=1)
    assert (bound.lower, bound.upper, bound.p_above) == (-np.inf, np.inf, 1.0)


def test_resampled_denominators_that_cancel_make_it_silent():
    rng = np.random.default_rng(6)
    sample = sample_of(
        Effect.from_values(rng.normal(size=20), kind="ratio", denominators=rng.normal(0.3, 1, 20), iid=True).measured
    )
    assert bca(sample, Thresholds(0, 0, 0.05), resamples=1000, seed=1).lower == -np.inf


def test_the_seed_decides_every_bit():
    sample, asked = skewed(), Thresholds(0.5, 0.5, 0.05)
    assert bca(sample, asked, resamples=1000, seed=3) == bca(sample, asked, resamples=1000, seed=3)
    assert bca(sample, asked, resamples=1000, seed=3) != bca(sample, asked, resamples=1000, seed=4)
