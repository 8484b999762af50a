"""max-T against enumeration written out by hand, and what must hold of it whatever the numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.judging.max_t import max_t

totals = st.integers(1, 5).flatmap(
    lambda sites: st.integers(2, 7).flatmap(
        lambda units: st.lists(
            st.lists(st.integers(-4, 6).map(float), min_size=units, max_size=units), min_size=sites, max_size=sites
        )
    )
)


def student(totals: list[float]) -> float:
    """Student's t of a sample against zero, squeezed into what can be compared when there is no spread."""
    n, mean = len(totals), sum(totals) / len(totals)
    if not any(totals):
        return 0.0
    spread = math.sqrt(sum((x - mean) ** 2 for x in totals) / (n - 1))
    return math.copysign(math.inf, mean) if spread < 1e-12 else mean / (spread / math.sqrt(n))


def by_hand(totals: list[list[float]], two_sided: bool) -> list[float]:
    """Step-down max-T over all sign-flips, as in Westfall and Young's algorithm 2.8, one line after the other."""
    measure = abs if two_sided else float
    sites, units = range(len(totals)), len(totals[0])
    moved = [any(row) for row in totals]
    own = [measure(student(row)) for row in totals]
    flips = [
        [measure(student([s * x for s, x in zip(signs, row, strict=True)])) for row in totals]
        for signs in itertools.product((1, -1), repeat=units)
    ]
    p = {}
    for i in sites:
        rivals = [j for j in sites if own[j] <= own[i] + 1e-9]
        reached = sum(max(flip[j] for j in rivals) >= own[i] - 1e-9 for flip in flips)
        p[i] = reached / len(flips)
    largest, out = 0.0, [1.0] * len(totals)
    for i in sorted(sites, key=lambda i: -own[i]):
        largest = max(largest, p[i])
        out[i] = largest if moved[i] else 1.0
    return out


@settings(max_examples=60, deadline=None)
@given(totals, st.booleans())
def test_it_is_the_enumeration_by_hand(rows: list[list[float]], two_sided: bool) -> None:
    tests = max_t(np.array(rows), two_sided=two_sided, resamples=10, seed=0)
    assert tests.enumerated and tests.flips == 2 ** len(rows[0]) - 1
    expected = by_hand(rows, two_sided)
    moved = [i for i, row in enumerate(rows) if any(row)]
    assert tests.p_adjusted[moved] == pytest.approx([expected[i] for i in moved])
    alone = [by_hand([row], two_sided)[0] for row in rows]
    assert tests.p_values == pytest.approx(alone)


@settings(max_examples=60, deadline=None)
@given(totals, st.permutations(range(5)), st.booleans())
def test_neither_the_order_of_sites_nor_their_units_of_measure_matter(
    rows: list[list[float]], order: list[int], two_sided: bool
) -> None:
    given_, order = np.array(rows), [i for i in order if i < len(rows)]
    scaled = given_ * np.array([[3.0**i] for i in range(len(rows))])
    first = max_t(given_, two_sided=two_sided, resamples=10, seed=0).p_adjusted
    other = max_t(scaled[order], two_sided=two_sided, resamples=10, seed=0).p_adjusted
    assert other == pytest.approx(first[order])


@settings(max_examples=60, deadline=None)
@given(totals, st.booleans())
def test_the_correction_only_raises_and_another_site_never_lowers(rows: list[list[float]], two_sided: bool) -> None:
    tests = max_t(np.array(rows), two_sided=two_sided, resamples=10, seed=0)
    assert (tests.p_adjusted >= tests.p_values - 1e-12).all()
    assert ((tests.p_values > 0) & (tests.p_adjusted <= 1)).all()
    fewer = max_t(np.array(rows[:-1] or rows), two_sided=two_sided, resamples=10, seed=0)
    assert (fewer.p_adjusted <= tests.p_adjusted[: len(fewer.p_adjusted)] + 1e-12).all()


def test_a_site_that_is_there_twice_costs_nothing() -> None:
    """The same flip serves all sites, so that sites which go together count as one; Bonferroni would double."""
    rng = np.random.default_rng(0)
    row = rng.normal(0.8, 1, size=(1, 12))
    once = max_t(row, resamples=10, seed=0).p_adjusted[0]
    many = max_t(np.repeat(row, 50, axis=0), resamples=10, seed=0).p_adjusted
    assert many == pytest.approx(once)


def test_more_units_than_can_be_enumerated_are_sampled_and_the_seed_decides() -> None:
    rows = np.random.default_rng(1).normal(0.3, 1, size=(6, 30))
    one, again, other = (max_t(rows, resamples=999, seed=seed) for seed in (0, 0, 1))
    assert not one.enumerated and one.flips == 999
    assert (one.p_adjusted == again.p_adjusted).all()
    assert (one.p_adjusted != other.p_adjusted).any()
    assert one.p_adjusted == pytest.approx(other.p_adjusted, abs=0.06)


def test_what_lies_within_rounding_has_no_effect_and_makes_ties() -> None:
    """Float noise of one sign at every cluster would be the surest of all effects."""
    noise = np.array([[1e-7] * 10, [1.0] * 10])
    assert max_t(noise, resamples=10, seed=0).p_values[0] == 2**-10
    told = max_t(noise, slack=np.full(10, 1e-6), resamples=10, seed=0)
    assert told.p_values.tolist() == [1.0, 2**-10]
    # seven equal clusters for, three against, as measured: each tie is off by a little
    off = np.array([[1.0 + 1e-7 * i for i in range(7)] + [-1.0 - 1e-7 * i for i in range(3)]])
    exact = max_t(np.sign(off), resamples=10, seed=0).p_values[0]
    assert max_t(off, slack=np.full(10, 1e-6), resamples=10, seed=0).p_values[0] == exact
    assert max_t(off, resamples=10, seed=0).p_values[0] < exact


def test_a_site_that_moved_nothing_has_p_one() -> None:
    assert max_t(np.zeros((3, 6)), resamples=10, seed=0).p_adjusted.tolist() == [1.0] * 3


def test_many_sites_are_tested_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).normal(0.3, 1, size=(9, 20))
    whole = max_t(rows, resamples=500, seed=0)
    monkeypatch.setattr("causaltest.judging.max_t.ENTRIES_AT_ONCE", 9 * 7)
    parts = max_t(rows, resamples=500, seed=0)
    assert (whole.p_adjusted == parts.p_adjusted).all() and (whole.p_values == parts.p_values).all()


def test_any_null_site_survives_in_a_twentieth_of_all_sweeps() -> None:
    """Sixty correlated null sites, where without a correction most sweeps would find something."""
    corrected, uncorrected = 0, 0
    for draw in range(400):
        rng = np.random.default_rng((7, draw))
        tests = max_t(rng.normal(size=(60, 20)) + rng.normal(size=20), resamples=199, seed=draw)
        corrected += tests.p_adjusted.min() <= 0.05
        uncorrected += tests.p_values.min() <= 0.05
    assert 0.014 <= corrected / 400 <= 0.086, "the 99.9 % band of .05"
    assert uncorrected / 400 > 0.4
