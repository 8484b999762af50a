"""Faults of disks and clocks lose no verdict: the short form of benchmarks/faults/disk.py, without mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.disk import FAULTS, TOLD, Runs, Verdicts, verdicts_lost

TOLD_OF = {
    "a limit to files": "cannot be written (File too large)",
    "a file in the store's place": "cannot be written (File exists)",
    "folders in the place of entries": "was damaged (it is no file)",
}


@pytest.fixture(scope="module")
def undisturbed(warm, tmp_path_factory) -> tuple[Path, Verdicts]:
    """The store that an undisturbed run leaves, and its verdicts."""
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    verdicts = Runs(warm).suite(store.parent)(store)
    assert sorted(verdict[0] for verdict in verdicts.values()) == ["REFUTED", "SUPPORTED", "SUPPORTED", "SUPPORTED"]
    assert (store.parent / TOLD).read_text() == ""
    return store, verdicts


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_loses_no_verdict(warm, tmp_path, undisturbed, fault):
    assert verdicts_lost(FAULTS[fault], tmp_path, *undisturbed, Runs(warm)) == 0
    told = (tmp_path / TOLD).read_text()
    assert TOLD_OF[fault] in told if fault in TOLD_OF else told == ""
