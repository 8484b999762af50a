"""Power by enumeration, against sums over every outcome that are written out by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible
from causaltest.effect import Effect, Waived
from causaltest.judging.exact_power import (
    first_and_lasting,
    mcnemar_pairs,
    mcnemar_power,
    proportion_pairs,
    proportion_power,
)
from causaltest.judging.judge import judge

INF = math.inf


def against_half(truth, *, family=1, power=0.8, floor=0.5):
    return proportion_pairs(floor=floor, ceiling=INF, truth=truth, alpha=0.05 / family, power=power)


@pytest.mark.parametrize(
    ("truth", "family", "pairs"),
    [(0.6, 1, 158), (0.7, 1, 37), (0.8, 1, 18), (0.7, 3, 55), (5 / 9, 1, 502), (5 / 9, 3, 716)],
)
def test_the_pinned_figures(truth, family, pairs):
    assert against_half(truth, family=family).pairs == pairs


def test_the_saw_is_told():
    """Of .7 against .5: 37 pairs have the power, some numbers above it do not, and from `lasting` on all do."""
    found = against_half(0.7)

    def power(n):
        fewest = next(k for k in range(n + 2) if stats.binom.sf(k - 1, n, 0.5) <= 0.05)
        return stats.binom.sf(fewest - 1, n, 0.7)

    powers = {n: power(n) for n in range(1, 200)}
    assert found.pairs == min(n for n in powers if powers[n] >= 0.8)
    assert found.lasting == max(n for n in powers if powers[n] < 0.8) + 1
    assert found.lasting > found.pairs


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [
        (at_least(0.3), 0.6),
        (at_most(0.4), 0.2),
        (negligible(within=0.2), 0.05),
        (between(0.3, 0.8), 0.5),
        (greater_than(0.5), 0.9),
    ],
    ids=str,
)
def test_power_is_what_the_judge_supports(prediction, truth):
    """Every count of successes in n pairs is put to the judge itself."""
    for n in (9, 24, 40):
        supported = [
            judge(
                Effect.from_values([1] * k + [0] * (n - k), kind="binary", iid=True, placebo=Waived("x")),
                prediction,
                family_size=2,
            ).outcome
            == "SUPPORTED"
            for k in range(n + 1)
        ]
        by_hand = sum(math.comb(n, k) * truth**k * (1 - truth) ** (n - k) for k in range(n + 1) if supported[k])
        ours = proportion_power(
            np.array([n]), floor=prediction.floor, ceiling=prediction.ceiling, truth=truth, alpha=0.025
        )
        assert ours[0] == pytest.approx(by_hand, abs=1e-12)


@given(
    st.integers(1, 200),
    st.floats(0.02, 0.98),
    st.sampled_from([0.05, 0.05 / 3, 0.01]),
    st.sampled_from(["low", "high"]),
)
@settings(max_examples=60, deadline=None)
def test_at_the_threshold_power_is_alpha_at_most(n, threshold, alpha, side):
    ends = {"floor": threshold, "ceiling": INF} if side == "low" else {"floor": -INF, "ceiling": threshold}
    assert proportion_power(np.array([n]), **ends, truth=threshold, alpha=alpha)[0] <= alpha * (1 + 1e-9)


@given(st.floats(0.05, 0.6), st.floats(0.15, 0.35), st.sampled_from([0.05, 0.01]))
@settings(max_examples=40, deadline=None)
def test_power_grows_with_pairs_but_for_the_saw(threshold, gap, alpha):
    powers = proportion_power(np.arange(1, 400), floor=threshold, ceiling=INF, truth=threshold + gap, alpha=alpha)
    found = proportion_pairs(floor=threshold, ceiling=INF, truth=threshold + gap, alpha=alpha, power=0.8)
    assert powers[found.pairs - 1] >= 0.8 and (powers[: found.pairs - 1] < 0.8).all()
    assert (powers[found.lasting - 1 :] >= 0.8).all()
    # over a stretch longer than a tooth, the best never falls
    best = [powers[start : start + 60].max() for start in range(0, 340, 60)]
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(best))


def mcnemar_by_hand(n, first_only, second_only, alpha):
    """Over every split of n pairs into first only, second only and alike."""
    alike, power = 1 - first_only - second_only, 0.0
    for b in range(n + 1):
        for c in range(n - b + 1):
            p = sum(math.comb(b + c, k) for k in range(b, b + c + 1)) / 2 ** (b + c)
            if b + c > 0 and p <= alpha:
                ways = math.comb(n, b) * math.comb(n - b, c)
                power += ways * first_only**b * second_only**c * alike ** (n - b - c)
    return power


@pytest.mark.parametrize(("n", "first_only", "second_only"), [(5, 0.6, 0.1), (20, 0.4, 0.1), (40, 0.3, 0.1)])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_mcnemar_against_every_split_of_the_pairs(n, first_only, second_only, alpha):
    ours = mcnemar_power(n, first_only=first_only, second_only=second_only, alpha=alpha)
    assert ours == pytest.approx(mcnemar_by_hand(n, first_only, second_only, alpha), abs=1e-12)


def test_mcnemar_pairs_have_the_power_and_one_fewer_has_not():
    found = mcnemar_pairs(first_only=0.35, second_only=0.15, alpha=0.05, power=0.8)

    def power(n):
        return mcnemar_power(n, first_only=0.35, second_only=0.15, alpha=0.05)

    assert power(found.pairs) >= 0.8 > max(power(n) for n in range(1, found.pairs))
    assert min(power(n) for n in range(found.lasting, found.lasting + 60)) >= 0.8


def test_arms_that_never_differ_have_no_power():
    assert mcnemar_power(50, first_only=0.0, second_only=0.0, alpha=0.05) == 0.0
    assert mcnemar_pairs(first_only=0.1, second_only=0.1, alpha=0.05, power=0.8) is None


def test_too_many_pairs_are_not_searched():
    assert against_half(0.5001) is None
    assert first_and_lasting(np.array([0.1, 0.2]), 0.8) is None
