"""Part 7: unchanged since the baseline. Differences with standard deviation .4, and a margin of .1."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from calibration.row import Row, at_fault, level, near
from calibration.verdicts import Said, effect_of, said_of
from causaltest.asking.predictions import at_least, unchanged
from causaltest.drifted import Drift, drifted
from causaltest.effect import Effect
from causaltest.judging.judge import judge
from causaltest.judging.sample import Floats
from causaltest.recording.saved import SavedClaim
from causaltest.verdict import Outcome
from causaltest.writing.canonical import plain

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
    return [*found, *within_rounding(), *in_saved_claims(), *by_estimate_alone()]


def long_rows() -> list[Row]:
    """The same of claims that were saved in two runs, and what becomes of pairs that belong together."""
    found = []
    for n, power in POWER.items():
        same, margin, worse = (words_of(n, change) for change in (0.0, -MARGIN, -2 * MARGIN))
        repeats = len(same)
        found += [
            near(7, f"saved claims, no change, n = {n}: HOLDS", share(same, "HOLDS"), repeats, rate=power),
            near(7, f"saved claims, fallen by .2, n = {n}: REGRESSED", share(worse, "REGRESSED"), repeats, rate=power),
            *(
                level(7, f"saved claims, fallen by the margin, n = {n}: {word}", share(margin, word), repeats)
                for word in ("HOLDS", "REGRESSED")
            ),
        ]
    together = 25
    kept, lost = (words_of(200, -MARGIN, together=together, clustered=known) for known in (True, False))
    what = "saved claims, fallen by the margin, 25 clusters of 8, ICC .5: HOLDS"
    return [
        *found,
        level(7, what, share(kept, "HOLDS"), len(kept)),
        at_fault(7, f"{what}, the clusters forgotten", share(lost, "HOLDS"), above=0.12, repeats=len(lost)),
    ]


def words_of(n: int, change: float, *, together: int = 0, clustered: bool = True, repeats: int = 400) -> list[str]:
    """What a comparison of two runs says; with `together`, changes that so many clusters share by half."""
    rng = np.random.default_rng((7, n, round(-1000 * change), together))
    labels = np.arange(n) % together if together else None
    words = []
    for _ in range(repeats):
        before, changed = rng.normal(0.6, 0.3, n), rng.normal(change, SPREAD, n)
        if labels is not None:
            own = rng.normal(0, SPREAD, n)
            changed = change + np.sqrt(0.5) * (rng.normal(0, SPREAD, together)[labels] + own)
        known = labels if clustered else None
        words.append(in_two_runs(effect_of(before, clusters=known), effect_of(before + changed, clusters=known)).word)
    return words


def share(words: list[str], word: str) -> float:
    return words.count(word) / len(words)


def in_two_runs(before: Effect, after: Effect) -> Drift:
    """As `causaltest compare` sees a claim."""
    spec = {"prediction": {"kind": "Prediction", **plain(asdict(at_least(0.3)))}}
    runs = [SavedClaim("a", spec, "0", {"verdict": "SUPPORTED"}, (("", effect),)) for effect in (before, after)]
    return drifted(*runs, margin=MARGIN)


def in_saved_claims() -> list[Row]:
    """Two runs of a claim are compared by the judge's own word on their difference."""
    rng = np.random.default_rng((7, 3))
    agreed = []
    for change in 10 * (0.0, -MARGIN, -2 * MARGIN):
        before = rng.normal(0.6, 0.3, 100)
        runs = effect_of(before), effect_of(before + rng.normal(change, SPREAD, 100))
        word = {Outcome.SUPPORTED: "HOLDS", Outcome.REFUTED: "REGRESSED"}.get(
            judge(runs[1] - runs[0], unchanged(margin=MARGIN)).outcome, "INCONCLUSIVE"
        )
        agreed.append(in_two_runs(*runs).word.replace("IMPROVED", "HOLDS") == word)
    before = rng.normal(0.6, 0.3, 5)
    held = in_two_runs(measured(before), measured(before + rng.uniform(-1e-6, 1e-6, 5)))
    return [
        Row(7, "saved claims: the judge's word on their difference", float(np.mean(agreed)), 1, 1, repeats=len(agreed)),
        Row(7, "saved claims, alike within noise in 5 pairs: HOLDS", float(held.word == "HOLDS"), 1, 1),
    ]


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
