"""A family is judged together in little more than the time of one, and to the bit as if each were alone."""

import tracemalloc

import numpy as np
import pytest

from causaltest.asking.predictions import at_least, at_most, greater_than
from causaltest.effect import Effect, Waived
from causaltest.errors import JudgementError, RehearsalRead
from causaltest.judging import bca, family, paired
from causaltest.judging.judge import judge, judge_family
from causaltest.verdict import Outcome

WAIVED = Waived("simulated data")


def ratio(seed: int, n: int = 634, placebo=WAIVED) -> Effect:
    rng = np.random.default_rng(seed)
    below = rng.uniform(1, 3, n)
    values = below * rng.normal(0.5, 0.3, n)
    return Effect.from_values(values, kind="ratio", denominators=below, iid=True, placebo=placebo)


def continuous(seed: int, n: int = 634, placebo=WAIVED) -> Effect:
    values = np.random.default_rng(seed).normal(0.5, 0.3, n)
    return Effect.from_values(values, kind="continuous", iid=True, placebo=placebo)


def test_large_families_have_the_bits_of_one():
    effects = [continuous(i) if i % 3 else ratio(i, placebo=[0.1] * 634) for i in range(150)]
    together = judge_family(effects, [at_least(0.4)] * 150, family_size=3)
    for place in (0, 1, 77, 149):
        assert judge(effects[place], at_least(0.4), family_size=3) == together[place]


def test_every_claim_keeps_its_own_prediction_and_place():
    units, arms = [30, 634, 60, 634], np.random.default_rng(1).random((2, 100)) < [[0.8], [0.2]]
    first, second = (Effect.from_values(arm, kind="binary", clusters=np.arange(100) // 2) for arm in arms)
    effects = [*(continuous(i, n) for i, n in enumerate(units)), first - second, continuous(9, 60)]
    invalid = Effect.from_values([np.nan] * 60, kind="continuous", iid=True)
    effects.insert(2, invalid)
    predictions = [
        at_least(0.1),
        at_most(0.1),
        at_least(0.1),
        at_least(0.9),
        at_most(0.9),
        greater_than(0),
        at_least(0),
    ]
    verdicts = judge_family(effects, predictions, family_size=2)
    assert [v.prediction for v in verdicts] == [str(p) for p in predictions]
    assert [v.n for v in verdicts] == [30, 634, 60, 60, 634, 100, 60]
    assert verdicts[2].outcome is Outcome.INVALID
    assert [str(v.outcome)[0] for v in verdicts] == ["I", "R", "I", "R", "S", "S", "S"]


def test_a_family_is_as_large_as_it_is_unless_it_is_said():
    effects = [continuous(i, 60) for i in range(4)]
    assert {v.family_size for v in judge_family(effects, [at_least(0.1)] * 4)} == {4}
    assert {v.alpha for v in judge_family(effects, [at_least(0.1)] * 4, family_size=10)} == {0.005}
    assert judge_family([], []) == []


def test_resamples_are_drawn_once_for_effects_of_as_many_units(monkeypatch):
    drawn = []
    for room, name in ((bca, "bootstrap_rows"), (paired, "flip_rows")):
        original = getattr(room, name)

        def counting(units, *, resamples, seed, original=original, name=name):
            drawn.append((name, units))
            return original(units, resamples=resamples, seed=seed)

        monkeypatch.setattr(room, name, counting)
    effects = [continuous(i, n, placebo=[0.0] * n) for i, n in enumerate([60, 80, 60, 80, 60])]
    judge_family(effects, [at_least(0.1)] * 5, family_size=1)
    assert sorted(drawn) == sorted((name, n) for name in ("bootstrap_rows", "flip_rows") for n in (60, 80))


def test_a_large_family_is_judged_part_after_part(monkeypatch):
    effects, predictions = [continuous(i, 60) for i in range(7)], [at_least(0.4)] * 7
    whole = judge_family(effects, predictions)
    monkeypatch.setattr(family, "REPLICATES_AT_ONCE", 30_000)
    assert judge_family(effects, predictions) == whole


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(family, "REPLICATES_AT_ONCE", 2**18)
    effects = [continuous(i, 200) for i in range(200)]
    tracemalloc.start()
    judge_family(effects, [at_least(0.4)] * 200, family_size=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the replicates of all at once would be 16 MB, and the weights 16 MB
    assert peak < 22 * 2**20


def test_what_makes_no_sense_is_refused():
    with pytest.raises(JudgementError, match="1 effects and 2 predictions"):
        judge_family([continuous(0)], [at_least(0.1)] * 2)
    with pytest.raises(RehearsalRead):
        judge_family([continuous(0, 60), Effect(None, None)], [at_least(0.1)] * 2)
