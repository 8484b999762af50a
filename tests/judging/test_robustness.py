"""Variants judged as one claim: the rule, its error rates, and bounds that cannot contradict it."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.predictions import at_least, negligible
from causaltest.effect import Effect, Waived
from causaltest.judging.judge import judge
from causaltest.judging.robustness import Share, Together, judge_together, judge_variant
from causaltest.verdict import Outcome, Verdict

WAIVED = Waived("simulated data")


def of(outcome: str, p: float, *, estimate: float = 0.5, lower: float = 0.4, upper: float = 0.6) -> Verdict:
    return Verdict(
        Outcome(outcome), f"It is {outcome}.", estimate, lower, upper, 0.05, 60, 60, p, p, 1, None, ">= 0.5", ()
    )


def together(outcomes: str, needed: int, **more: int) -> Together:
    """Outcomes by their first letters; V is INVALID."""
    words = {"S": ("SUPPORTED", 0.001), "R": ("REFUTED", 0.99), "I": ("INCONCLUSIVE", 0.3), "V": ("INVALID", 1.0)}
    verdicts = [of(*words[letter]) for letter in outcomes]
    names = [f"n={i}" for i in range(len(outcomes))]
    return judge_together(names, verdicts, Share(needed, len(outcomes)), alpha=0.05, **more)


@pytest.mark.parametrize(
    ("outcomes", "needed", "whole"),
    [
        ("SSSS", 4, "SUPPORTED"),
        ("SSSI", 4, "INCONCLUSIVE"),
        ("SSSI", 3, "SUPPORTED"),
        ("SSSR", 4, "REFUTED"),
        ("SSSR", 3, "SUPPORTED"),
        ("SSIR", 3, "INCONCLUSIVE"),
        ("SSRR", 3, "REFUTED"),
        ("SSSV", 4, "INVALID"),
        ("SSSV", 3, "SUPPORTED"),
        ("SSVR", 3, "INVALID"),
        ("SIVR", 2, "INCONCLUSIVE"),
        ("SVRR", 3, "REFUTED"),
        ("VVVV", 1, "INVALID"),
    ],
)
def test_the_rule(outcomes: str, needed: int, whole: str) -> None:
    assert together(outcomes, needed).verdict.outcome == whole


def by_counting(outcomes: str, needed: int) -> str:
    """The rule as it is told: how many are left when the refuted, and then the invalid, are taken away."""
    left = len(outcomes) - outcomes.count("R")
    if outcomes.count("S") >= needed:
        return "SUPPORTED"
    if left < needed:
        return "REFUTED"
    return "INVALID" if left - outcomes.count("V") < needed else "INCONCLUSIVE"


@given(st.text("SRIV", min_size=1, max_size=8), st.data())
def test_the_variant_that_decides_gives_the_verdict_that_counting_gives(outcomes: str, data: st.DataObject) -> None:
    needed = data.draw(st.integers(1, len(outcomes)))
    whole = together(outcomes, needed)
    assert whole.verdict.outcome == by_counting(outcomes, needed)
    assert outcomes[whole.deciding] == {"INVALID": "V"}.get(str(whole.verdict.outcome), str(whole.verdict.outcome)[0])


def test_p_is_the_one_in_the_place_that_is_needed_times_what_the_share_costs() -> None:
    verdicts = [of("SUPPORTED", p) for p in (0.004, 0.001, 0.002, 0.003)]
    names = ["a=1", "a=2", "a=3", "a=4"]
    p = {
        needed: judge_together(names, verdicts, Share(needed, 4), alpha=0.05, family_size=3).verdict
        for needed in (1, 2, 3, 4)
    }
    assert [round(v.p_value, 9) for v in p.values()] == [0.004, 0.006, 0.006, 0.004]
    assert p[3].p_adjusted == pytest.approx(0.018)
    assert together("SSV", 3).verdict.p_value == 1.0


def test_the_reason_counts_and_names_those_that_do_not_hold() -> None:
    reason = together("SISR", 4).verdict.reason
    assert reason.startswith("SUPPORTED in 2 of 4 variants: n=1 is INCONCLUSIVE; n=3 is REFUTED. The median estimate")
    assert reason.endswith("The one that decides, n=3: It is REFUTED.")
    assert "SUPPORTED in 3 of 4 variants (2 are asked for)" in together("SSSI", 2).verdict.reason
    assert "n=5 is REFUTED; 2 more are not SUPPORTED." in together("SRRRRRRR", 8).verdict.reason


def test_models_are_called_models() -> None:
    verdicts = [of("SUPPORTED", 0.01), of("REFUTED", 0.9)]
    whole = judge_together(["model=a/b", "model=c/d"], verdicts, Share(2, 2), alpha=0.05)
    assert whole.verdict.reason.startswith("Confirmed in 1 of 2 models: model=c/d is REFUTED.")


@functools.cache
def variant(successes: int, n: int, needed: int, count: int, threshold: float = 0.5) -> Verdict:
    effect = Effect.from_values([1] * successes + [0] * (n - successes), kind="binary", iid=True, placebo=WAIVED)
    return judge_variant(effect, at_least(threshold), Share(needed, count))


def test_all_are_supported_at_the_full_alpha_and_one_is_refuted_at_a_part_of_it() -> None:
    # By the exact test of .5: 36 of 60 has p = .077, 38 of 60 p = .026, 22 of 60 the same below.
    assert variant(38, 60, 4, 4).outcome == "SUPPORTED"
    assert variant(38, 60, 4, 4).alpha == 0.05
    assert judge_of(22).outcome == "REFUTED"
    assert variant(22, 60, 4, 4).outcome == "INCONCLUSIVE", "one of four is refuted at .05/4"
    assert variant(22, 60, 4, 4).alpha == 0.05 / 4
    assert variant(18, 60, 4, 4).outcome == "REFUTED"


def judge_of(successes: int) -> Verdict:
    effect = Effect.from_values([1] * successes + [0] * (60 - successes), kind="binary", iid=True, placebo=WAIVED)
    return judge(effect, at_least(0.5))


def test_one_of_many_is_supported_at_a_part_of_alpha_and_refuted_at_all_of_it() -> None:
    assert variant(38, 60, 1, 4).outcome == "INCONCLUSIVE"
    assert variant(42, 60, 1, 4).outcome == "SUPPORTED"
    assert variant(22, 60, 1, 4).outcome == "REFUTED"


REPEATS = 1500


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize(("needed", "count"), [(1, 4), (3, 4), (4, 4)])
def test_the_claim_as_a_whole_keeps_alpha_in_both_directions(needed: int, count: int, rho: float) -> None:
    """Variants at the border share pairs: what decides one also decides the next, as far as rho says."""
    n, draw = 60, np.random.default_rng(7)

    def outcomes(effects: list[float]) -> list[Outcome]:
        shared = draw.random((REPEATS, 1, n)) < rho
        common, own = draw.random((REPEATS, 1, n)), draw.random((REPEATS, count, n))
        hits = (np.where(shared, common, own) < np.array(effects)[:, None]).sum(axis=2)
        share, names = Share(needed, count), [f"v={i}" for i in range(count)]
        return [
            judge_together(names, [variant(int(h), n, needed, count) for h in row], share, alpha=0.05).verdict.outcome
            for row in hits
        ]

    # The hardest cases: as many as are one too few, or just enough, hold for certain; the others are at the border.
    false = outcomes([1.0] * (needed - 1) + [0.5] * (count - needed + 1))
    assert sum(o is Outcome.SUPPORTED for o in false) / REPEATS < 0.0686
    true = outcomes([0.5] * needed + [0.0] * (count - needed))
    assert sum(o is Outcome.REFUTED for o in true) / REPEATS < 0.0686


def test_without_the_share_of_alpha_the_error_would_show() -> None:
    """The negative control of the simulation: any of four at the full alpha is four chances."""
    draw = np.random.default_rng(7)
    hits = draw.binomial(60, 0.5, size=(REPEATS, 4))
    supported = [any(judge_cached(int(h)).outcome is Outcome.SUPPORTED for h in row) for row in hits]
    refuted = [any(judge_cached(int(h)).outcome is Outcome.REFUTED for h in row) for row in hits]
    assert np.mean(supported) > 0.08
    assert np.mean(refuted) > 0.08


@functools.cache
def judge_cached(successes: int) -> Verdict:
    return judge_of(successes)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.sampled_from([at_least(0.5), negligible(within=0.4)]),
    st.data(),
)
def test_bounds_never_contradict_the_verdict(hits: list[int], prediction: object, data: st.DataObject) -> None:
    share = Share(data.draw(st.integers(1, len(hits))), len(hits))
    verdicts = []
    for h in hits:
        effect = Effect.from_values([1] * h + [0] * (60 - h), kind="binary", iid=True, placebo=WAIVED)
        verdicts.append(judge_variant(effect, prediction, share))  # type: ignore[arg-type]
    whole = judge_together([f"v={i}" for i in range(len(hits))], verdicts, share, alpha=0.05).verdict
    assert whole.lower <= whole.estimate <= whole.upper
    low, high = (0.5, math.inf) if prediction == at_least(0.5) else (-0.4, 0.4)
    if whole.outcome is Outcome.SUPPORTED:
        assert low <= whole.lower and whole.upper <= high
        assert whole.p_value <= 0.05
    if whole.outcome is Outcome.REFUTED:
        assert whole.upper < low or whole.lower > high


def test_a_variant_that_needs_more_pairs_than_can_be_said_leaves_the_number_open() -> None:
    verdicts = [of("SUPPORTED", 0.01), of("INCONCLUSIVE", 0.2)]
    whole = judge_together(["a=1", "a=2"], verdicts, Share(2, 2), alpha=0.05)
    assert whole.verdict.needed_n is None


def test_one_that_is_left_over_is_no_plural() -> None:
    assert "1 more is not SUPPORTED." in together("SSRRRRRR", 8).verdict.reason
