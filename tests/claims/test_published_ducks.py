"""The worked example's claims on the ducks in CODI's published layout: the same verdicts, the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# pytester forgets modules that a run imported, and numpy and torch cannot be loaded twice.
import causaltest.judging.judge
import causaltest.measuring.backend
import causaltest.pytest_suite  # noqa: F401
from causaltest.organisms.ducks.published import publish

CLAIMS = Path(__file__).parents[2] / "claims"
SELECTED = "carries_the_running_total or second_thought or is_necessary or six[8]"
"""A thought's stream, a thought's input, the other direction, and a decoy: the whole file takes a minute."""
COMPARED = ("verdict", "estimate", "lower", "upper", "n", "eligible", "excluded", "family_size")
"""The placebo's partners are drawn by the model's name too, so what follows from them may differ."""


def test_the_published_ducks_get_the_verdicts_of_the_ducks(pytester: pytest.Pytester) -> None:
    for name in ("conftest.py", "test_first_thought.py"):
        text = (CLAIMS / name).read_text(encoding="utf-8")
        # A pair of each cluster: that both models give the same is seen on any.
        (pytester.path / name).write_text(text.replace("per_cluster=4", "per_cluster=1"), encoding="utf-8")
    folder = publish(pytester.path / "published")
    found = []
    for swap in ((), (f"--causal-model=organism:ducks={folder}",)):
        run = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-json=out.json", "-k", SELECTED, *swap)
        run.assert_outcomes(passed=4, deselected=8)
        found.append(json.loads((pytester.path / "out.json").read_text(encoding="utf-8")))
    assert {claim["model"] for claim in found[1]} == {str(folder)}
    assert all(claim["provenance"]["reasoning"].startswith("codi: 6 thoughts") for claim in found[1])
    own, published = ({claim["nodeid"]: [claim[key] for key in COMPARED] for claim in told} for told in found)
    assert own == published
    distances = [[claim["controls"]["distance"] for claim in told] for told in found]
    assert distances[0] == distances[1]
