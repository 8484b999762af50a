"""Sweep maps: the table in the order of its cells, as an array and as text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.positions import last
from causaltest.asking.sites import resid_post
from causaltest.seen import Found, Seen
from causaltest.sweep import SweepMap


def sweep(estimates: list[float], rows: int = 2, distances: list[float] | None = None) -> SweepMap:
    columns = len(estimates) // rows
    return SweepMap(
        summary="recovery(accuracy), denoise resid_post",
        rows=tuple(f"L{r}" for r in range(rows)),
        columns=tuple(f"thought {c}" for c in range(columns)),
        estimates=tuple(estimates),
        distances=tuple(distances or [1.0] * len(estimates)),
        n=7,
        pairs_total=9,
        sites=tuple((r, c) for r in range(rows) for c in range(columns)),
    )


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_the_array_has_a_row_per_layer_and_a_column_per_position(rows: int, columns: int, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.floats(-1, 1), min_size=rows * columns, max_size=rows * columns))
    made = sweep(numbers, rows, [abs(n) for n in numbers])
    assert made.shape == made.estimate.shape == made.distance.shape == (rows, columns)
    for r, c in made.sites:
        assert made.estimate[r, c] == numbers[r * columns + c]
        assert made.distance[r, c] == abs(numbers[r * columns + c])


@given(st.lists(st.floats(-1, 1) | st.just(math.nan), min_size=4, max_size=4).filter(lambda e: not np.isnan(e).all()))
def test_the_best_site_is_where_the_estimate_is_largest(estimates: list[float]) -> None:
    made = sweep(estimates)
    assert made.estimate[made.best] == np.nanmax(estimates)


def test_the_table_says_what_was_measured_on_how_many_pairs_and_that_it_is_exploratory() -> None:
    text = str(sweep([0.25, 1.0, -0.5, 0.0], distances=[1.0, 2.0, 3.0, 0.0]))
    head, columns, first, second = text.splitlines()
    assert head == "recovery(accuracy), denoise resid_post, 7 of 9 pairs, exploratory"
    assert columns.split() == ["thought", "0", "thought", "1"]
    assert first.split() == ["L0", "0.25", "1.00"]
    assert second.split() == ["L1", "-0.50", "."], "a patch that moved nothing is no null"


def test_a_null_of_a_patch_that_moved_something_is_a_number() -> None:
    assert str(sweep([0.0, 0.0], rows=1, distances=[1.0, 0.0])).split()[-2:] == ["0.00", "."]


@pytest.mark.parametrize("rows", [1, 12])
def test_the_columns_of_the_table_line_up(rows: int) -> None:
    lines = str(sweep([-10.0, 0.5, 100.0] * rows, rows=rows)).splitlines()[1:]
    assert len({len(line) for line in lines}) == 1


def test_a_map_without_its_pairs_gives_sites_that_remember_nothing() -> None:
    assert sweep([1.0, 0.0, 0.0, 0.0]).site(0) == (0, 0)


def test_sites_of_a_lab_remember_where_they_were_found_and_stay_the_same_sites() -> None:
    site = resid_post(3, last())
    seen = Seen("sweep", ("m",), "recovery(accuracy), denoise resid_post (1 sites)", "q", "p", frozenset({"a", "b"}))
    made = SweepMap("s", ("L3",), ("last()",), (0.93,), (1.0,), 2, 2, sites=(site,), seen=seen)
    assert made.best == site and hash(made.best) == hash(site) and repr(made.best) == repr(site)
    assert site.found is None
    assert made.best.found == Found(seen, 1, 0.93)
    assert str(made.best.found) == (
        "found by the sweep recovery(accuracy), denoise resid_post (1 sites) on 2 pairs, estimate 0.93"
    )
