"""Verdicts on an order of effects, from end to end; and how often they err."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import greater_than
from causaltest.effect import Effect, Elsewhere, PositiveControl, SelfPatch
from causaltest.errors import RehearsalRead
from causaltest.judging.judge import judge, judge_family
from causaltest.judging.paired import MCNEMAR, SIGN_FLIP
from causaltest.judging.ranking import RANKING, ranking_p
from causaltest.judging.sample import sample_of
from causaltest.judging.student import STUDENT
from causaltest.judging.trend import PAGE, conditions_of, page
from causaltest.verdict import Outcome

SUPPORTED, REFUTED, INCONCLUSIVE, INVALID = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE, Outcome.INVALID
# the upper end of the 99.9 % band about .05, by how many repeats
BAND = {200: 0.110, 300: 0.097, 400: 0.0925}


def mapping(means, kind="binary", n=160, seed=0, clusters=None, spread=0.3, span=None):
    """Effects of these sizes, each on the same pairs."""
    rng = np.random.default_rng(seed)
    which = {"iid": True} if clusters is None else {"clusters": np.arange(n) % clusters}
    shared = 0.0 if clusters is None else rng.normal(0, spread / 2, clusters)[np.arange(n) % clusters]
    below = rng.uniform(1, 3, n) if kind == "ratio" else None
    effects = {}
    for i, mean in enumerate(means):
        if kind == "binary":
            values = (rng.random(n) < mean).astype(float)
        else:
            values = (mean + shared + rng.normal(0, spread, n)) * (1.0 if below is None else below)
        values = values if span is None else np.clip(values, *span)
        effects[3 * i] = Effect.from_values(values, kind=kind, denominators=below, range=span, **which)
    return effects


KINDS = [
    {"kind": "binary"},
    {"kind": "binary", "clusters": 40},
    {"kind": "continuous"},
    {"kind": "continuous", "span": (-2.0, 2.0)},
    {"kind": "continuous", "clusters": 40},
    {"kind": "ratio"},
    {"kind": "ratio", "clusters": 40},
]


@pytest.mark.parametrize("which", KINDS)
def test_every_kind_of_effect_can_go_each_way(which):
    rising, level, falling = (mapping(m, **which) for m in ((0.2, 0.5, 0.8), (0.5, 0.5, 0.5), (0.8, 0.5, 0.2)))
    order = monotone([0, 3, 6])
    assert [judge(m, order).outcome for m in (rising, level, falling)] == [SUPPORTED, INCONCLUSIVE, REFUTED]
    last = top(1, 6)
    assert [judge(m, last).outcome for m in (rising, level, falling)] == [SUPPORTED, INCONCLUSIVE, REFUTED]
    both = top(2, [3, 6])
    assert [judge(m, both).outcome for m in (rising, level, falling)] == [SUPPORTED, INCONCLUSIVE, REFUTED]
    one_of_two = top(2, 3)
    assert judge(rising, one_of_two).outcome is SUPPORTED
    assert judge(rising, top(2, 0)).outcome is REFUTED


@pytest.mark.parametrize(
    ("which", "procedures"),
    [(KINDS[0], (MCNEMAR,)), (KINDS[1], (SIGN_FLIP, STUDENT)), (KINDS[2], (SIGN_FLIP, STUDENT))],
)
def test_which_procedures_speak(which, procedures):
    effects = mapping((0.2, 0.5, 0.8), **which)
    assert judge(effects, monotone([0, 3, 6])).procedures == (PAGE, *procedures)
    assert judge(effects, top(1, 6)).procedures == (RANKING, *procedures)


def test_the_number_shown_is_the_smallest_step_or_the_lead():
    effects = mapping((0.2, 0.5, 0.9, 0.6), "continuous")
    means = {name: effect.estimate for name, effect in effects.items()}
    verdict = judge(effects, monotone([0, 3, 9, 6]))
    assert verdict.estimate == pytest.approx(means[9] - means[3])
    assert verdict.lower < verdict.estimate < verdict.upper
    assert "a trend over all the effects is shown, and not each step of it" in verdict.notes
    assert any(note.startswith("the steps: 0 to 3: 0.") for note in verdict.notes)
    assert judge(effects, top(1, 6)).estimate == pytest.approx(means[6] - means[9])
    assert judge(effects, top(2, 6)).estimate == pytest.approx(means[6] - means[3])
    assert judge(effects, top(2, [6, 3])).estimate == pytest.approx(means[3] - means[9])


def compared(effects, first, second, share):
    """One comparison, judged by itself at `alpha / share`."""
    return judge(effects[first] - effects[second], greater_than(0), family_size=share)


@pytest.mark.parametrize("which", [KINDS[0], KINDS[4], KINDS[5]])
@pytest.mark.parametrize("seed", range(3))
def test_a_trend_by_hand(which, seed):
    """The trend and the rise at alpha; each step's lower bound at alpha, its upper at alpha / steps."""
    effects = mapping((0.3, 0.4, 0.35, 0.5), seed=seed, **which)
    verdict = judge(effects, monotone([0, 3, 6, 9]))
    samples = [sample_of(effects[name].measured) for name in (0, 3, 6, 9)]
    p_trend, p_rise = page(conditions_of(samples)), compared(effects, 9, 0, 1).p_value
    assert verdict.p_value == max(p_trend, p_rise)
    steps = [(3, 0), (6, 3), (9, 6)]
    assert verdict.lower == min(compared(effects, *step, 1).lower for step in steps)
    assert verdict.upper == min(compared(effects, *step, 3).upper for step in steps)
    assert (verdict.outcome is SUPPORTED) == (verdict.p_value <= 0.05 and verdict.upper >= 0)


