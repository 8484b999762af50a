"""The verdict rule, from end to end."""

import re
import time

import numpy as np
import pytest

from causaltest.asking.predictions import at_least, at_most, greater_than, negligible
from causaltest.effect import Effect, Waived
from causaltest.errors import JudgementError, RehearsalRead
from causaltest.judging.judge import PUBLISHED, judge
from causaltest.judging.rules import BCA, BETTING, EXACT, KORN_GRAUBARD, MCNEMAR, SIGN_FLIP, STUDENT
from causaltest.verdict import Outcome

WAIVED = Waived("simulated data")
CLUSTERS = np.arange(300) % 64


def effect(values, kind="continuous", placebo=WAIVED, **which) -> Effect:
    if "clusters" not in which:
        which["iid"] = True
    return Effect.from_values(values, kind=kind, placebo=placebo, **which)


def noise(mean: float, n: int = 60, seed: int = 0, spread: float = 0.1):
    return np.clip(np.random.default_rng(seed).normal(mean, spread, n), -1, 1)


# the retracted pilot


def test_the_pilot_is_inconclusive():
    verdict = judge(effect([1] * 5 + [0] * 4, "binary"), at_least(0.5, expecting=0.7), family_size=3)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert (round(verdict.lower, 3), round(verdict.upper, 3)) == (0.193, 0.878)
    assert verdict.p_value == pytest.approx(0.5)
    assert verdict.p_adjusted == 1.0
    assert verdict.needed_n == 55
    assert verdict.needed == {"if the truth is 0.556": 716, PUBLISHED: 634}
    assert verdict.reason == (
        "Observed 5 of 9 independent pairs (0.556): the bounds [0.193, 0.878] do not settle whether the effect is "
        ">= 0.5 at alpha .05/3. 716 pairs would decide if the truth is 0.556; 55 if it is 0.7, as expected."
    )


# which rule speaks


