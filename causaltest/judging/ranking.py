"""Whether a member is among the k largest: how often resamples say so, and how many others it beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causaltest.judging.bounds import Bound, probability
from causaltest.judging.resampling import bootstrap_rows, sums_over
from causaltest.judging.sample import Sample

RANKING = "bootstrap of the ranking"


def ranking_p(samples: Sequence[Sample], named: Sequence[int], k: int, *, resamples: int, seed: int) -> float:
    """(1 + the resamples of units in which some named member is not among the k largest) / (1 + resamples).

    Members on the same pairs have the same denominators, so their sums rank as their effects do. A tie, or a lead
    within rounding, counts against the named member.
    """
    rows = bootstrap_rows(samples[0].units, resamples=resamples, seed=seed)
    sums = np.stack([sums.rows for sums in sums_over(rows, [sample.totals for sample in samples])])
    slack = 2 * max(sample.measured_rounding for sample in samples) * samples[0].n
    fails = np.zeros(sums.shape[1], dtype=bool)
    for place in named:
        # itself is one of those that are not below it
        as_large = np.count_nonzero(sums >= sums[place] - slack, axis=0) - 1
        fails |= as_large >= k
    return probability((1 + np.count_nonzero(fails)) / (1 + len(fails)))


@dataclass(frozen=True)
class Lead:
    """How far a member lies above the k-th largest of the others; below zero: it is not among the k largest."""

    estimate: float
    bound: Bound


def lead_of(estimates: Sequence[float], bounds: Sequence[Bound], k: int) -> Lead:
    """From the differences to every other member, each with its bounds.

    A member is among the k largest when it beats at least N - k of the M = N - 1 others: a partial conjunction
    (Benjamini and Heller 2008, Biometrics 64:1215), with p = (M - u + 1) p_(u) for u = N - k, so k p_(u). It is
    not when at least k others beat it: p = (M - k + 1) p_(k). The lead is the k-th smallest difference, and its
    bounds are the k-th smallest bounds, where each lower is taken at alpha / k and each upper at
    alpha / (M - k + 1): so they say the same as the p-values.
    """
    others = len(estimates)
    lowers, uppers = sorted(b.lower for b in bounds), sorted(b.upper for b in bounds)
    above, below = sorted(b.p_above for b in bounds), sorted(b.p_below for b in bounds)
    return Lead(
        sorted(estimates)[k - 1],
        Bound(
            bounds[0].procedure,
            lowers[k - 1],
            uppers[k - 1],
            probability(k * above[others - k]),
            probability((others - k + 1) * below[k - 1]),
        ),
    )
