from __future__ import annotations

import pytest
from kinds import PLANTED

# pytester forgets modules that a run imported, and numpy and torch cannot be loaded twice.
import causaltest.judging.judge
import causaltest.measuring.backend
import causaltest.organisms.wiring
import causaltest.pytest_suite  # noqa: F401

HEADER = (
    PLANTED
    + """
from causaltest import Lab

VALUES = [1] * 40 + [0] * 20
def given(values, **more):
    return Effect.from_values(values, kind="binary", iid=True, placebo=Waived("a test"), **more)
"""
)


@pytest.fixture
def claims(pytester: pytest.Pytester):
    """Run a file of claims in this process, with the usual header."""

    def run(body: str, *options: str, name: str = "test_claims") -> pytest.RunResult:
        pytester.makepyfile(**{name: HEADER + body})
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run
