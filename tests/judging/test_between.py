"""Between: two one-sided tests on every kind of effect, their errors, and the pairs they need."""

import numpy as np
import pytest

from causaltest.asking.predictions import at_least, at_most, between
from causaltest.effect import Effect, PositiveControl, Waived
from causaltest.judging.judge import PUBLISHED, judge, judge_family
from causaltest.judging.power import fewest_units
from causaltest.judging.rules import BCA, BETTING, STUDENT
from causaltest.verdict import Outcome

SUPPORTED, REFUTED, INCONCLUSIVE, INVALID = Outcome.SUPPORTED, Outcome.REFUTED, Outcome.INCONCLUSIVE, Outcome.INVALID
KINDS = [
    {"kind": "binary"},
    {"kind": "binary", "clusters": 60},
    {"kind": "continuous"},
    {"kind": "continuous", "span": (-1.0, 1.0)},
    {"kind": "continuous", "clusters": 60},
    {"kind": "ratio"},
]


def effect(mean, kind="continuous", n=300, seed=0, clusters=None, span=None, placebo=None):
    rng = np.random.default_rng(seed)
    which = {"iid": True} if clusters is None else {"clusters": np.arange(n) % clusters}
    below = rng.uniform(1, 3, n) if kind == "ratio" else None
    values = rng.normal(mean, 0.3, n) * (1.0 if below is None else below)
    values = (rng.random(n) < mean).astype(float) if kind == "binary" else values
    values = values if span is None else np.clip(values, *span)
    waived = Waived("simulated data") if placebo is None else placebo
    return Effect.from_values(values, kind=kind, denominators=below, range=span, placebo=waived, **which)


@pytest.mark.parametrize("which", KINDS)
def test_every_kind_of_effect_can_go_each_way(which):
    subject = effect(0.5, **which)
    for prediction, outcome in (
        (between(0.35, 0.65), SUPPORTED),
        (between(0.05, 0.3), REFUTED),
        (between(0.7, 0.95), REFUTED),
        (between(0.5, 0.65), INCONCLUSIVE),
    ):
        verdict = judge(subject, prediction)
        assert verdict.outcome is outcome
        assert verdict.lower < verdict.estimate < verdict.upper
    assert "lie between 0.35 and 0.65 by" in judge(subject, between(0.35, 0.65)).reason
    assert "misses the range from 0.7 to 0.95 by" in judge(subject, between(0.7, 0.95)).reason


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("truth", [0.3, 0.5])
def test_at_either_end_it_is_supported_as_rarely_as_alpha(which, truth):
    subjects = [effect(truth, n=120, seed=seed, **which) for seed in range(200)]
    verdicts = judge_family(subjects, [between(0.3, 0.5)] * 200, family_size=1, resamples=1000)
    # the upper end of the 99.9 % band about .05 at 200 repeats
    assert np.mean([v.outcome is SUPPORTED for v in verdicts]) <= 0.11
    assert np.mean([v.outcome is REFUTED for v in verdicts]) <= 0.11


def test_an_end_at_zero_is_no_direction():
    """The exact tests of a direction know zero alone, and would not see the other end."""
    rng = np.random.default_rng(0)
    arms = [Effect.from_values(rng.random(300) < share, kind="binary", iid=True) for share in (0.9, 0.2)]
    verdict = judge(arms[0] - arms[1], between(0, 0.3))
    assert (verdict.outcome, verdict.procedures) == (REFUTED, (BCA, STUDENT, BETTING))


def test_a_range_above_zero_needs_its_placebo_beaten_and_one_below_zero_too():
    high = np.random.default_rng(1).normal(0.5, 0.3, 300)
    for sign in (1, -1):
        prediction = between(0.35, 0.65) if sign > 0 else between(-0.65, -0.35)
        beaten, unbeaten = (effect(0.5, placebo=sign * placebo).measured for placebo in (0 * high, high))
        for numbers, outcome in ((beaten, SUPPORTED), (unbeaten, INCONCLUSIVE)):
            values = sign * np.array(numbers.values)
            subject = Effect.from_values(values, kind="continuous", iid=True, placebo=numbers.controls.placebo)
            assert judge(subject, prediction).outcome is outcome
    assert "no placebo" in judge(Effect.from_values(high, kind="continuous", iid=True), between(0.35, 0.65)).reason


def test_a_range_that_holds_zero_needs_something_to_be_seen():
    subject = effect(0.0)
    numbers = subject.measured
    assert judge(subject, between(-0.2, 0.1)).outcome is SUPPORTED
    object.__setattr__(numbers.controls, "positive", PositiveControl(0.0, 0.1, "everything"))
    assert judge(subject, between(-0.2, 0.1)).outcome is INVALID


# the pairs needed


def test_the_pairs_promised_for_a_proportion():
    for low, high, truth in ((0.3, 0.7, 0.5), (0.5, 0.9, 0.7), (0.05, 0.5, 0.2)):
        pilot = effect(truth, "binary", n=200)
        verdict = judge(pilot, between(low, high, expecting=truth))
        assert PUBLISHED not in verdict.needed
        needed = verdict.needed_n
        subjects = [effect(truth, "binary", n=needed, seed=seed) for seed in range(300)]
        found = [v.outcome is SUPPORTED for v in judge_family(subjects, [between(low, high)] * 300, family_size=1)]
        assert 0.74 <= np.mean(found) <= 0.97


def test_the_pairs_promised_for_a_mean_and_a_ratio():
    for kind in ("continuous", "ratio"):
        needed = judge(effect(0.5, kind), between(0.4, 0.6, expecting=0.5)).needed_n
        subjects = [effect(0.5, kind, n=needed, seed=seed) for seed in range(200)]
        verdicts = judge_family(subjects, [between(0.4, 0.6)] * 200, family_size=1, resamples=1000)
        assert 0.7 <= np.mean([v.outcome is SUPPORTED for v in verdicts]) <= 0.93
    # both ends count: the nearer one decides
    near, far = (judge(effect(0.5), between(0.4, high, expecting=0.5)).needed_n for high in (0.55, 0.9))
    assert near > far


def test_a_negative_effect_counts_its_placebo_as_a_positive_one_does():
    values = np.random.default_rng(0).normal(0.5, 0.3, 100)
    placebo = np.random.default_rng(1).normal(0.4, 0.3, 100)
    up = Effect.from_values(values, kind="continuous", iid=True, placebo=placebo)
    down = Effect.from_values(-values, kind="continuous", iid=True, placebo=-placebo)
    needed = judge(up, at_least(0.2, expecting=0.5)).needed_n
    assert needed is not None
    assert judge(down, at_most(-0.2, expecting=-0.5)).needed_n == needed


@pytest.mark.parametrize(
    ("prediction", "fewest"),
    [(at_least(0.94), 49), (at_most(0.06), 49), (between(0.3, 0.94), 3), (between(0.06, 0.5), 5), (at_least(0), 0)],
)
def test_the_fewest_units_of_a_proportion(prediction, fewest):
    assert fewest_units(prediction, 0.05) == fewest