@pytest.mark.parametrize("which", [KINDS[0], KINDS[4], KINDS[5]])
@pytest.mark.parametrize(("k", "names"), [(1, [9]), (2, [9]), (2, [9, 3]), (3, [0])])
def test_a_place_by_hand(which, k, names):
    """Of four members: each lower bound at alpha / k, each upper at alpha / (4 - k) and over the names."""
    effects = mapping((0.3, 0.4, 0.35, 0.55), seed=3, **which)
    verdict = judge(effects, top(k, names))
    lowers, uppers, p_values = [], [], []
    for name in names:
        others = [other for other in effects if other != name]
        lowers.append(sorted(compared(effects, name, other, k).lower for other in others)[k - 1])
        uppers.append(sorted(compared(effects, name, other, (4 - k) * len(names)).upper for other in others)[k - 1])
        p_values.append(k * sorted(compared(effects, name, other, 1).p_value for other in others)[3 - k])
    samples = [sample_of(effect.measured) for effect in effects.values()]
    p_ranking = ranking_p(samples, [list(effects).index(name) for name in names], k, resamples=10_000, seed=0)
    assert verdict.p_value == pytest.approx(min(1.0, max(*p_values, p_ranking)))
    assert verdict.lower == pytest.approx(min(lowers))
    assert verdict.upper == pytest.approx(min(uppers))
    supported = verdict.p_value <= 0.05 and verdict.lower > 0
    assert verdict.outcome is (REFUTED if verdict.upper < 0 else SUPPORTED if supported else INCONCLUSIVE)


def test_four_pairs_of_four_are_no_ranking():
    """The resamples never see a failure in so few pairs; the comparisons do."""
    effects = {name: Effect.from_values([value] * 4, kind="binary", iid=True) for name, value in ((3, 0), (6, 1))}
    verdict = judge(effects, top(1, 6))
    assert verdict.outcome is INCONCLUSIVE
    assert verdict.p_value == 1 / 16


def test_one_reversed_step_refutes_a_trend():
    effects = mapping((0.1, 0.5, 0.3, 0.9), n=300)
    verdict = judge(effects, monotone([0, 3, 6, 9]))
    assert verdict.outcome is REFUTED
    assert verdict.upper < 0
    assert "reversed by exact McNemar at alpha .05 over 3 steps: 3 to 6: -0." in verdict.reason
    # while the trend itself is clear
    assert verdict.p_value < 1e-4


