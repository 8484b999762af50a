"""Claim after claim in one session: memory does not grow with them; `python -m benchmarks.faults soak` runs 2,000."""

from __future__ import annotations

from benchmarks.faults import soak


def test_a_session_of_many_claims_does_not_grow():
    claims, first = 160, 64
    found = soak.soaked(claims)
    assert found.patched_runs > 100 * claims
    # As much a claim as 50 MB are in 1,800, and room for what is loaded late.
    assert found.growth_mb(first) < 10 + (claims - first) * soak.MOST_MB / 1_800
