"""Nobody changes what the same numbers say without raising the version of the statistics.

Registered claims have that version in their hash. A battery of fixed effects is judged here, and all that a verdict
rests on is hashed; the hashes are pinned under the version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from functools import cache

import pytest

from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible, unchanged
from causaltest.effect import Effect, PositiveControl, SelfPatch, Waived
from causaltest.judging.anytime import judge_anytime
from causaltest.judging.judge import judge
from causaltest.judging.robustness import Share, judge_together, judge_variant
from causaltest.judging.sequential import judge_look
from causaltest.judging.version import STATISTICS
from causaltest.verdict import Verdict

PINNED = {
    "1": {
        "binary": "b0b7dad2f26ca33a",
        "continuous": "b4fd00a32251f364",
        "ratio": "d65ceb5a63a38d17",
        "controls": "f5882f1757233843",
        "differences": "689b63a05b9a356d",
        "orders": "9fcedd167afe7ce0",
        "looks": "d3cc741599ed4623",
        "variants": "522176f14a9ba42d",
    },
}
"""Where a hash is another because the statistics are: raise STATISTICS, and pin the new hashes under it. Where no
verdict was meant to change, the code is wrong."""
PREDICTIONS = (
    at_least(0.3),
    at_least(0.3, alpha=0.01, smallest=0.4),
    at_most(0.3),
    greater_than(0.2),
    greater_than(0.0),
    negligible(within=0.2),
    between(0.2, 0.8),
)
N = 60


def spread(i: int, step: float = 0.6180339887498949) -> float:
    """Numbers from 0 to 1 that are the same wherever they are made: multiples of the golden ratio (Weyl)."""
    return math.modf((i + 1) * step)[0]


def effect(
    kind: str, centre: float, *, clustered: bool, placebo: str = "low", n: int = N, ranged: bool = True
) -> Effect:
    if kind == "binary":
        values = [float(spread(i) < centre) for i in range(n)]
    else:
        values = [centre + 0.4 * (spread(i) - 0.5) for i in range(n)]
    denominators = [0.5 + spread(i, 0.7548776662466927) for i in range(n)] if kind == "ratio" else None
    if denominators is not None:
        values = [v * d for v, d in zip(values, denominators, strict=True)]
    low = [0.1 * float(spread(i, 0.5698402909980532) < 0.2) for i in range(n)]
    return Effect.from_values(
        values,
        kind=kind,
        clusters=[f"c{i // 3}" for i in range(n)] if clustered else None,
        iid=not clustered,
        range=(-1.0, 2.0) if kind == "continuous" and ranged else None,
        denominators=denominators,
        pair_ids=[f"p{i}" for i in range(n)],
        placebo={"low": low, "same": values, "waived": Waived("a battery")}[placebo],
    )


def once(kind: str) -> Iterator[Verdict]:
    for centre in (0.0, 0.25, 0.6, 1.0) if kind == "binary" else (0.25, 0.6):
        for clustered in (False, True):
            for prediction in PREDICTIONS:
                yield judge(effect(kind, centre, clustered=clustered), prediction, family_size=2)
    for placebo in ("same", "waived"):
        yield judge(effect(kind, 0.6, clustered=True, placebo=placebo), at_least(0.3))
    yield judge(effect(kind, 0.6, clustered=False, n=5), at_least(0.3))
    yield judge(effect(kind, 0.9, clustered=False, n=400, ranged=False), at_least(0.3))


def of_controls() -> Iterator[Verdict]:
    """INVALID, or nearly."""
    for tolerance, reached in ((0.1, 0.5), (0.3, 0.5), (0.3, 0.1)):
        for prediction in (at_least(0.3), negligible(within=0.8)):
            measured = effect("continuous", 0.6, clustered=True)
            controls = dataclasses.replace(
                measured.measured.controls,
                self_patch=SelfPatch(0.2, tolerance),
                positive=PositiveControl(reached, 0.3, "every position"),
            )
            yield judge(Effect(None, dataclasses.replace(measured.measured, controls=controls)), prediction)


def of_differences() -> Iterator[Verdict]:
    for kind in ("binary", "continuous", "ratio"):
        for low in (0.2, 0.55):
            difference = effect(kind, 0.6, clustered=True) - effect(kind, low, clustered=True)
            yield from (judge(difference, prediction) for prediction in (greater_than(0.1), unchanged(margin=0.2)))


def of_orders() -> Iterator[Verdict]:
    for last in (0.35, 0.9):
        several = {"a": 0.1, "b": 0.4, "c": last}
        effects = {name: effect("binary", centre, clustered=True) for name, centre in several.items()}
        for prediction in (monotone(["a", "b", "c"]), top(1, "c"), top(2, ["b", "c"], smallest=0.1)):
            yield judge(effects, prediction)


def in_looks() -> Iterator[Verdict]:
    for centre in (0.1, 0.45, 0.9):
        measured = effect("binary", centre, clustered=False)
        for look in (1, 2, 4):
            units = {k: N * k // 4 for k in range(1, look + 1)}
            yield judge_look(measured, at_least(0.3), looks=4, units=units).verdict
        order = [f"p{i}" for i in range(2 * N)]
        yield judge_anytime(measured, at_least(0.3), order=order, largest=1)


def in_variants() -> Iterator[Verdict]:
    for share in (Share(3, 3), Share(2, 3)):
        variants = [
            judge_variant(effect("binary", centre, clustered=True), at_least(0.3), share) for centre in (0.3, 0.6, 0.9)
        ]
        yield from variants
        yield judge_together(["a", "b", "c"], variants, share, alpha=0.05).verdict


BATTERY = {
    "binary": lambda: once("binary"),
    "continuous": lambda: once("continuous"),
    "ratio": lambda: once("ratio"),
    "controls": of_controls,
    "differences": of_differences,
    "orders": of_orders,
    "looks": in_looks,
    "variants": in_variants,
}


@cache
def judged(part: str) -> tuple[Verdict, ...]:
    return tuple(BATTERY[part]())


def rested_on(verdict: Verdict) -> str:
    """What decided, to nine places: libraries differ in the last bits."""
    numbers = (verdict.estimate, verdict.lower, verdict.upper, verdict.alpha, verdict.p_value, verdict.p_adjusted)
    told = ["nan" if math.isnan(x) else f"{round(x, 9) + 0.0:.9f}" for x in numbers]
    return " ".join([str(verdict.outcome), *told, str(verdict.needed_n)])


@pytest.mark.parametrize("part", BATTERY)
def test_the_same_numbers_say_the_same_under_one_version(part):
    found = hashlib.sha256("\n".join(map(rested_on, judged(part))).encode()).hexdigest()[:16]
    assert found == PINNED[STATISTICS][part], "the same numbers give another verdict: raise STATISTICS, and pin this"


def test_the_battery_meets_every_outcome():
    outcomes = {str(verdict.outcome) for part in BATTERY for verdict in judged(part)}
    assert outcomes == {"SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID"}
