"""Laws of the verdict, over any sample."""

import dataclasses

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from causaltest.asking.predictions import Prediction, at_least, between, unchanged
from causaltest.effect import Effect, Waived
from causaltest.judging.judge import judge, judge_family
from causaltest.verdict import Outcome, Verdict

LAW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def effects(draw):
    """Binary, bounded, unbounded and ratio effects; with and without clusters, spread and placebo."""
    n = draw(st.integers(2, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["binary", "continuous", "ratio"]))
    centre, spread = draw(st.sampled_from([0.0, 0.2, 0.5, 0.9])), draw(st.sampled_from([0.0, 0.05, 0.3]))
    values = np.clip(rng.normal(centre, spread, n), -1, 1)
    denominators = rng.uniform(0.2, 1.0, n) if kind == "ratio" else None
    if kind == "binary":
        values = (rng.random(n) < centre).astype(float)
    if kind == "ratio":
        values = values * denominators
    grouped = draw(st.booleans())
    placebo = draw(st.sampled_from(["none", "waived", "low", "high"]))
    return Effect.from_values(
        values,
        kind=kind,
        clusters=rng.integers(0, max(2, n // 2), n) if grouped else None,
        iid=not grouped,
        range=draw(st.sampled_from([None, (-1.0, 1.0), (-5.0, 5.0)])),
        denominators=denominators,
        pair_ids=[f"p{i}" for i in range(n)],
        placebo={"none": None, "waived": Waived("a law"), "low": [0.0] * n, "high": list(values)}[placebo],
    )


@st.composite
def predictions(draw):
    relation = draw(st.sampled_from(["at_least", "at_most", "greater_than", "negligible", "between"]))
    threshold = draw(st.sampled_from([0.05, 0.3, 0.6]))
    upper = threshold + draw(st.sampled_from([0.02, 0.2])) if relation == "between" else None
    return Prediction(relation, threshold, upper=upper)


@st.composite
def differences(draw):
    """Two effects on the same pairs: alike, moved a little, or far apart."""
    first = draw(effects())
    numbers = first.measured
    moved = np.random.default_rng(draw(st.integers(0, 99))).normal(
        draw(st.sampled_from([0.0, 0.2, -0.6])), 0.3, first.n
    )
    shift = moved * draw(st.sampled_from([0.0, 1.0])) * (numbers.denominators or np.ones(first.n))
    second = np.array(numbers.values) + shift
    if numbers.range is not None:
        second = np.clip(second, *numbers.range)
    if numbers.kind == "binary":
        second = np.round(np.clip(second, 0, 1))
    return dataclasses.replace(first, numbers=dataclasses.replace(numbers, values=tuple(second))) - first


def judged(effect: Effect, prediction: Prediction, **settings_) -> Verdict:
    return judge(effect, prediction, minimum_units=0, **settings_)


def shuffled(effect: Effect, seed: int) -> Effect:
    numbers = effect.measured
    order = np.random.default_rng(seed).permutation(len(numbers.values))

    def moved(column):
        return None if column is None else [column[i] for i in order]

    placebo = numbers.controls.placebo
    return Effect.from_values(
        moved(numbers.values),
        kind=numbers.kind,
        clusters=moved(numbers.clusters),
        iid=numbers.clusters is None,
        range=numbers.range,
        denominators=moved(numbers.denominators),
        pair_ids=moved(numbers.pair_ids),
        placebo=moved(placebo) if isinstance(placebo, tuple) else placebo,
    )


@LAW
@given(effects(), predictions(), st.integers(0, 9))
def test_the_order_of_the_pairs_decides_nothing(effect, prediction, seed):
    assert judge(effect, prediction) == judge(shuffled(effect, seed), prediction)


@LAW
@given(effects(), predictions(), st.integers(1, 10))
def test_the_interval_never_contradicts_the_outcome(effect, prediction, family_size):
    verdict = judged(effect, prediction, family_size=family_size)
    never_contradicts(verdict, prediction)


@LAW
@given(differences(), st.sampled_from([unchanged(margin=0.05), unchanged(margin=0.3), at_least(0), between(-0.2, 0.2)]))
def test_the_interval_of_a_difference_never_contradicts_the_outcome(difference, prediction):
    verdict = judged(difference, prediction)
    never_contradicts(verdict, prediction)
    words = {Outcome.SUPPORTED: "HOLDS", Outcome.REFUTED: "REGRESSED"}
    if prediction.relation == "unchanged" and verdict.outcome in words:
        assert verdict.reason.startswith(words[verdict.outcome])
        assert ("IMPROVED" in verdict.reason) == (verdict.lower > prediction.threshold)


def never_contradicts(verdict, prediction):
    threshold = prediction.threshold
    if prediction.relation == "negligible":
        inside = -threshold <= verdict.lower and verdict.upper <= threshold
        outside = verdict.lower > threshold or verdict.upper < -threshold
    elif prediction.relation == "between":
        inside = threshold <= verdict.lower and verdict.upper <= prediction.upper
        outside = verdict.lower > prediction.upper or verdict.upper < threshold
    elif prediction.relation == "unchanged":
        inside, outside = verdict.lower >= -threshold, verdict.upper < -threshold
    elif prediction.relation == "at_most":
        inside, outside = verdict.upper <= threshold, verdict.lower > threshold
    else:
        inside, outside = verdict.lower >= threshold, verdict.upper < threshold
    if verdict.outcome is Outcome.SUPPORTED:
        assert inside
        assert verdict.p_value <= verdict.alpha
    if verdict.outcome is Outcome.REFUTED:
        assert outside
    if verdict.outcome is Outcome.INCONCLUSIVE:
        assert not outside
        # inside and undecided only where the placebo is the obstacle
        assert not inside or "placebo" in verdict.reason or verdict.p_value > verdict.alpha
    assert verdict.lower <= verdict.upper
    assert 0 < verdict.p_value <= verdict.p_adjusted <= 1


@LAW
@given(effects(), predictions(), st.integers(1, 9), st.integers(1, 9))
def test_a_larger_family_supports_nothing_new(effect, prediction, family_size, more):
    assume(family_size + more <= 10)
    small = judged(effect, prediction, family_size=family_size)
    large = judged(effect, prediction, family_size=family_size + more)
    if large.outcome is Outcome.SUPPORTED:
        assert small.outcome is Outcome.SUPPORTED
    if large.outcome is Outcome.REFUTED:
        assert small.outcome is Outcome.REFUTED


@LAW
@given(effects(), st.sampled_from([0.05, 0.3, 0.6]), st.floats(0.01, 0.4))
def test_a_harder_threshold_supports_nothing_new(effect, threshold, more):
    hard = judged(effect, Prediction("at_least", threshold + more))
    if hard.outcome is Outcome.SUPPORTED:
        assert judged(effect, Prediction("at_least", threshold)).outcome is Outcome.SUPPORTED


@LAW
@given(effects(), predictions())
def test_needed_pairs_are_whole_and_positive(effect, prediction):
    verdict = judge(effect, prediction)
    assert all(pairs is None or (isinstance(pairs, int) and pairs >= 1) for pairs in verdict.needed.values())


@settings(LAW, max_examples=30)
@given(st.lists(st.tuples(effects(), predictions()), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 3))
def test_a_verdict_does_not_depend_on_its_company(claims, family_size, seed):
    together = judge_family(*map(list, zip(*claims, strict=True)), family_size=family_size, seed=seed)
    alone = [judge(effect, prediction, family_size=family_size, seed=seed) for effect, prediction in claims]
    # by repr, where NaN equals NaN and a float has all its digits
    assert [repr(verdict) for verdict in together] == [repr(verdict) for verdict in alone]
