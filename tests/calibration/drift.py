"""Part 7: unchanged since the baseline. Differences with standard deviation .4, and a margin of .1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.row import Row, at_fault, level, near
from calibration.verdicts import Said, effect_of, said_of
from causaltest.asking.predictions import unchanged
from causaltest.effect import Effect
from causaltest.judging.judge import judge
from causaltest.judging.sample import Floats
from causaltest.verdict import Outcome

REPEATS = 1_000
SPREAD, MARGIN = 0.4, 0.1
POWER = {50: 0.54, 100: 0.80, 200: 0.97}
"""Of the one-sided t test at a true distance of .1 from the margin."""


def rows() -> list[Row]:
    found = []
    for n, power in POWER.items():
        same, margin, worse = (compared(n, change) for change in (0.0, -MARGIN, -2 * MARGIN))
        found += [
            near(7, f"no change, n = {n}: HOLDS", same.supported, REPEATS, rate=power),
            near(7, f"fallen by .2, n = {n}: REGRESSED", worse.refuted, REPEATS, rate=power),
            level(7, f"fallen by the margin, n = {n}: HOLDS", margin.supported, REPEATS, conservative=False),
            level(7, f"fallen by the margin, n = {n}: REGRESSED", margin.refuted, REPEATS, conservative=False),
        ]
    return [*found, *within_rounding(), *by_estimate_alone()]


def compared(n: int, change: float) -> Said:
    """Now against before, paired, judged with a margin: HOLDS is SUPPORTED, and REGRESSED is REFUTED."""
    rng = np.random.default_rng((7, n))
    befores, changes = rng.normal(0.6, 0.3, (REPEATS, n)), rng.normal(change, SPREAD, (REPEATS, n))
    samples = (
        effect_of(before + changed) - effect_of(before) for before, changed in zip(befores, changes, strict=True)
    )
    return said_of(samples, unchanged(margin=MARGIN))


def within_rounding() -> list[Row]:
    """What two runs give alike to within the rounding measured has not fallen, however few the pairs; a loss has."""
    before = np.random.default_rng((7, 1)).normal(0.6, 0.3, 5)
    noise = np.random.default_rng((7, 2)).uniform(-1e-7, 1e-7, 5)
    same, fallen = (measured(before + noise) - measured(before), measured(before - 2 * MARGIN) - measured(before))
    held = [float(judge(effect, unchanged(margin=MARGIN)).outcome is Outcome.SUPPORTED) for effect in (same, fallen)]
    return [
        Row(7, "alike within numerical noise in each of 5 pairs: HOLDS", held[0], 1, 1),
        Row(7, "fallen alike by .2 in each of 5 pairs: HOLDS", held[1], 0, 0),
    ]


def measured(values: Floats) -> Effect:
    """With the rounding that a lab measures."""
    effect = effect_of(values)
    return Effect(None, replace(effect.measured, rounding=1e-6))


def by_estimate_alone() -> list[Row]:
    """A regression test without statistics: it has not fallen where its mean has not, by more than the margin."""
    rng = np.random.default_rng((7, 0))
    means = rng.normal(-MARGIN, SPREAD, (REPEATS, 50)).mean(axis=1)
    held = float(np.mean(means >= -MARGIN))
    return [at_fault(7, "fallen by the margin, n = 50: the mean alone says HOLDS", held, above=0.4, repeats=REPEATS)]
