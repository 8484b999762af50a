"""McNemar and the sign-flip: exact against enumeration and against scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from causaltest.effect import Effect
from causaltest.judging.bounds import Thresholds
from causaltest.judging.paired import Contest, beat, flips_of, mcnemar, sign_flip, units_needed_for
from causaltest.judging.sample import sample_of


def beats(differences, *, resamples, seed):
    return beat([Contest(differences)], resamples=resamples, seed=seed)[0]


def asked(threshold: float = 0.0, alpha: float = 0.05) -> Thresholds:
    return Thresholds(threshold, threshold, alpha)


def difference(first, second, **which):
    which = which or {"iid": True}
    arms = [Effect.from_values(arm, kind="binary", **which) for arm in (first, second)]
    return sample_of((arms[0] - arms[1]).measured)


def test_mcnemar_is_the_binomial_of_the_discordant_pairs():
    first, second = [1] * 12 + [0] * 3 + [1] * 20, [0] * 12 + [1] * 3 + [1] * 20
    bound = mcnemar(difference(first, second), asked())
    assert bound.p_above == pytest.approx(stats.binomtest(12, 15, 0.5, alternative="greater").pvalue)
    assert 0 < bound.lower < 9 / 35 < bound.upper
    share, often = (
        stats.binomtest(k, n, alternative="greater").proportion_ci(0.95, method="exact").low
        for k, n in ((12, 15), (15, 35))
    )
    assert bound.lower == pytest.approx((2 * share - 1) * often)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_mcnemar_bounds_and_p_are_on_the_same_side(alpha):
    for n, first_only in itertools.product((6, 10, 25), range(7)):
        second_only = 6 - first_only
        bound = mcnemar(
            difference(
                [1] * first_only + [0] * second_only + [0] * (n - 6),
                [0] * first_only + [1] * second_only + [0] * (n - 6),
            ),
            asked(alpha=alpha),
        )
        assert (bound.lower > 0) == (bound.p_above <= alpha)
        assert (bound.upper < 0) == (bound.p_below <= alpha)


def test_mcnemar_type_one_error_by_enumeration():
    # given the discordant pairs, each favours either arm with probability one half
    for differ in range(1, 41):
        false = sum(
            stats.binom.pmf(k, differ, 0.5)
            for k in range(differ + 1)
            if mcnemar(difference([1] * k + [0] * (differ - k), [0] * k + [1] * (differ - k)), asked()).p_above <= 0.05
        )
        assert false <= 0.05


def test_arms_that_never_differ_say_nothing():
    bound = mcnemar(difference([1] * 30, [1] * 30), asked())
    assert bound.p_above == 1.0
    assert bound.lower < 0 < bound.upper


@pytest.mark.parametrize("units", [6, 9])
def test_sign_flip_enumerates_like_scipy(units):
    differences = np.random.default_rng(units).normal(0.5, 1, units)
    ours = beats(differences, resamples=10, seed=0)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="greater", vectorized=False
    )
    assert ours == pytest.approx(theirs.pvalue)


def test_sign_flip_samples_like_scipy():
    differences = np.random.default_rng(1).normal(0.25, 1, 40)
    ours = beats(differences, resamples=20_000, seed=0)
    theirs = stats.permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        alternative="greater",
        vectorized=True,
        rng=np.random.default_rng(2),
    )
    assert ours == pytest.approx(theirs.pvalue, abs=0.01)


def test_few_units_cannot_go_below_their_number_of_flips():
    assert beats(np.ones(4), resamples=10_000, seed=0) == 1 / 16
    assert beats(np.ones(5), resamples=10_000, seed=0) == 1 / 32
    assert units_needed_for(0.05) == 5
    assert units_needed_for(0.05 / 3) == 6


def test_ties_count_against_the_claim():
    assert beats(np.zeros(20), resamples=1000, seed=0) == 1.0
    # 0.1 + 0.2 - 0.3 is not zero in floating point, and is a tie all the same
    assert beats(np.array([0.1, 0.2, -0.3]), resamples=1000, seed=0) == pytest.approx(5 / 8)


def test_sign_flip_bounds_invert_the_test():
    values = np.random.default_rng(3).normal(0.3, 1, 12)
    sample = sample_of(Effect.from_values(values, kind="continuous", iid=True).measured)
    bound = sign_flip(asked(), flips_of([sample], resamples=1000, seed=0)[0])
    assert beats(sample.totals - (bound.lower - 1e-9), resamples=1000, seed=0) <= 0.05
    assert beats(sample.totals - (bound.lower + 1e-9), resamples=1000, seed=0) > 0.05
    assert beats((bound.upper + 1e-9) - sample.totals, resamples=1000, seed=0) <= 0.05
    assert beats((bound.upper - 1e-9) - sample.totals, resamples=1000, seed=0) > 0.05


def test_sign_flip_keeps_its_level():
    rng = np.random.default_rng(4)
    false = sum(beats(rng.standard_t(3, 12), resamples=100, seed=0) <= 0.05 for _ in range(800))
    assert 0.03 <= false / 800 <= 0.075
