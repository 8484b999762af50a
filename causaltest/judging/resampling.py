"""Resamples of units, drawn once for all effects of as many units, and what each effect sums to in them.

A resample is a row of whole numbers: how often each unit is drawn, or whether its sign is flipped. The
sums over a family are one matrix product, and come out without rounding: each column is split into
whole numbers so small that no order of summation can lose a digit. So an effect gets the same bits
alone, beside any others, and on any number of threads (docs/decisions/0006).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causaltest.judging.sample import Floats

ENUMERATED_UNITS = 13

# a block of rows that stays in the processor's cache while it is counted and multiplied: 2 MB
ENTRIES_AT_ONCE = 2**18
DOUBLE_BITS, SINGLE_BITS = 53, 24
# below this the powers of two by which a column is scaled would themselves underflow
SMALLEST_EXPONENT = -900


@dataclass(frozen=True, eq=False)
class Sums:
    """A column's sum over the sample itself, and over each row."""

    own: float
    rows: Floats
    """[row]"""


def bootstrap_rows(units: int, *, resamples: int, seed: int) -> Iterator[Floats]:
    """[row, unit] blocks: how often each unit is drawn, from the indices that scipy would draw with this seed."""
    rng = np.random.default_rng((seed, 1))
    for rows in block_sizes(units, resamples):
        drawn = rng.integers(0, units, size=(rows, units))
        drawn += np.arange(0, rows * units, units)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def flip_rows(units: int, *, resamples: int, seed: int) -> Iterator[Floats]:
    """[row, unit] blocks of 0 and 1: every subset of the units when they are few, else random subsets."""
    if units <= ENUMERATED_UNITS:
        codes = np.arange(1, 2**units)
        yield ((codes[:, None] >> np.arange(units)) & 1).astype(np.float64)
        return
    rng = np.random.default_rng((seed, 3))
    for rows in block_sizes(units, resamples):
        yield rng.integers(0, 2, size=(rows, units), dtype=np.int8).astype(np.float64)


def block_sizes(units: int, rows: int) -> Iterator[int]:
    """How the rows are cut into blocks: by the number of units alone, as some draws depend on it."""
    size = max(1, ENTRIES_AT_ONCE // units)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def sums_over(blocks: Iterable[Floats], columns: Sequence[Floats]) -> list[Sums]:
    """What each column ([unit]) sums to under every row; each the double nearest to the exact sum.

    Columns that are equal, as the denominators of claims about the same pairs, are summed once.
    """
    if not columns:
        return []
    different: dict[bytes, int] = {}
    place = [different.setdefault(column.tobytes(), len(different)) for column in columns]
    parts = split(np.array([np.frombuffer(held) for held in different]))
    own = parts.joined(parts.high.sum(axis=1, keepdims=True), parts.low.sum(axis=1, keepdims=True))[:, 0]
    rows = np.concatenate([parts.times(block) for block in blocks], axis=1)
    return [Sums(float(own[i]), rows[i]) for i in place]


@dataclass(frozen=True, eq=False)
class Split:
    """Columns as two whole numbers each: `column = (high + low * low_step) * step`."""

    high: Floats
    """[column, unit]"""
    low: NDArray[Any]
    """[column, unit]; in single precision where that is enough, which is twice as fast"""
    step: Floats
    """[column, 1], a power of two"""
    low_step: float

    def times(self, block: Floats) -> Floats:
        """[column, row], the sums under a block of rows."""
        high = self.high @ block.T
        if not self.low.any():
            return self.joined(high, np.zeros((1, 1)))
        return self.joined(high, self.low @ block.astype(self.low.dtype).T)

    def joined(self, high: Floats, low: NDArray[Any]) -> Floats:
        """The one rounding of a sum."""
        total: Floats = (high + low * np.float64(self.low_step)) * self.step
        return total


def split(columns: Floats) -> Split:
    """Whole numbers such that no sum over a row can leave the range in which they are exact.

    A row's entries sum to at most the number of units, so a part of b bits sums to at most
    `units * 2**b`, within the 53 bits of a double (or the 24 of a single) by the choice of b.
    Error-free splitting: Ozaki, Ogita, Oishi and Rump (2012, Numer. Algorithms 59:95).
    """
    room = math.ceil(math.log2(columns.shape[1]))
    bits = DOUBLE_BITS - room
    # together never fewer bits than a double has
    single = bits + SINGLE_BITS - room >= DOUBLE_BITS
    low_bits = (SINGLE_BITS if single else DOUBLE_BITS) - room
    exponents = np.maximum(np.frexp(np.abs(columns).max(axis=1))[1], SMALLEST_EXPONENT)[:, None]
    scaled = np.ldexp(columns, bits - exponents)
    high = np.rint(scaled)
    low = np.rint(np.ldexp(scaled - high, low_bits + 1))
    step = np.ldexp(1.0, exponents - bits)
    return Split(high, low.astype(np.float32 if single else np.float64), step, 2.0 ** -(low_bits + 1))
