"""Simulated samples whose truth is known: a number of them from one seed, as effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.verdicts import effect_of
from causaltest.effect import Effect
from causaltest.judging.sample import Floats


@dataclass(frozen=True)
class Design:
    """Which pairs belong together: so many clusters, of so many pairs, correlated so much (ICC)."""

    clusters: int
    pairs: int
    icc: float

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.clusters), self.pairs)

    @property
    def shared(self) -> NDArray[np.int64] | None:
        """The labels, or None where every pair stands for itself."""
        return None if self.pairs == 1 else self.labels

    def __str__(self) -> str:
        if self.pairs == 1:
            return f"{self.clusters} pairs"
        return f"{self.clusters} clusters of {self.pairs}, ICC {self.icc:g}"


DESIGNS = tuple(Design(clusters, 10, icc) for clusters in (5, 10, 30) for icc in (0.0, 0.1, 0.3))
SOME = (DESIGNS[0], DESIGNS[4], DESIGNS[8])
"""Each number of clusters and each correlation once."""


def normal(design: Design, repeats: int, *, seed: int) -> Iterator[Floats]:
    """Mean 0, variance 1. [pair]"""
    rng = np.random.default_rng((2, seed))
    own, shared = np.sqrt(1 - design.icc), np.sqrt(design.icc)
    for _ in range(repeats):
        of_cluster = rng.normal(size=design.clusters)[design.labels]
        yield shared * of_cluster + own * rng.normal(size=len(of_cluster))


def uniform(design: Design, repeats: int, *, seed: int) -> Iterator[Floats]:
    """Mean 0, within -1 and 1: a uniform of the cluster's and one of the pair's own. [pair]"""
    rng = np.random.default_rng((2, seed))
    # widths in proportion to the standard deviations, which sum to no more than the range allows
    own, shared = np.sqrt(1 - design.icc), np.sqrt(design.icc)
    scale = 1 / (own + shared)
    for _ in range(repeats):
        of_cluster = rng.uniform(-1, 1, design.clusters)[design.labels]
        yield scale * (shared * of_cluster + own * rng.uniform(-1, 1, len(of_cluster)))


def coins(design: Design, share: float, repeats: int, *, seed: int) -> Iterator[Floats]:
    """0 or 1, in `share` of the pairs 1; each cluster's own share comes from a beta distribution. [pair]"""
    rng = np.random.default_rng((2, seed))
    strength = (1 - design.icc) / design.icc if design.icc else None
    for _ in range(repeats):
        if strength is None:
            shares = np.full(design.clusters, share)
        else:
            shares = rng.beta(share * strength, (1 - share) * strength, design.clusters)
        yield (rng.random(design.clusters * design.pairs) < shares[design.labels]).astype(np.float64)


def informative(repeats: int, *, clusters: int, slope: float, seed: int) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """Clusters of 2 to 20 pairs, of which the larger ones have smaller effects; over all pairs the mean is 0.

    ([pair], [pair] cluster). Over clusters the mean is not 0, which is what a test on cluster means asks about.
    """
    rng = np.random.default_rng((2, seed))
    sizes = np.arange(2, 21)
    centre = float((sizes**2).sum() / sizes.sum())
    for _ in range(repeats):
        drawn = rng.choice(sizes, clusters)
        labels = np.repeat(np.arange(clusters), drawn)
        of_cluster = slope * (drawn - centre) + 0.5 * rng.normal(size=clusters)
        yield of_cluster[labels] + rng.normal(size=len(labels)), labels


def ratios(design: Design, truth: float, repeats: int, *, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Numerators and denominators of a ratio of sums: each pair has a denominator of its own size. [pair] each"""
    rng = np.random.default_rng((2, seed))
    noises = normal(design, repeats, seed=seed + 1)
    for noise in noises:
        below = rng.uniform(0.4, 1.6, len(noise))
        yield below * (truth + 0.4 * noise), below


def effects(samples: Iterator[Floats], design: Design | None = None, *, plus: float = 0.0, **how) -> Iterator[Effect]:
    """Each sample as an effect; the samples of a design are in its clusters."""
    clusters = None if design is None else design.shared
    for values in samples:
        yield effect_of(values + plus, clusters=clusters, **how)
