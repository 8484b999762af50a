"""Runs that are killed at random moments and run again lose nothing; `python -m benchmarks.faults kills` kills 200."""

from __future__ import annotations

from benchmarks.faults import kills


def test_a_run_that_is_killed_and_run_again_reports_the_same():
    (figure,) = kills.in_a_process(5, seed=1)
    assert figure["held"] and figure["measured"] == "0", figure