def test_a_trend_of_ranks_without_a_rise_of_means_is_no_trend():
    """Ninety pairs in a hundred a little worse, ten much better: the ranks fall, and the means do not."""
    n = 200
    often_low = np.where(np.arange(n) % 10 == 0, 0.9, -0.1)
    effects = {
        name: Effect.from_values(values, kind="continuous", iid=True)
        for name, values in {0: often_low, 3: 0.5 * often_low, 6: np.zeros(n)}.items()
    }
    verdict = judge(effects, monotone([0, 3, 6]))
    assert verdict.outcome is INCONCLUSIVE


def test_a_rise_of_means_without_a_trend_of_ranks_is_no_trend():
    """Nine in ten a little worse and one in ten far better: the means rise, and the ranks fall."""
    seldom = np.where(np.arange(200) % 10 == 0, 5.0, -0.1)
    effects = {
        name: Effect.from_values(share * seldom, kind="continuous", iid=True)
        for name, share in ((0, 0), (3, 0.5), (6, 1))
    }
    assert judge(effects[6] - effects[0], greater_than(0)).outcome is SUPPORTED
    verdict = judge(effects, monotone([0, 3, 6]))
    assert verdict.outcome is INCONCLUSIVE
    assert verdict.p_value > 0.9


def test_a_mapping_is_judged_as_effects_are():
    effects = mapping((0.2, 0.5, 0.8))
    assert judge_family([effects, effects[3]], [top(1, 6), top(1, 6).comparison])[0].family_size == 2
    small, large = (judge(effects, top(1, 6), family_size=size) for size in (1, 10))
    assert large.alpha == small.alpha / 10
    assert large.p_adjusted == pytest.approx(min(1, 10 * large.p_value))
    assert large.lower < small.lower
    assert "alpha .05/10" in large.reason
    again = judge(effects, top(1, 6))
    assert repr(again) == repr(small)


def test_in_rehearsal_there_is_no_verdict():
    with pytest.raises(RehearsalRead):
        judge({name: Effect(None, None) for name in (0, 3, 6)}, monotone([0, 3, 6]))


def changed(effects, name, **changes):
    effect = effects[name]
    controls = {key: changes.pop(key) for key in ("self_patch", "positive", "distance", "elsewhere") if key in changes}
    controls = dataclasses.replace(effect.measured.controls, **controls)
    numbers = dataclasses.replace(effect.measured, controls=controls, **changes)
    return {**effects, name: Effect(None, numbers)}


@pytest.mark.parametrize("name", [0, 3, 6])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"self_patch": SelfPatch(1.0, 1e-6)}, "its own value moved a score"),
        ({"positive": PositiveControl(0.0, 0.1, "everything")}, "The positive control failed"),
    ],
)
def test_a_member_whose_control_failed_makes_all_of_them_invalid(name, changes, words):
    effects = changed(mapping((0.2, 0.5, 0.8)), name, **changes)
    for prediction in (monotone([0, 3, 6]), top(1, 6)):
        verdict = judge(effects, prediction)
        assert verdict.outcome is INVALID
        assert verdict.reason.startswith(f"Of the effects, {name}: ")
        assert words in verdict.reason
        assert (verdict.lower, verdict.upper, verdict.p_value) == (-np.inf, np.inf, 1.0)


def test_numbers_that_are_not_finite_and_weak_denominators_are_invalid():
    effects = mapping((0.2, 0.5, 0.8), "continuous")
    values = (float("nan"), *effects[3].measured.values[1:])
    assert (
        "Of the effects, 3: The value of 'pair 0' is nan" in judge(changed(effects, 3, values=values), top(1, 6)).reason
    )
    ratios = mapping((0.2, 0.5, 0.8), "ratio")
    noise = tuple(np.random.default_rng(0).normal(0, 1, 160))
    for name in (0, 3, 6):
        ratios = changed(ratios, name, denominators=noise)
    verdict = judge(ratios, top(1, 6))
    assert verdict.outcome is INVALID
    assert "are not clearly above zero" in verdict.reason


def test_a_member_that_was_not_moved_is_told():
    effects = changed(mapping((0.0, 0.5, 0.8)), 0, distance=(0.0,) * 160)
    verdict = judge(effects, top(1, 6))
    assert verdict.outcome is SUPPORTED
    assert any(note.startswith("0: in some pairs the patched vectors equal") for note in verdict.notes)


