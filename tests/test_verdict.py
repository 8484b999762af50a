"""Verdicts: two of the four outcomes have a truth value."""

from __future__ import annotations

import pytest

from causaltest.errors import NoTruthValue
from causaltest.verdict import Outcome, Verdict


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(
        outcome=outcome,
        reason="Observed 5 of 9.",
        estimate=5 / 9,
        lower=0.19,
        upper=0.88,
        alpha=0.05,
        n=9,
        units=9,
        p_value=0.5,
        p_adjusted=0.5,
        family_size=1,
        needed_n=55,
        prediction=">= 0.5",
        procedures=("exact binomial",),
    )


def test_supported_is_true_and_refuted_is_false() -> None:
    assert bool(verdict(Outcome.SUPPORTED)) is True
    assert bool(verdict(Outcome.REFUTED)) is False


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.INVALID])
def test_an_undecided_verdict_fails_both_assert_and_assert_not(outcome: Outcome) -> None:
    undecided = verdict(outcome)
    message = rf"{outcome.value}: Observed 5 of 9\. .*`assert` and `assert not` both fail. Read verdict.outcome instead"
    with pytest.raises(NoTruthValue, match=message):
        assert undecided
    with pytest.raises(NoTruthValue, match=message):
        assert not undecided


def test_an_outcome_is_its_own_word() -> None:
    assert [str(o) for o in Outcome] == ["SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID"]
    assert Outcome.SUPPORTED == "SUPPORTED"


def test_a_verdict_is_printed_with_its_reason_and_notes():
    from causaltest import Effect, Waived, at_least, judge

    effect = Effect.from_values([1] * 40, kind="binary", iid=True, placebo=Waived("a test"))
    text = str(judge(effect, at_least(0.5)))
    assert text.startswith("SUPPORTED (>= 0.5): Observed 40 of 40")
    assert "note: placebo waived: a test" in text
