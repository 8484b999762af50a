"""The project's judge on many samples at once: how often it says what.

All verdicts come from `judge_family`. Its claims share their resamples, so a long series is judged in blocks with
a seed each, and no block's draw decides the rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction
from causaltest.effect import Effect, Kind, Numbers, Waived
from causaltest.judging.equivalence import refutes, supports, thresholds_of
from causaltest.judging.judge import judge_family
from causaltest.judging.proportion import korn_graubard
from causaltest.judging.sample import Floats, Layouts, sample_of
from causaltest.verdict import Outcome, Verdict

WAIVED = Waived("simulated data")
BLOCK = 250
FEWEST_RESAMPLES = 1_000
"""At alpha .05."""


@dataclass(frozen=True)
class Said:
    """How often each outcome came."""

    counts: Counter[Outcome]

    @property
    def repeats(self) -> int:
        return self.counts.total()

    @property
    def supported(self) -> float:
        return self.counts[Outcome.SUPPORTED] / self.repeats

    @property
    def refuted(self) -> float:
        return self.counts[Outcome.REFUTED] / self.repeats

    @property
    def neither(self) -> float:
        return 1 - self.supported - self.refuted


Measured = Effect | Mapping[int, Effect]


def said_of(effects: Iterable[Measured], prediction: Prediction | Ordering, *, family_size: int = 1) -> Said:
    """The judge's outcomes, with its minimum of units switched off."""
    return Said(Counter(v.outcome for v in verdicts_on(effects, prediction, family_size=family_size)))


def verdicts_on(
    effects: Iterable[Measured], prediction: Prediction | Ordering, *, family_size: int
) -> Iterator[Verdict]:
    # an order draws resamples for itself alone, so it takes no more of them than its alpha wants
    resamples = None if isinstance(prediction, Prediction) else FEWEST_RESAMPLES * family_size
    for seed, block in enumerate(blocks(effects)):
        yield from judge_family(
            block,
            [prediction] * len(block),
            family_size=family_size,
            seed=seed,
            resamples=resamples,
            minimum_units=0,
        )


def said_of_proportions(effects: Iterable[Effect], prediction: Prediction, *, family_size: int = 1) -> Said:
    """The same for right-or-wrong pairs in clusters, from Korn and Graubard's procedure and the judge's rule for it.

    The judge itself also works out how many pairs would decide, which takes ten times as long.
    """
    layouts = Layouts()
    return Said(Counter(by_korn_graubard(e, prediction, prediction.alpha / family_size, layouts) for e in effects))


def said_supported(effects: Iterable[Measured], prediction: Prediction, *, family_size: int) -> NDArray[np.bool_]:
    """[effect], whether the judge says SUPPORTED."""
    verdicts = verdicts_on(effects, prediction, family_size=family_size)
    return np.array([verdict.outcome is Outcome.SUPPORTED for verdict in verdicts])


def said_supported_of_proportions(
    effects: Iterable[Effect], prediction: Prediction, *, family_size: int
) -> NDArray[np.bool_]:
    """[effect], whether Korn and Graubard's procedure supports."""
    layouts, alpha = Layouts(), prediction.alpha / family_size
    return np.array([by_korn_graubard(e, prediction, alpha, layouts) is Outcome.SUPPORTED for e in effects])


def by_korn_graubard(effect: Effect, prediction: Prediction, alpha: float, layouts: Layouts) -> Outcome:
    thresholds = thresholds_of(prediction, alpha)
    bound = korn_graubard(sample_of(effect.measured, layouts), thresholds)
    if refutes(prediction, bound):
        return Outcome.REFUTED
    return Outcome.SUPPORTED if supports(prediction, bound, thresholds) else Outcome.INCONCLUSIVE


def blocks(effects: Iterable[Measured]) -> Iterator[list[Measured]]:
    rest = iter(effects)
    while block := list(islice(rest, BLOCK)):
        yield block


def effect_of(
    values: Sequence[float] | Floats,
    *,
    kind: Kind = "continuous",
    clusters: Sequence[int] | NDArray[np.int64] | None = None,
    range: tuple[float, float] | None = None,
    denominators: Floats | None = None,
) -> Effect:
    """One simulated sample; without clusters its pairs are independent."""
    alike = None if clusters is None else tuple(np.asarray(clusters).tolist())
    numbers = template(len(values), alike)
    below = None if denominators is None else tuple(denominators.tolist())
    entries = tuple(np.asarray(values, dtype=np.float64).tolist())
    return Effect(None, replace(numbers, values=entries, kind=kind, range=range, denominators=below))


@cache
def template(pairs: int, clusters: tuple[int, ...] | None) -> Numbers:
    """Through the public door, once for all samples of a design: their ids and clusters are then the same objects."""
    return Effect.from_values(
        [0.0] * pairs, kind="continuous", clusters=clusters, iid=clusters is None, placebo=WAIVED
    ).measured
