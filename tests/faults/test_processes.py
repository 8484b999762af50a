"""Two workers on one cold store: nothing is computed twice, and the report is that of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.processes import SMALL, computed, repeated, suite


def test_two_workers_on_a_cold_store_compute_what_one_process_computes_and_report_the_same(tmp_path: Path):
    pytest.importorskip("xdist")
    folder = tmp_path / "claims"
    suite(folder, SMALL, files=2)
    alone = computed(folder, "alone")
    assert alone.processes == 1 and alone.runs["clean"] > 0 and alone.runs["patched"] > 1000
    workers = computed(folder, "workers", "-n", "2")
    assert workers.processes == 2
    assert workers.twice == {"clean": 0, "patched": 0}
    assert workers.runs == alone.runs
    assert workers.reports == alone.reports
    assert workers.tables == alone.tables


def test_what_was_computed_before_is_counted():
    clean = {"kind": "clean", "key": "a", "tokens": 2, "recorded": ["embed"], "runs": 6}
    patched = {"kind": "patched", "key": "a b", "runs": 40}
    more = [{**clean, "tokens": 1}, {**clean, "recorded": ["embed", "z"]}, {**patched, "key": "b"}]
    assert repeated([clean, patched]) == {"clean": 0, "patched": 0}
    assert repeated([clean, patched, *more]) == {"clean": 6, "patched": 40}
