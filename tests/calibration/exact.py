"""Part 1: the exact binomial test and McNemar's, by adding up every sample there is. No simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from calibration.row import Row, at_fault
from calibration.verdicts import effect_of
from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than
from causaltest.effect import Effect
from causaltest.judging.bounds import Thresholds
from causaltest.judging.equivalence import supports
from causaltest.judging.judge import judge_family
from causaltest.judging.paired import mcnemar
from causaltest.judging.proportion import exact_binomial
from causaltest.judging.sample import sample_of
from causaltest.verdict import Outcome

ALPHA = 0.05
SIZES = range(5, 201)
PROPORTIONS = (0.1, 0.5, 0.8, 0.94)
JUDGED = ((9, 0.5), (49, 0.94), (60, 0.3))
"""Where the judge is asked too, of every sample: (pairs, threshold)."""


def rows() -> list[Row]:
    largest = max(largest_error(x) for x in PROPORTIONS)
    return [
        Row(1, "exact binomial: largest type I error over n = 5..200 and X = .1, .5, .8, .94", largest, 0, ALPHA),
        Row(
            1,
            "exact McNemar: largest type I error given 5..200 discordant pairs",
            max(mcnemar_error(n) for n in SIZES),
            0,
            ALPHA,
        ),
        *judged(),
        Row(1, "exact binomial at n = 9, X = .5", error(9, 0.5, supported_by_exact), 0, ALPHA),
        at_fault(1, "Wilson's bound at n = 9, X = .5", error(9, 0.5, supported_by_wilson), above=0.08),
    ]


def judged() -> list[Row]:
    """The judge's own verdicts on every sample, weighted by their probability."""
    found = []
    for n, x in JUDGED:
        for prediction in (at_least(x), at_most(x)):
            exact = error_of_judge(n, prediction)
            found.append(Row(1, f"the judge on all samples of {n}: effect {prediction}", exact, 0, ALPHA))
    found.append(Row(1, "the judge on all paired samples of 12: first > second", error_of_paired_judge(12), 0, ALPHA))
    return found


def largest_error(x: float) -> float:
    return max(error(n, x, supported_by_exact) for n in SIZES)


def error(n: int, x: float, supported: Callable[[int, int, float], bool]) -> float:
    """P("at least x" is supported) where the truth is x."""
    k = [k for k in range(n + 1) if supported(k, n, x)]
    return float(stats.binom.pmf(k, n, x).sum())


def supported_by_exact(k: int, n: int, x: float) -> bool:
    thresholds = Thresholds(x, x, ALPHA)
    return supports(at_least(x), exact_binomial(k, n, thresholds), thresholds)


def supported_by_wilson(k: int, n: int, x: float) -> bool:
    """Wilson (1927): the score test, by the normal approximation."""
    return (k / n - x) / np.sqrt(x * (1 - x) / n) > stats.norm.isf(ALPHA)


def mcnemar_error(discordant: int) -> float:
    """Given how many pairs differ, each does so in either direction alike; larger n only mixes these."""
    thresholds = Thresholds(0.0, 0.0, ALPHA)
    k = [
        k
        for k in range(discordant + 1)
        if supports(greater_than(0), mcnemar(paired(k, discordant - k, 0), thresholds), thresholds)
    ]
    return float(stats.binom.pmf(k, discordant, 0.5).sum())


def paired(first_only: int, second_only: int, alike: int):
    return sample_of(difference(first_only, second_only, alike).measured)


def difference(first_only: int, second_only: int, alike: int) -> Effect:
    """The difference of two right-or-wrong arms."""
    first = [1.0] * first_only + [0.0] * second_only + [1.0] * alike
    second = [0.0] * first_only + [1.0] * second_only + [1.0] * alike
    return effect_of(first, kind="binary") - effect_of(second, kind="binary")


def error_of_judge(n: int, prediction: Prediction) -> float:
    samples = [effect_of([1.0] * k + [0.0] * (n - k), kind="binary") for k in range(n + 1)]
    verdicts = judge_family(samples, [prediction] * (n + 1), family_size=1, minimum_units=0)
    k = [k for k, verdict in enumerate(verdicts) if verdict.outcome is Outcome.SUPPORTED]
    return float(stats.binom.pmf(k, n, prediction.threshold).sum())


def error_of_paired_judge(n: int, *, differ: float = 0.6) -> float:
    """Where a share of the pairs differs, in either direction alike."""
    cells = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    samples = [difference(b, c, n - b - c) for b, c in cells]
    verdicts = judge_family(samples, [greater_than(0)] * len(cells), family_size=1, minimum_units=0)
    supported = [cell for cell, verdict in zip(cells, verdicts, strict=True) if verdict.outcome is Outcome.SUPPORTED]
    shares = [differ / 2, differ / 2, 1 - differ]
    return float(sum(stats.multinomial.pmf([b, c, n - b - c], n, shares) for b, c in supported))