def test_a_wrong_place_is_no_part_of_an_order():
    effects = mapping((0.0, 0.5, 0.8))
    place = Elsewhere("resid_post L1", (0.0,) * 160, (1.0,) * 160)
    asked = {name: changed(effects, name, elsewhere=(place,))[name] for name in effects}
    told = "the wrong places that were asked for are no part of this verdict: an order compares its members"
    assert told in judge(asked, top(1, 6)).notes
    assert told not in judge(effects, top(1, 6)).notes


def test_few_units_decide_nothing():
    for prediction in (monotone([0, 3, 6]), top(1, 6)):
        verdict = judge(mapping((0.1, 0.5, 0.9), "continuous", n=19), prediction)
        assert verdict.outcome is INCONCLUSIVE
        assert "19 pairs are too few, the minimum for this kind of claim is 20" in verdict.reason
        assert judge(mapping((0.1, 0.5, 0.9), "continuous", n=19), prediction, minimum_units=0).outcome is SUPPORTED
        few = judge(mapping((0.1, 0.5, 0.9), "continuous"), prediction, resamples=999)
        assert few.outcome is INCONCLUSIVE
        assert "999 resamples are too few for alpha .05: at least 1000" in few.reason


def test_the_pairs_needed_are_counted_for_a_step_or_a_lead():
    effects = mapping((0.5, 0.52, 0.5), n=60)
    rise = judge(effects, monotone([0, 3, 6], expecting=0.1))
    assert rise.outcome is INCONCLUSIVE
    assert f"{rise.needed_n} pairs would decide if the truth is 0.1, as expected" in rise.reason
    assert judge(effects, monotone([0, 3, 6], expecting=0.2)).needed_n < rise.needed_n
    lead = judge(effects, top(1, 3, smallest=0.1))
    assert f"{lead.needed_n} pairs would decide if the truth is 0.1, the smallest effect of interest" in lead.reason
    assert judge(effects, top(1, 3)).needed_n is None


def test_the_pairs_promised_decide():
    """At the numbers promised, the verdict comes at least as often as promised."""
    means = (0.3, 0.4, 0.5)
    promised = judge(mapping(means, n=100), monotone([0, 3, 6], expecting=0.1)).needed_n
    outcomes = [judge(mapping(means, n=promised, seed=i), monotone([0, 3, 6])).outcome for i in range(100)]
    assert np.mean([o is SUPPORTED for o in outcomes]) >= 0.68
    means = (0.3, 0.3, 0.6)
    promised = judge(mapping(means, n=100), top(1, 6, expecting=0.3)).needed_n
    outcomes = [judge(mapping(means, n=promised, seed=i), top(1, 6)).outcome for i in range(60)]
    assert np.mean([o is SUPPORTED for o in outcomes]) >= 0.62


def test_supported_and_smaller_than_what_is_of_interest():
    effects = mapping((0.2, 0.5, 0.8))
    told = "smaller than the smallest effect of interest"
    assert any(told in note for note in judge(effects, top(1, 6, smallest=0.9)).notes)
    assert not any(told in note for note in judge(effects, top(1, 6, smallest=0.1)).notes)


# how often they err


def shares(prediction, repeats, **which):
    """How often each word is said, over fresh samples."""
    claims = [mapping(seed=seed, **which) for seed in range(repeats)]
    verdicts = judge_family(claims, [prediction] * repeats, family_size=1, resamples=1000, minimum_units=0)
    return {word: np.mean([v.outcome is word for v in verdicts]) for word in (SUPPORTED, REFUTED)}


@pytest.mark.parametrize(
    "which",
    [
        {"kind": "binary", "n": 60},
        {"kind": "binary", "n": 120, "clusters": 30},
        {"kind": "continuous", "n": 40},
        {"kind": "ratio", "n": 60},
    ],
)
@pytest.mark.parametrize("prediction", [monotone([0, 3, 6]), top(1, 6), top(2, [0, 6])])
def test_of_equal_effects_nothing_is_said_more_often_than_alpha(prediction, which):
    said = shares(prediction, 200, means=(0.3, 0.3, 0.3), **which)
    assert said[SUPPORTED] <= BAND[200]
    assert said[REFUTED] <= BAND[200]


