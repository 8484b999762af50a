"""Page's trend test: its statistic by hand, ties, rounding, and how often it errs."""

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging.sample import sample_of
from causaltest.judging.trend import Conditions, conditions_of, page, trend_units


def conditions(table, slack=0.0) -> Conditions:
    table = np.asarray(table, dtype=float)
    return Conditions(table, np.full(len(table), slack))


def page_by_hand(table) -> float:
    """The normal approximation of Page (1963), written out."""
    units, count = np.shape(table)
    total = 0.0
    for row in table:
        for place, value in enumerate(row, start=1):
            below = sum(other < value for other in row)
            alike = sum(other == value for other in row)
            total += place * (below + (alike + 1) / 2)
    mean = units * count * (count + 1) ** 2 / 4
    variance = units * count**2 * (count + 1) ** 2 * (count - 1) / 144
    return float(stats.norm.sf((total - mean) / variance**0.5))


@pytest.mark.parametrize("seed", range(4))
def test_the_statistic_by_hand(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(0.2 * np.arange(4), 1.0, (40, 4))
    assert page(conditions(table)) == pytest.approx(page_by_hand(table), rel=1e-9)
    with_ties = np.round(table)
    assert page(conditions(with_ties)) == pytest.approx(page_by_hand(with_ties), rel=1e-9)


def test_units_that_rise_and_units_that_fall():
    rising = np.tile([1.0, 2.0, 3.0], (10, 1))
    assert 0 < page(conditions(rising)) < 1e-4
    assert page(conditions(-rising)) > 0.999
    assert page(conditions(0 * rising)) >= 0.5
    assert page(conditions(rising[:1])) == 1.0


def test_rounding_is_no_trend():
    """A later layer that always gives a ten-millionth more is measured alike."""
    creeping = np.tile([1.0, 1.0 + 1e-7, 1.0 + 2e-7], (30, 1))
    assert page(conditions(creeping)) < 1e-4
    assert page(conditions(creeping, slack=3e-7)) == pytest.approx(0.5)


def test_totals_rank_a_unit_and_rounding_grows_with_it():
    samples = [
        sample_of(Effect.from_values(values, kind="continuous", clusters=[0, 0, 1], pair_ids=["a", "b", "c"]).measured)
        for values in ([1.0, 2.0, 5.0], [2.0, 2.0, 4.0])
    ]
    found = conditions_of(samples)
    assert found.totals.tolist() == [[3.0, 4.0], [5.0, 4.0]]
    assert found.tied.tolist() == [[0, 1], [1, 0]]
    assert found.slack[0] == 2 * found.slack[1] > 0


@pytest.mark.parametrize(("units", "count"), [(8, 3), (30, 3), (60, 8)])
@pytest.mark.parametrize("share", [0.05, 0.5, None])
def test_without_a_trend_it_errs_as_rarely_as_alpha(units, count, share):
    """Right-or-wrong conditions tie most of the time, and then it errs more rarely still."""
    rng = np.random.default_rng(units)
    tables = rng.random((800, units, count))
    tables = tables if share is None else (tables < share).astype(float)
    rejected = np.mean([page(conditions(table)) <= 0.05 for table in tables])
    # the upper end of the 99.9 % band at 800 repeats
    assert rejected <= 0.0775


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_the_units_promised_give_the_power_promised(kind):
    rng = np.random.default_rng(3)
    step, count = 0.1, 4

    def drawn(units):
        means = 0.3 + step * np.arange(count)
        if kind == "binary":
            return (rng.random((units, count)) < means).astype(float)
        return rng.normal(means, 0.4, (units, count))

    first = drawn(80)
    sample = sample_of(Effect.from_values(first[:, 0], kind=kind, iid=True).measured)
    units = trend_units(conditions(first, 1e-9), sample, step=step, alpha=0.05, power=0.8, seed=0)
    power = np.mean([page(conditions(drawn(units))) <= 0.05 for _ in range(400)])
    assert 0.72 <= power <= 0.9


@pytest.mark.parametrize("units, count", [(2, 3), (20, 3), (21, 3), (12, 4), (13, 4), (12, 8), (5, 9), (200, 12)])
@pytest.mark.parametrize("digits", [0, 12])
def test_it_is_the_test_of_scipy_to_the_last_bit(units, count, digits):
    rng = np.random.default_rng((units, count, digits))
    for rise in (0.0, 0.3):
        table = np.round(rng.normal(rise * np.arange(count), 1.0, (units, count)), digits)
        assert page(conditions(table)) == float(stats.page_trend_test(table).pvalue)
        assert (conditions(table).ranks == stats.rankdata(table, axis=1)).all()
