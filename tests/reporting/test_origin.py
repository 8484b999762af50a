"""Whether a claim's numbers were measured in this run or read, in words."""

from __future__ import annotations

import pytest

from causaltest.reporting.origin import origin, origins
from causaltest.results import ClaimResult


def result(**runs: int) -> ClaimResult:
    return ClaimResult("a", "a", "It holds.", ">= 0.5", 0.5, "SUPPORTED", "because", runs=runs)


@pytest.mark.parametrize(
    "stored, anew, said",
    [
        (0, 0, ""),
        (0, 2, ""),
        (2, 0, "in an earlier run, and read from the store"),
        (1, 2, "2 of 3 in this run, the rest read from the store"),
    ],
)
def test_a_claim_says_what_of_it_was_read(stored, anew, said):
    assert origin(result(stored=stored, anew=anew)) == said


def test_all_claims_together():
    assert origins([result(stored=2, anew=0), result(anew=1), result()]) == (
        "measurements: 2 read from the store, 1 made in this run"
    )
    assert origins([result(stored=1)]) == "measurements: 1 read from the store, none made in this run"
    assert origins([result(anew=3), result()]) == ""