@pytest.mark.parametrize("kind", ["binary", "continuous"])
def test_two_best_that_are_equal(kind):
    said = shares(top(1, 6), 400, means=(0.1, 0.6, 0.6), kind=kind, n=60)
    assert said[SUPPORTED] <= BAND[400]
    assert said[REFUTED] <= BAND[400]


def test_the_best_of_192_equal_members_is_not_known():
    said = shares(top(1, 6), 20, means=(0.3,) * 192, kind="binary", n=50)
    assert said[SUPPORTED] == 0
    assert said[REFUTED] <= 0.2


def test_a_level_stretch_is_not_called_reversed():
    said = shares(monotone([0, 3, 6, 9]), 300, means=(0.2, 0.5, 0.5, 0.5), kind="continuous", n=40)
    assert said[REFUTED] <= BAND[300]


# laws


@st.composite
def mappings(draw):
    kind = draw(st.sampled_from(["binary", "continuous", "ratio"]))
    count = draw(st.integers(3, 6))
    means = draw(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.9]), min_size=count, max_size=count))
    return mapping(
        means,
        kind,
        n=draw(st.integers(2, 70)),
        seed=draw(st.integers(0, 99)),
        clusters=draw(st.sampled_from([None, 2, 15])),
        spread=draw(st.sampled_from([0.0, 0.1, 1.0])),
        span=draw(st.sampled_from([None, (-9.0, 9.0)])),
    )


LAW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@LAW
@given(mappings(), st.integers(1, 3), st.sampled_from(["monotone", "top"]))
def test_the_interval_never_contradicts_the_outcome(effects, k, kind):
    if kind == "top":
        k = min(k, len(effects) - 1)
        prediction = top(k, list(effects)[:k])
    else:
        prediction = monotone(effects)
    verdict = judge(effects, prediction, minimum_units=0)
    if verdict.outcome is INVALID:
        return
    assert verdict.lower <= verdict.estimate + 1e-9
    assert verdict.estimate <= verdict.upper + 1e-9
    assert 0 < verdict.p_value <= verdict.p_adjusted <= 1
    assert (verdict.outcome is REFUTED) == (verdict.upper < 0)
    if verdict.outcome is SUPPORTED:
        assert verdict.p_value <= verdict.alpha
        assert verdict.lower > 0 or kind == "monotone"
    if verdict.outcome is INCONCLUSIVE and kind == "top":
        assert verdict.lower <= 0 or verdict.p_value > verdict.alpha


@settings(LAW, max_examples=25)
@given(mappings(), st.integers(2, 9))
def test_a_larger_family_says_nothing_new(effects, family_size):
    for prediction in (monotone(effects), top(1, 0)):
        small = judge(effects, prediction, minimum_units=0)
        large = judge(effects, prediction, minimum_units=0, family_size=family_size)
        assert large.outcome in (small.outcome, INCONCLUSIVE)


@settings(LAW, max_examples=25)
@given(mappings(), st.randoms(use_true_random=False))
def test_the_order_of_the_mapping_decides_nothing(effects, random):
    names = list(effects)
    random.shuffle(names)
    shuffled = {name: effects[name] for name in names}
    for prediction in (monotone(sorted(effects)), top(1, 0)):
        one, other = (judge(m, prediction, minimum_units=0) for m in (effects, shuffled))
        assert (one.outcome, one.estimate, one.lower, one.p_value) == (
            other.outcome,
            other.estimate,
            other.lower,
            other.p_value,
        ) or one.outcome is INVALID


def test_the_lead_is_told_as_a_difference_from_the_effect_under_its_name():
    rows = {1: [1] * 30, 2: [0] * 30}
    effects = {name: Effect.from_values(row, kind="binary", iid=True) for name, row in rows.items()}
    assert "the effect under 1 minus the largest of the other 1 is 1; the bounds of the lead are" in (
        judge(effects, top(1, 1)).reason
    )
