"""Faults of disks and clocks lose no verdict: the short form of benchmarks/faults/disk.py, without mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.disk import FAULTS, TOLD, Beside, Runs, Verdicts, beside, clock_set_back


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
    assert beside(fault, FAULTS[fault], tmp_path, *undisturbed, Runs(warm)) == Beside(lost=0, problems=())


def test_a_clock_that_is_set_back_loses_no_verdict_and_no_standing(warm, tmp_path, undisturbed):
    assert clock_set_back(tmp_path, undisturbed[1], Runs(warm)) == Beside(lost=0, problems=())
