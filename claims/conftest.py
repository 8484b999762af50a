"""Fixtures of the worked example: a lab on the shipped ducks, and minimal pairs in two halves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from causaltest import Lab, Pairs
from causaltest.organisms import ducks

SEED = 7


@pytest.fixture(scope="module")
def lab(make_lab: Callable[[str], Lab]) -> Lab:
    """The ducks: 12 layers, 6 thoughts."""
    return make_lab("organism:ducks")


@pytest.fixture(scope="session")
def twins() -> Pairs:
    """256 pairs that differ in the second sentence's number, which the first thought reads."""
    return ducks.twins(sentence=1, clusters=64, per_cluster=4, seed=SEED)


@pytest.fixture(scope="session")
def mapped() -> tuple[Pairs, Pairs]:
    """Pairs that differ in the fourth sentence's number: a discovery and a confirmation half."""
    pairs = ducks.twins(sentence=3, clusters=96, per_cluster=4, seed=SEED)
    halves = pairs.split(discovery=1 / 3, seed=SEED)
    return halves.discovery, halves.confirmation
