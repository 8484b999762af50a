"""Bad input: each has a verdict or an error, in a sentence that says what to do."""

import math
import re

import numpy as np
import pytest

from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible, unchanged
from causaltest.effect import Effect, Waived
from causaltest.effects import Effects
from causaltest.errors import ClaimError, JudgementError
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome

SUPPORTED, REFUTED, INCONCLUSIVE, INVALID = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE, Outcome.INVALID
RANGES = {"binary": None, "continuous": (0.0, 1.0), "unbounded": None, "ratio": (-2.0, 2.0)}
SCALARS = [at_least(0.3), at_most(0.3), between(0.2, 0.6), negligible(within=0.3), greater_than(0.3), greater_than(0.0)]


def effect(values, kind="continuous", **more) -> Effect:
    which = {} if "clusters" in more else {"iid": True}
    return Effect.from_values(values, kind=kind, **{"placebo": Waived("simulated data"), **which, **more})


def constant(value: float, n: int, kind: str) -> Effect:
    below = [2.0] * n if kind == "ratio" else None
    values = [value if below is None else 2.0 * value] * n
    return effect(values, "continuous" if kind == "unbounded" else kind, range=RANGES[kind], denominators=below)


def is_a_sentence(reason: str) -> bool:
    return re.fullmatch(r"[A-Z0-9].*\.", reason) is not None


