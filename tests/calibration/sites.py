"""Part 5: many sites at once. How often does any null site survive, and how many discoveries are false?

Neighbouring sites go together, as layers and positions do, and all of them share what is odd about a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control

from calibration.row import Row, at_fault, level
from causaltest.judging.max_t import max_t
from causaltest.judging.sample import Floats

SITES, TRUE, CLUSTERS = 192, 30, 30
NEIGHBOURS, SHARED = 0.8, 0.5
"""Correlation of neighbouring sites, and the weight of what all sites share."""
ALPHA, RATE = 0.05, 0.1
# With 199 flips (1 + count) / 200 meets .05 exactly, so that the level is met and not only kept.
FLIPS, FINE_FLIPS = 199, 1_999


def rows() -> list[Row]:
    return measured(1_000, 250)


def long_rows() -> list[Row]:
    return measured(4_000, 1_000)


def measured(repeats: int, fewer: int) -> list[Row]:
    """`fewer` repeats for discoveries, which need finer p-values."""
    normal, heavy = family_wise(repeats), family_wise(repeats, seed=3, heavy=True)
    best, named = selection(repeats), discovered(fewer)
    where, true = f"{SITES} correlated null sites", f"{TRUE} of {SITES} sites true"
    return [
        level(5, f"max-T, {where}: any survives", normal.max_t, repeats, conservative=False),
        level(5, f"max-T, two-sided, {where}: any survives", normal.two_sided, repeats, conservative=False),
        level(5, f"max-T, {where}, heavy tails: any survives", heavy.max_t, repeats, conservative=False),
        at_fault(5, f"no correction, {where}: any p at or below .05", normal.uncorrected, above=0.5, repeats=repeats),
        level(5, f"BH at .1, {true}: share of false discoveries", named.bh, fewer, rate=RATE),
        level(5, f"BY at .1, {true}: share of false discoveries", named.by, fewer, rate=RATE),
        at_fault(5, f"no correction, {true}: share of false discoveries", named.uncorrected, above=0.2, repeats=fewer),
        level(5, f"best of {SITES} null sites, tested on the other half", best.other_half, repeats, conservative=False),
        at_fault(
            5, f"best of {SITES} null sites, tested on the same pairs", best.same_pairs, above=0.9, repeats=repeats
        ),
        Row(
            5,
            f"max-T, {SITES} sites with long left tails and mean zero: any survives",
            skewed(fewer),
            kind="published",
            repeats=fewer,
        ),
    ]


@dataclass(frozen=True)
class FamilyWise:
    """Shares of the repeats in which some null site was called an effect."""

    max_t: float
    two_sided: float
    uncorrected: float


@dataclass(frozen=True)
class Selection:
    """Shares of the repeats in which the best of all null sites was called an effect."""

    same_pairs: float
    other_half: float


@dataclass(frozen=True)
class Discovered:
    """Mean shares of null sites among those named, and of the true sites that were named."""

    bh: float
    by: float
    uncorrected: float
    found_by_bh: float


def family_wise(repeats: int, *, seed: int = 0, heavy: bool = False) -> FamilyWise:
    """The family-wise error over 192 correlated null sites. `heavy`: t with 3 degrees, in place of normal."""
    counts = np.zeros(3)
    for draw in range(repeats):
        totals = null_sites(np.random.default_rng((seed, draw)), heavy=heavy)
        one = max_t(totals, resamples=FLIPS, seed=draw)
        two = max_t(totals, resamples=FLIPS, seed=draw, two_sided=True)
        counts += [each.min() <= ALPHA for each in (one.p_adjusted, two.p_adjusted, one.p_values)]
    return FamilyWise(*(counts / repeats).tolist())


def skewed(repeats: int, *, seed: int = 4) -> float:
    """Sites that are not null, though their mean is zero: many small gains and a few large losses."""
    count = 0
    for draw in range(repeats):
        rng = np.random.default_rng((seed, draw))
        totals = np.exp(0.5) - np.exp(rng.normal(size=(SITES, CLUSTERS)))
        count += max_t(totals, resamples=FLIPS, seed=draw).p_adjusted.min() <= ALPHA
    return count / repeats


def selection(repeats: int, *, seed: int = 1) -> Selection:
    """The best of 192 null sites, tested on the pairs that it was chosen on, and on the other half of them."""
    counts = np.zeros(2)
    for draw in range(repeats):
        totals = null_sites(np.random.default_rng((seed, draw)), clusters=2 * CLUSTERS, neighbours=0.0, shared=0.0)
        first, second = totals[:, :CLUSTERS], totals[:, CLUSTERS:]
        best, chosen = int(totals.sum(axis=1).argmax()), int(first.sum(axis=1).argmax())
        same = max_t(totals[best : best + 1], resamples=FLIPS, seed=draw).p_values[0]
        other = max_t(second[chosen : chosen + 1], resamples=FLIPS, seed=draw).p_values[0]
        counts += [same <= ALPHA, other <= ALPHA]
    return Selection(*(counts / repeats).tolist())


def discovered(repeats: int, *, seed: int = 2) -> Discovered:
    """False discovery proportions where 30 of 192 sites have an effect."""
    sums = np.zeros(4)
    for draw in range(repeats):
        rng = np.random.default_rng((seed, draw))
        totals = null_sites(rng)
        true = np.zeros(SITES, dtype=bool)
        true[rng.choice(SITES, TRUE, replace=False)] = True
        totals[true] += 0.9
        p = max_t(totals, resamples=FINE_FLIPS, seed=draw).p_values
        bh, by = (false_discovery_control(p, method=method) <= RATE for method in ("bh", "by"))
        sums += [false_share(bh, true), false_share(by, true), false_share(p <= RATE, true), (bh & true).sum() / TRUE]
    return Discovered(*(sums / repeats).tolist())


def false_share(named: np.ndarray, true: np.ndarray) -> float:
    return float((named & ~true).sum() / max(1, named.sum()))


def null_sites(
    rng: np.random.Generator,
    *,
    clusters: int = CLUSTERS,
    heavy: bool = False,
    neighbours: float = NEIGHBOURS,
    shared: float = SHARED,
) -> Floats:
    """[site, cluster] totals with mean zero, of clusters of different sizes."""
    noise = rng.standard_t(3, (SITES, clusters)) if heavy else rng.normal(size=(SITES, clusters))
    totals = np.empty((SITES, clusters))
    totals[0] = noise[0]
    for site in range(1, SITES):
        totals[site] = neighbours * totals[site - 1] + np.sqrt(1 - neighbours**2) * noise[site]
    totals += shared * rng.normal(size=clusters)
    sizes: Floats = rng.integers(1, 4, clusters) / 2.0
    return totals * sizes
