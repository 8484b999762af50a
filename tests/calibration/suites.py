"""Whole suites in which nothing is true: ten claims of mixed kinds, each judged as one of a family of ten.

A suite is wrong when any of its claims is SUPPORTED, which may happen in .05 of the suites.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calibration.draws import Design, coins, effects, informative, normal, ratios, uniform
from calibration.row import Row, at_fault, band
from calibration.verdicts import effect_of, said_supported, said_supported_of_proportions
from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than, negligible
from causaltest.effect import Effect

SHORT, LONG = 300, 10_000
FAMILY = 10
PAIRS, FEW, MANY = Design(60, 1, 0.0), Design(20, 3, 0.2), Design(30, 4, 0.1)


def rows() -> list[Row]:
    return measured(SHORT)


def long_rows() -> list[Row]:
    return measured(LONG)


def measured(suites: int) -> list[Row]:
    """The share of suites with a false SUPPORTED, corrected; and what it would be without the family."""
    corrected, alone = any_supported(suites, FAMILY), any_supported(min(suites, 1_000), 1)
    return [
        Row(
            2,
            "A/A suites of ten claims of mixed kinds: any false SUPPORTED",
            float(corrected.mean()),
            0.0,
            band(0.05, suites)[1],
            repeats=suites,
        ),
        at_fault(
            2,
            "the same, each claim judged as if it were the only one",
            float(alone.mean()),
            above=0.15,
            repeats=len(alone),
        ),
    ]


def any_supported(suites: int, family_size: int) -> np.ndarray:
    """[suite]"""
    found = np.zeros(suites, dtype=bool)
    for samples, prediction in claims(suites):
        found |= said_supported(samples, prediction, family_size=family_size)
    for samples, prediction in claims_on_proportions(suites):
        found |= said_supported_of_proportions(samples, prediction, family_size=family_size)
    return found


def claims(suites: int) -> Iterator[tuple[Iterator[Effect], Prediction]]:
    """Eight claims of every suite, each at the edge of what is true."""
    yield effects(normal(PAIRS, suites, seed=100), PAIRS), at_least(0)
    yield effects(normal(FEW, suites, seed=101), FEW), at_most(0)
    yield effects(uniform(PAIRS, suites, seed=102), PAIRS, range=(-1.0, 1.0)), at_least(0)
    yield effects(normal(MANY, suites, seed=103), MANY, plus=0.6), negligible(within=0.6)
    yield recovered(suites), at_least(0.5)
    yield differences(suites), greater_than(0)
    yield differences_of_proportions(suites), greater_than(0)
    yield (effect_of(v, clusters=c) for v, c in informative(suites, clusters=30, slope=-0.04, seed=110)), at_least(0)


def claims_on_proportions(suites: int) -> Iterator[tuple[Iterator[Effect], Prediction]]:
    """And two about right or wrong."""
    yield effects(coins(MANY, 0.7, suites, seed=111), MANY, kind="binary"), at_least(0.7)
    yield effects(coins(FEW, 0.3, suites, seed=112), FEW, kind="binary"), at_most(0.3)


def recovered(suites: int) -> Iterator[Effect]:
    for above, below in ratios(FEW, 0.5, suites, seed=104):
        yield effect_of(above, kind="ratio", clusters=FEW.shared, denominators=below)


def differences(suites: int) -> Iterator[Effect]:
    first, second = (effects(normal(FEW, suites, seed=seed), FEW) for seed in (106, 107))
    for one, other in zip(first, second, strict=True):
        yield one - other


def differences_of_proportions(suites: int) -> Iterator[Effect]:
    """Pairs that share nothing, so that McNemar's test judges."""
    first, second = (effects(coins(PAIRS, 0.5, suites, seed=seed), kind="binary") for seed in (108, 109))
    for one, other in zip(first, second, strict=True):
        yield one - other