# samples that cannot say much


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("prediction", SCALARS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_pair(kind, prediction, value):
    verdict = judge(constant(value, 1, kind), prediction)
    # one right answer shows that some are right; nothing else follows from one pair
    certain = kind == "binary" and prediction == greater_than(0.0) and value == 1.0
    assert verdict.outcome is (SUPPORTED if certain else INCONCLUSIVE)
    assert is_a_sentence(verdict.reason)
    assert verdict.n == verdict.units == 1


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_pairs_in_any_order(n):
    effects = {name: effect([value] * n, "binary") for name, value in ((3, 0), (6, 0), (9, 1))}
    for prediction in (monotone([3, 6, 9]), top(1, 9)):
        verdict = judge(effects, prediction)
        assert verdict.outcome is INCONCLUSIVE
        assert is_a_sentence(verdict.reason)


@pytest.mark.parametrize("prediction", [*SCALARS, at_least(0.94)])
@pytest.mark.parametrize("kind", RANGES)
def test_all_ones(kind, prediction):
    verdict = judge(constant(1.0, 60, kind), prediction)
    if kind == "unbounded":
        assert verdict.outcome is INCONCLUSIVE
    elif kind != "ratio" or prediction.threshold < 0.9:
        # of a ratio's wide reach more pairs are needed for the last few hundredths
        assert verdict.outcome is (SUPPORTED if prediction.holds(1.0) else REFUTED)
    assert is_a_sentence(verdict.reason)
    assert verdict.lower <= 1.0 <= verdict.upper


@pytest.mark.parametrize("kind", ["continuous", "unbounded", "ratio"])
def test_all_equal_is_no_proof(kind):
    """Seven pairs that agree to the last digit do not show where the next will lie."""
    verdict = judge(constant(0.5, 7, kind), at_least(0.49))
    assert verdict.outcome is INCONCLUSIVE
    many = judge(constant(0.5, 60, kind), at_least(0.49))
    assert many.outcome is INCONCLUSIVE
    assert ("degenerate" in many.reason) == (kind == "unbounded")


def test_all_equal_in_every_member():
    effects = {name: constant(0.5, 60, "continuous") for name in (3, 6, 9)}
    for prediction in (monotone([3, 6, 9]), top(1, 9), top(2, 9)):
        assert judge(effects, prediction).outcome is INCONCLUSIVE


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(odd):
    values = [0.5, 0.4] * 30
    broken = effect([odd, *values[1:]])
    for prediction in SCALARS:
        verdict = judge(broken, prediction)
        assert verdict.outcome is INVALID
        assert "(1 of 60 pairs are not finite)" in verdict.reason
    difference = judge(broken - effect(values), unchanged(margin=0.1))
    assert difference.outcome is INVALID
    several = judge({3: effect(values), 6: broken}, top(1, 3))
    assert several.outcome is INVALID
    assert several.reason.startswith("Of the effects, 6: The value of 'pair 0' is ")


# too few ever to reach alpha


@pytest.mark.parametrize(
    ("prediction", "size", "fewest"),
    [(at_least(0.94), 1, 49), (at_least(0.5), 3, 6), (at_most(0.06), 1, 49), (between(0.5, 0.94), 1, 5)],
)
def test_fewer_pairs_than_can_ever_reach_alpha(prediction, size, fewest):
    """All right, at X, has the probability X ** n: ln(alpha) / ln(X) of them are needed."""
    value = 0 if prediction.relation == "at_most" else 1
    few = judge(effect([value] * (fewest - 1), "binary"), prediction, family_size=size)
    if prediction.relation != "between":
        assert judge(effect([value] * fewest, "binary"), prediction, family_size=size).outcome is SUPPORTED
        assert few.outcome is INCONCLUSIVE
    last = 0 if prediction.relation == "between" else value
    told = judge(effect([value] * 3 + [last], "binary"), prediction, family_size=size)
    assert told.outcome is INCONCLUSIVE
    assert f"Whatever they give, 4 pairs cannot reach alpha .05{'/3' if size == 3 else ''}: at least {fewest} are" in (
        told.reason
    )


def test_fewer_clusters_than_can_ever_reach_alpha():
    clusters = np.arange(300) % 30
    told = judge(effect([1] * 300, "binary", clusters=clusters), at_least(0.94))
    assert told.outcome is INCONCLUSIVE
    assert "Whatever they give, 30 clusters cannot reach alpha .05: at least 49 are needed" in told.reason
    fewer = judge(effect([1] * 300, "binary", clusters=np.arange(300) % 10), at_least(0.94))
    assert "10 clusters are too few, the minimum for this kind of claim is 49" in fewer.reason
    alone = judge(effect([1] * 300, "binary", clusters=[0] * 300), at_least(0.94))
    assert "300 of 300 pairs in 1 cluster (1): 1 cluster is too few" in alone.reason
    enough = judge(effect([1] * 300, "binary", clusters=np.arange(300) % 49), at_least(0.94))
    assert enough.outcome is SUPPORTED


def test_fewer_differing_pairs_than_can_ever_reach_alpha():
    """McNemar's test flips a coin per pair that differs: four heads are one in sixteen."""
    first, second = effect([1] * 4 + [0] * 96, "binary"), effect([0] * 100, "binary")
    told = judge(first - second, greater_than(0))
    assert told.outcome is INCONCLUSIVE
    assert "differ in 4 pairs, and fewer than 5 such pairs cannot reach alpha .05" in told.reason
    five = effect([1] * 5 + [0] * 95, "binary")
    assert judge(five - second, greater_than(0)).outcome is SUPPORTED


def test_fewer_clusters_than_a_sign_flip_needs():
    first = effect([1] * 12, "binary", clusters=np.arange(12) % 4)
    second = effect([0, 0, 1] * 4, "binary", clusters=np.arange(12) % 4)
    told = judge(first - second, greater_than(0), minimum_units=0)
    assert told.outcome is INCONCLUSIVE
    assert "4 clusters cannot reach alpha .05: at least 5 are needed" in told.reason
    assert "the minimum for this kind of claim is 20" in judge(first - second, greater_than(0)).reason


def test_few_clusters_can_still_refute():
    assert judge(effect([0] * 9, "binary"), at_least(0.94)).outcome is REFUTED


# predictions that leave no room


@pytest.mark.parametrize(
    "make",
    [
        lambda: negligible(within=0),
        lambda: unchanged(margin=0),
        lambda: between(0.3, 0.3),
    ],
)
def test_a_margin_of_zero(make):
    with pytest.raises(ClaimError, match="leaves no room"):
        make()


@pytest.mark.parametrize(
    ("given", "prediction", "words"),
    [
        ("binary", at_least(1.5), r"\[0, 1\], and the threshold lies outside of it"),
        ("binary", at_least(-0.1), r"\[0, 1\], and the threshold lies outside of it"),
        ("binary", at_most(1.1), r"\[0, 1\], and the threshold lies outside of it"),
        ("binary", between(0.5, 1.0), r"Choose ends inside the range, or write at_least\(0.5\)"),
        ("binary", between(0.0, 0.1), r"or write at_most\(0.1\)"),
        ("binary", between(-1, 2), "that is all of the range"),
        ("binary", negligible(within=1.0), "that is all of the range. Choose a smaller within="),
        ("ranged", at_least(30), r"\[-20, 20\], and the threshold lies outside of it. Choose one inside"),
        ("ranged", greater_than(-21), r"\[-20, 20\]"),
        ("ranged", at_most(20.5), r"\[-20, 20\]"),
        ("ranged", between(-5, 25), r"\[-20, 20\].*or write at_least\(-5\)"),
        ("ranged", negligible(within=20), r"\[-20, 20\]"),
        ("difference", unchanged(margin=1.0), r"\[-1, 1\], and none could fall by more than the margin"),
        ("difference", at_least(1.2), r"\[-1, 1\]"),
    ],
)
def test_a_threshold_outside_the_range(given, prediction, words):
    rng = np.random.default_rng(0)
    right = effect((rng.random(60) < 0.5).astype(float), "binary")
    subject = {
        "binary": right,
        "ranged": effect(rng.uniform(-1, 1, 60), range=(-20, 20)),
        "difference": right - effect((rng.random(60) < 0.5).astype(float), "binary"),
    }[given]
    with pytest.raises(JudgementError, match=words) as error:
        judge(subject, prediction)
    assert is_a_sentence(str(error.value))


def test_a_ratio_and_an_undeclared_range_have_no_such_end():
    rng = np.random.default_rng(0)
    ratio = effect(rng.uniform(0, 1, 60), "ratio", denominators=[0.5] * 60, range=(-1, 1))
    assert judge(ratio, at_most(1.5)).outcome is SUPPORTED
    assert judge(effect(rng.uniform(-1, 1, 60)), at_most(30)).outcome is SUPPORTED


def test_an_inline_comparison_beyond_the_range_is_told():
    with pytest.raises(JudgementError, match="the threshold lies outside"):
        assert effect([0, 1] * 30, "binary") > 1.5


def test_denominators_that_are_not_clearly_above_zero():
    rng = np.random.default_rng(1)
    for below in (rng.normal(0, 1, 60), np.zeros(60), -np.ones(60)):
        verdict = judge(effect(rng.uniform(0, 1, 60), "ratio", denominators=below), at_least(0.3))
        assert verdict.outcome is INVALID
        assert "not clearly above zero" in verdict.reason


# effects that do not fit


def test_unequal_pair_ids_are_named():
    first = effect([1, 0, 1], "binary", pair_ids=["a", "b", "c"])
    second = effect([1, 0, 1], "binary", pair_ids=["a", "b", "x"])
    with pytest.raises(JudgementError, match=r"not about the same pairs: 2 are in one only \(c, x\)"):
        _ = first - second
    with pytest.raises(JudgementError, match=r"Of the effects 3 and 6: .*\(c, x\)"):
        judge({3: first, 6: second}, top(1, 3))


def test_one_effect_is_no_difference():
    with pytest.raises(JudgementError, match="about a difference of two effects on the same pairs, and one effect was"):
        judge(effect([0.5] * 60), unchanged(margin=0.1))


def test_mappings_that_do_not_fit_their_prediction():
    effects = {3: effect([0, 1] * 20, "binary"), 6: effect([1, 1] * 20, "binary"), 9: effect([0, 0] * 20, "binary")}
    with pytest.raises(JudgementError, match="The mapping of effects is empty"):
        judge({}, monotone([3, 6, 9]))
    with pytest.raises(JudgementError, match=r"k=1 of 1 effect: .*measured\. Give more effects\."):
        judge({3: effects[3]}, top(1, 3))
    with pytest.raises(JudgementError, match=r"The prediction '9 in the top 1' names 9,"):
        judge({3: effects[3], 6: effects[6]}, top(1, 9))
    with pytest.raises(JudgementError, match=r"names 12, and the mapping holds \[3, 6, 9\]"):
        judge(effects, monotone([3, 6, 12]))
    with pytest.raises(JudgementError, match=r"names '9', and the mapping holds \[3, 6, 9\]"):
        judge(effects, top(1, "9"))
    with pytest.raises(JudgementError, match="The mapping holds 9, which the order does not name"):
        judge({**effects, 1: effects[3]}, monotone([3, 6, 1]))
    with pytest.raises(JudgementError, match=r"k=3 of 3 effects: .*Give a k from 1 to 2"):
        judge(Effects(effects), top(3, 9))
    with pytest.raises(JudgementError, match="each entry must be an Effect"):
        judge({3: effects[3], 6: 0.5}, top(1, 3))


def test_one_effect_for_several_and_several_for_one():
    one = effect([0, 1] * 20, "binary")
    with pytest.raises(JudgementError, match=r"The prediction rising 3 < 6 < 9 is about several effects.*Return a map"):
        judge(one, monotone([3, 6, 9]))
    with pytest.raises(JudgementError, match=r"The prediction >= 0.3 is about one effect.*or claim monotone"):
        judge({3: one, 6: one}, at_least(0.3))
    with pytest.raises(JudgementError, match="judge takes an Effect, and got float"):
        judge(0.5, top(1, 3))
    with pytest.raises(JudgementError, match="judge takes a prediction such as"):
        judge({3: one, 6: one}, 0.3)
