"""Resamples depend on the number of units, their own number and the seed; sums over them have no rounding of theirs."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.judging.resampling import ENTRIES_AT_ONCE, bootstrap_rows, flip_rows, sums_over

LAW = settings(max_examples=60, deadline=None, derandomize=True)


def rows(units, resamples, seed=3):
    return np.concatenate(list(bootstrap_rows(units, resamples=resamples, seed=seed)))


@pytest.mark.parametrize("units", [1, 2, 20, 634, 5000])
def test_rows_count_the_indices_that_scipy_draws(units):
    indices = np.random.default_rng((3, 1)).integers(0, units, size=(700, units))
    assert (rows(units, 700) == [np.bincount(i, minlength=units) for i in indices]).all()


def test_blocks_are_bounded_whatever_the_number_of_units():
    for units in (20, 634, 2 * ENTRIES_AT_ONCE):
        block = next(bootstrap_rows(units, resamples=100_000, seed=0))
        assert block.size <= max(ENTRIES_AT_ONCE, units)


def test_more_resamples_begin_with_the_same():
    assert (rows(50, 9000)[:100] == rows(50, 100)).all()


def test_few_units_are_enumerated():
    subsets = np.concatenate(list(flip_rows(4, resamples=7, seed=0)))
    assert len({tuple(row) for row in subsets}) == 15
    assert np.concatenate(list(flip_rows(14, resamples=7, seed=0))).shape == (7, 14)


columns = st.integers(0, 2**16).map(np.random.default_rng)


def column(rng, units):
    """Anything from whole numbers to a tail over many orders of magnitude."""
    spread = rng.choice([0.0, 1.0, 8.0])
    return rng.normal(size=units) * np.exp(spread * rng.normal(size=units)) * 10.0 ** rng.integers(-12, 12)


@LAW
@given(columns, st.integers(1, 80))
def test_every_sum_is_the_double_nearest_to_the_exact_one(rng, units):
    values, counts = column(rng, units), rows(units, 20)
    summed = sums_over([counts], [values])[0]
    exact = [sum(Fraction(v) * int(c) for v, c in zip(values, row, strict=True)) for row in counts]
    # the split keeps 2**-56 of the largest value, so a sum that nearly cancels may lose what lies below that
    allowed = [abs(float(e)) * 2**-53 + units * abs(values).max() * 2**-57 for e in exact]
    assert all(abs(Fraction(s) - e) <= a for s, e, a in zip(summed.rows, exact, allowed, strict=True))
    assert summed.own == pytest.approx(
        float(sum(map(Fraction, values))), rel=1e-15, abs=units * 2**-56 * max(abs(values))
    )


@LAW
@given(columns, st.integers(1, 6), st.integers(0, 40), st.sampled_from([2, 14, 40, 5000]))
def test_a_column_has_the_same_bits_alone_and_beside_others(rng, before, after, units):
    company = [column(rng, units) for _ in range(before + after + 1)]
    blocks = list(bootstrap_rows(units, resamples=300, seed=1))
    alone, beside = sums_over(blocks, [company[before]])[0], sums_over(blocks, company)[before]
    assert alone.own == beside.own
    assert alone.rows.tobytes() == beside.rows.tobytes()


def test_the_order_of_the_units_decides_no_bit():
    rng = np.random.default_rng(0)
    values, order = column(rng, 634), rng.permutation(634)
    counts = rows(634, 500)
    first, second = sums_over([counts], [values])[0], sums_over([counts[:, order]], [values[order]])[0]
    assert first.rows.tobytes() == second.rows.tobytes()


def test_any_number_of_threads_gives_the_same_bits():
    program = (
        "import hashlib, numpy as np\n"
        "from causaltest.judging.resampling import bootstrap_rows, sums_over\n"
        "x = np.random.default_rng(0).normal(size=(300, 634))\n"
        "sums = sums_over(bootstrap_rows(634, resamples=1000, seed=0), list(x))\n"
        "print(hashlib.sha256(b''.join(s.rows.tobytes() for s in sums)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-320, 1e300])
def test_columns_of_any_size(scale):
    values = np.array([1.0, 2.0, -0.5] * 10) * scale
    counts = rows(30, 50)
    with np.errstate(over="raise", invalid="raise"):
        summed = sums_over([counts], [values])[0].rows
    assert summed == pytest.approx(counts @ values, rel=1e-12, abs=1e-280)
