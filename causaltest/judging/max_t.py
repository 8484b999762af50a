"""max-T: the sites of a sweep tested together, so that looking at many of them costs what it should.

Each cluster's sign is flipped at all sites at once, which keeps the correlation between sites. What the largest
statistic reaches in a flip is then what the best of so many null sites reaches by luck (Westfall and Young 1993,
Resampling-Based Multiple Testing, algorithm 2.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from causaltest.judging.resampling import flip_rows
from causaltest.judging.sample import Floats

# a matrix of [site, flip] of at most 32 MB at once
ENTRIES_AT_ONCE = 2**22
RELATIVE_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class SiteTests:
    """The p-values of all sites, from the same flips."""

    p_values: Floats
    """[site], each site for itself"""
    p_adjusted: Floats
    """[site], of all sites together: at most alpha of the sweeps without any effect have one at or below alpha"""
    flips: int
    """How many sign-flips there were, beside the signs that were observed."""
    enumerated: bool
    """Whether these are all that there are."""


def max_t(
    totals: Floats, *, slack: Floats | None = None, two_sided: bool = False, resamples: int, seed: int
) -> SiteTests:
    """Step-down max-T by sign-flips of units, of "the effect here lies above zero", or with two sides "is not zero".

    `totals` are [site, unit], the sums of an effect over each cluster; `slack` is [unit], how far rounding may move
    one. A site whose totals are all within it has p = 1, and sums that differ by rounding alone count as ties.

    A site's statistic is the sum of its totals over the root of the sum of their squares. No flip changes the
    squares, and Student's t is an increasing function of it, the same at all sites: so the largest t is found where
    this is largest. Stepping down, a site competes with those that are not above it (algorithm 2.8, with
    monotone p-values); (1 + count) / (1 + flips) counts the observed signs too (Phipson and Smyth 2010).

    The null is a site whose totals are as often positive as negative, size for size, which holds where a patch does
    nothing. It is not merely a mean of zero: rare large losses that make up for many small gains are found, as an
    effect that they are. So survivors are for exploring, and a claim on other pairs confirms them.
    """
    sites, units = totals.shape
    slack = np.zeros(units) if slack is None else slack
    norms = np.sqrt((totals**2).sum(axis=1))
    moved = norms > 0
    scale = np.where(moved, norms, 1.0)
    scores = totals / scale[:, None]
    own = scores.sum(axis=1)
    order = np.argsort(-np.abs(own) if two_sided else -own, kind="stable")
    scores, own = scores[order], np.abs(own[order]) if two_sided else own[order]
    # enough that a site of which all totals are rounding is tied with every flip of itself
    ties = (RELATIVE_TIE * np.sqrt(units) + 2 * slack.sum() / scale)[order]
    alone, together, flips = np.zeros(sites), np.zeros(sites), 0
    for block in in_parts(flip_rows(units, resamples=resamples, seed=seed), max(1, ENTRIES_AT_ONCE // sites)):
        flipped = scores @ (1.0 - 2.0 * block.T)
        if two_sided:
            np.abs(flipped, out=flipped)
        flipped += ties[:, None]
        alone += np.count_nonzero(flipped >= own[:, None], axis=1)
        # the largest among a site and those below it
        largest = np.maximum.accumulate(flipped[::-1], axis=0)[::-1]
        together += np.count_nonzero(largest >= own[:, None], axis=1)
        flips += len(block)
    p_values, p_adjusted = np.ones(sites), np.ones(sites)
    p_values[order] = (1 + alone) / (1 + flips)
    p_adjusted[order] = np.maximum.accumulate((1 + together) / (1 + flips))
    return SiteTests(
        np.where(moved, p_values, 1.0), np.where(moved, p_adjusted, 1.0), flips, enumerated=flips == 2**units - 1
    )


def in_parts(blocks: Iterable[Floats], rows: int) -> Iterator[Floats]:
    """The same rows, at most `rows` at once."""
    for block in blocks:
        for start in range(0, len(block), rows):
            yield block[start : start + rows]
