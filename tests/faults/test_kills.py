"""Runs that are killed at random moments and run again lose nothing; `python -m benchmarks.faults kills` kills 200."""

from __future__ import annotations

from benchmarks.faults import kills


def test_runs_that_are_killed_and_run_again_report_the_same():
    tallies = kills.in_processes([3, 3])
    assert sum(tally.kills for tally in tallies) == 6
    assert not any(tally.wrong for tally in tallies), tallies
    # With several kills a run, no more is computed again than was computed at all.
    assert all(tally.repeated < tally.patched_runs * tally.trials for tally in tallies)