@pytest.mark.parametrize(
    ("subject", "procedures"),
    [
        (effect([1, 0] * 30, "binary"), (EXACT,)),
        (effect([1, 0] * 30, "binary", clusters=np.arange(60) // 2), (KORN_GRAUBARD,)),
        (effect(noise(0.5), range=(-1, 1)), (BCA, STUDENT, BETTING)),
        (effect(noise(0.5)), (BCA, STUDENT)),
        (effect(noise(0.5), "ratio", denominators=[1.0, 2.0] * 30), (BCA, STUDENT)),
        (effect(noise(0.5), "ratio", denominators=[1.0, 2.0] * 30, range=(-2, 2)), (BCA, STUDENT, BETTING)),
        (effect(noise(0.5), "ratio", denominators=[1.0, 2.0] * 30, range=(-1, 1)), (BCA, STUDENT)),
    ],
)
def test_the_rule_follows_the_kind(subject, procedures):
    assert judge(subject, at_least(0.3)).procedures == procedures


def test_differences_of_binary_arms():
    rng = np.random.default_rng(1)
    first, second = rng.random(300) < 0.7, rng.random(300) < 0.3
    for which, procedures in (({"iid": True}, (MCNEMAR,)), ({"clusters": CLUSTERS}, (SIGN_FLIP, STUDENT))):
        arms = [Effect.from_values(arm, kind="binary", **which) for arm in (first, second)]
        verdict = judge(arms[0] - arms[1], greater_than(0))
        assert (verdict.outcome, verdict.procedures) == (Outcome.SUPPORTED, procedures)
        assert verdict.lower > 0
        assert judge(arms[1] - arms[0], greater_than(0)).outcome is Outcome.REFUTED
        assert judge(arms[0] - arms[1], greater_than(0.1)).procedures == (BCA, STUDENT, BETTING)
        assert "placebo waived: the control of a difference is its other arm" in verdict.notes


# supported, refuted


@pytest.mark.parametrize(
    ("prediction", "outcome"),
    [
        (at_least(0.3), Outcome.SUPPORTED),
        (at_least(0.7), Outcome.REFUTED),
        (at_least(0.5), Outcome.INCONCLUSIVE),
        (greater_than(0.3), Outcome.SUPPORTED),
        (at_most(0.7), Outcome.SUPPORTED),
        (at_most(0.3), Outcome.REFUTED),
        (at_most(0.5), Outcome.INCONCLUSIVE),
        (negligible(within=0.7), Outcome.SUPPORTED),
        (negligible(within=0.3), Outcome.REFUTED),
        (negligible(within=0.5), Outcome.INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("span", [None, (-1.0, 1.0)])
def test_every_relation_can_go_each_way(prediction, outcome, span):
    verdict = judge(effect(noise(0.5, 120), range=span), prediction)
    assert verdict.outcome is outcome
    assert verdict.lower < 0.5 < verdict.upper


def test_all_right_in_64_clusters():
    verdict = judge(effect([1] * 300, "binary", clusters=CLUSTERS), at_least(0.3))
    assert verdict.outcome is Outcome.SUPPORTED
    assert verdict.lower == pytest.approx(0.05 ** (1 / 64))
    assert verdict.units == 64
    assert 0 < verdict.p_value


# the placebo


def test_without_a_placebo_nothing_is_supported():
    verdict = judge(effect(noise(0.5), placebo=None), at_least(0.3))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert 'Give placebo=..., or Waived("why")' in verdict.reason
    assert judge(effect(noise(0.5), placebo=None), at_least(0.9)).outcome is Outcome.REFUTED
    assert judge(effect(noise(0.5), placebo=None), at_most(0.9)).outcome is Outcome.SUPPORTED


def test_a_waived_placebo_is_printed():
    assert "placebo waived: simulated data" in judge(effect(noise(0.5)), at_least(0.3)).notes


def test_a_placebo_that_does_as_much_is_not_beaten():
    verdict = judge(effect(noise(0.5), placebo=noise(0.5, seed=1)), at_least(0.3))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "the placebo, at 0.49" in verdict.reason
    assert verdict.p_value > 0.05
    beaten = judge(effect(noise(0.5), placebo=noise(0.2, seed=1)), at_least(0.3))
    assert beaten.outcome is Outcome.SUPPORTED
    assert "the placebo is beaten" in beaten.reason


def test_a_negative_effect_must_lie_below_its_placebo():
    for placebo, outcome in ((0.0, Outcome.SUPPORTED), (-0.9, Outcome.INCONCLUSIVE)):
        verdict = judge(effect(noise(-0.5), placebo=noise(placebo, seed=1)), at_most(-0.3))
        assert verdict.outcome is outcome


def test_too_few_units_to_beat_any_placebo():
    verdict = judge(effect([1] * 4, "binary", placebo=[0.0] * 4), at_least(0.3))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "cannot go below 2**-4 = 0.0625; 5 units are needed" in verdict.reason
    assert judge(effect([1] * 5, "binary", placebo=[0.0] * 5), at_least(0.3)).outcome is Outcome.SUPPORTED


# samples that are too small, too regular, or resampled too little


@pytest.mark.parametrize(("span", "minimum"), [((-1.0, 1.0), 20), (None, 50)])
def test_means_of_few_units_are_not_judged(span, minimum):
    for prediction in (at_least(0.1), at_least(0.9)):
        verdict = judge(effect(noise(0.5, minimum - 1), range=span), prediction)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert f"the minimum for this kind of claim is {minimum}" in verdict.reason
    assert judge(effect(noise(0.5, minimum), range=span), at_least(0.1)).outcome is Outcome.SUPPORTED
    assert judge(effect(noise(0.5, 19), range=span), at_least(0.1), minimum_units=0).outcome is Outcome.SUPPORTED


def test_few_clusters_are_few_units_however_many_pairs():
    verdict = judge(effect([1] * 190, "binary", clusters=np.arange(190) % 19), at_least(0.3))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "19 clusters are too few" in verdict.reason


def test_exact_tests_decide_at_any_number():
    assert judge(effect([1] * 9, "binary"), at_least(0.5)).outcome is Outcome.SUPPORTED
    assert judge(effect([0] * 9, "binary"), at_least(0.5)).outcome is Outcome.REFUTED


def test_without_spread_a_range_is_needed():
    verdict = judge(effect([1.0] * 60), at_least(0.9))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "degenerate" in verdict.reason and "Declare the metric's range" in verdict.reason
    ranged = judge(effect([1.0] * 49, range=(0, 1)), at_least(0.94))
    assert (ranged.outcome, ranged.procedures) == (Outcome.SUPPORTED, (BETTING,))
    assert any("betting bound alone" in note for note in ranged.notes)
    assert judge(effect([1.0] * 48, range=(0, 1)), at_least(0.94)).outcome is Outcome.INCONCLUSIVE


def test_a_ratio_without_spread():
    below = np.random.default_rng(3).uniform(2, 5, 300)
    perfect = effect(below, "ratio", denominators=below, clusters=CLUSTERS)
    assert "degenerate" in judge(perfect, at_least(0.9)).reason
    zero = effect(0 * below, "ratio", denominators=below, clusters=CLUSTERS)
    assert "degenerate" in judge(zero, negligible(within=0.05)).reason
    assert judge(zero, at_least(0.05)).outcome is Outcome.INCONCLUSIVE
    constant = effect([0.0] * 60, "ratio", denominators=[2.0] * 60)
    assert "degenerate" in judge(constant, negligible(within=0.05)).reason


def test_too_few_resamples_are_said():
    verdict = judge(effect(noise(0.5)), at_least(0.1), family_size=4, resamples=3999)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "3999 resamples are too few for alpha .05/4: at least 4000" in verdict.reason
    assert judge(effect(noise(0.5)), at_least(0.1), family_size=4, resamples=4000).outcome is Outcome.SUPPORTED
    # nothing is resampled here
    assert judge(effect([1] * 9, "binary"), at_least(0.3), resamples=10).outcome is Outcome.SUPPORTED


def test_unbounded_means_say_that_coverage_is_approximate():
    assert any("coverage is approximate" in note for note in judge(effect(noise(0.5)), at_least(0.3)).notes)
    assert not any("approximate" in n for n in judge(effect(noise(0.5), range=(-1, 1)), at_least(0.3)).notes)


# seeds, comparisons, the door


def test_same_numbers_same_bits():
    first, second = (judge(effect(noise(0.5), range=(-1, 1)), at_least(0.3)) for _ in range(2))
    assert first == second
    assert first.seed is not None
    by_hand = judge(effect(noise(0.5), range=(-1, 1)), at_least(0.3), seed=7)
    assert by_hand.seed == 7
    assert by_hand.lower != first.lower


def test_the_global_generator_is_left_alone():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    judge(effect(noise(0.5), range=(-1, 1)), at_least(0.3))
    assert (np.random.get_state()[1] == before).all()


def test_inline_comparisons_are_exploratory():
    subject = effect(noise(0.5))
    for verdict, prediction in (
        (subject > 0.3, "> 0.3"),
        (subject >= 0.3, ">= 0.3"),
        (subject < 0.7, "<= 0.7"),
        (subject <= 0.7, "<= 0.7"),
    ):
        assert verdict.outcome is Outcome.SUPPORTED
        assert verdict.prediction == prediction
        assert "xploratory" in verdict.reason
    assert not subject > 0.9


@pytest.mark.parametrize("wrong", [{"family_size": 0}, {"seed": -1}, {"resamples": 0}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(JudgementError, match=next(iter(wrong))):
        judge(effect(noise(0.5)), at_least(0.3), **wrong)


def test_an_effect_in_rehearsal_has_no_verdict():
    with pytest.raises(RehearsalRead):
        judge(Effect(None, None), at_least(0.3))


def test_reasons_are_sentences():
    for prediction in (at_least(0.3), at_least(0.5), at_least(0.9), at_most(0.3), negligible(within=0.3)):
        reason = judge(effect(noise(0.5)), prediction).reason
        assert re.fullmatch(r"[A-Z].*\.", reason), reason


def test_a_verdict_is_quick():
    rng = np.random.default_rng(0)
    subject = effect(noise(0.5, 300), range=(-1, 1), clusters=CLUSTERS, placebo=rng.normal(0, 0.1, 300))
    judge(subject, at_least(0.3))
    started = time.perf_counter()
    judge(subject, at_least(0.3))
    assert time.perf_counter() - started < 1.0


def test_pairs_are_not_counted_where_more_of_them_would_not_help():
    numbers = [1.0] * 55 + [0.0] * 5
    verdict = judge(effect(numbers, "binary", placebo=None), at_least(0.5, expecting=0.8))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert (verdict.needed_n, dict(verdict.needed)) == (None, {})


def test_an_effect_beyond_the_range_needs_no_number_of_pairs():
    verdict = judge(effect(noise(0.1), range=(-1, 1)), at_least(0.9, expecting=1.2))
    assert verdict.needed_n is None


def test_an_effect_that_is_there_and_smaller_than_what_is_of_interest():
    told = "supported, and smaller than the smallest effect of interest: the bound"
    subject = effect(noise(0.5, 120), range=(-1, 1))
    for prediction, noted in (
        (at_least(0.3, smallest=0.7), True),
        (at_least(0.3, smallest=0.5), False),
        (at_least(0.9, smallest=0.95), False),
        (negligible(within=0.8, smallest=0.7), True),
    ):
        assert any(told in note for note in judge(subject, prediction).notes) is noted
    below = effect(noise(-0.5, 120), range=(-1, 1))
    assert any(told in note for note in judge(below, at_most(-0.3, smallest=-0.7)).notes)
    assert not any(told in note for note in judge(below, at_most(-0.3, smallest=-0.5)).notes)


def test_pairs_are_counted_for_the_smallest_effect_of_interest():
    subject = effect(noise(0.5, 60, spread=0.5))
    expected, smallest = (judge(subject, at_least(0.45, **{word: 0.55})) for word in ("expecting", "smallest"))
    assert expected.needed_n == smallest.needed_n
    assert smallest.outcome is Outcome.INCONCLUSIVE
    assert f"{smallest.needed_n} if it is 0.55, the smallest effect of interest" in smallest.reason
    assert judge(subject, at_least(0.45, expecting=0.7, smallest=0.6)).needed_n < expected.needed_n


def test_a_placebo_that_is_needed_and_missing_leaves_no_p_value():
    """Holm, in the summary, must not count this claim as the strongest of its family."""
    ones = Effect.from_values([1] * 40, kind="binary", iid=True)
    verdict = judge(ones, at_least(0.5))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.p_value == verdict.p_adjusted == 1.0
    assert judge(ones, at_most(0.5)).outcome is Outcome.REFUTED


def test_a_verdicts_numbers_are_plain():
    verdict = judge(Effect.from_values([1] * 30, kind="binary", iid=True, placebo=[0] * 30), at_least(0.5))
    assert (type(verdict.p_value), type(verdict.placebo_p)) == (float, float)
    assert "np." not in repr(verdict)
