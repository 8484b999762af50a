"""INVALID: numbers that cannot speak about the claim, each with a sentence that says why."""

import dataclasses

import numpy as np
import pytest

from causaltest.asking.predictions import at_least, at_most, negligible
from causaltest.effect import Controls, Effect, Exclusion, FullComponent, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.judging.judge import judge
from causaltest.verdict import Outcome

RNG = np.random.default_rng(0)
VALUES = tuple(RNG.uniform(0.4, 0.6, 60))


def effect(values=VALUES, *, controls=None, **numbers) -> Effect:
    controls = Controls(
        **{"self_patch": SelfPatch(0.0, 1e-6), "placebo": Waived("tested elsewhere"), **(controls or {})}
    )
    return Effect(
        None,
        Numbers(
            values=tuple(values),
            pair_ids=tuple(f"p{i}" for i in range(len(values))),
            clusters=None,
            controls=controls,
            pairs_total=len(values),
            **{"kind": "continuous", **numbers},
        ),
    )


def said_invalid(effect_, prediction, words):
    verdict = judge(effect_, prediction)
    assert verdict.outcome is Outcome.INVALID
    assert words in verdict.reason
    assert verdict.procedures == ()
    assert verdict.p_value == verdict.p_adjusted == 1.0
    assert (verdict.lower, verdict.upper) == (-np.inf, np.inf)


def test_the_sample_itself_is_fine():
    assert judge(effect(), at_least(0.3)).outcome is Outcome.SUPPORTED


def test_a_self_patch_that_moved():
    said_invalid(
        effect(controls={"self_patch": SelfPatch(0.1, 1e-6)}), at_least(0.3), "its own value moved a score by 0.1"
    )


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite(odd):
    said_invalid(effect((*VALUES[:-1], odd)), at_least(0.3), "The value of 'p59'")
    said_invalid(effect(controls={"placebo": (odd,) * 60}), at_least(0.3), "60 of 60 pairs are not finite")
    said_invalid(effect(kind="ratio", denominators=(odd,) + (1.0,) * 59), at_least(0.3), "The denominator of 'p0'")


def test_nothing_eligible():
    nothing = effect(())
    numbers = dataclasses.replace(
        nothing.measured, pairs_total=2, excluded=(Exclusion("a", "clean wrong"), Exclusion("b", "clean wrong"))
    )
    said_invalid(Effect(None, numbers), at_least(0.3), "None of 2 pairs counts (2: clean wrong)")


def test_values_outside_their_range():
    said_invalid(effect(range=(0.0, 0.5)), at_least(0.3), "outside the declared range [0, 0.5]")


def test_a_failed_positive_control_invalidates_nulls_and_refutations():
    controls = {"positive": PositiveControl(0.1, 0.5, "patching every position")}
    said_invalid(effect(controls=controls), negligible(within=0.9), "patching every position gave 0.1")
    said_invalid(effect(controls=controls), at_most(0.9), "The positive control failed")
    assert judge(effect(controls=controls), at_least(0.3)).outcome is Outcome.SUPPORTED
    said_invalid(effect((0.0,) * 60, kind="binary", controls=controls), at_least(0.3), "The positive control failed")


def test_distance_zero_proves_nothing():
    zeros = (0.0,) * 60
    controls = {"positive": PositiveControl(1.0, 0.5, "patching every position")}
    still = effect(zeros, kind="binary", controls={**controls, "distance": zeros})
    said_invalid(still, negligible(within=0.1), "In 60 of 60 pairs")
    one = effect(zeros, kind="binary", controls={**controls, "distance": (*(3.0,) * 59, 0.0)})
    said_invalid(one, negligible(within=0.1), "In 1 of 60 pairs")
    moved = effect(zeros, kind="binary", controls={**controls, "distance": (3.0,) * 60})
    assert judge(moved, negligible(within=0.1)).outcome is Outcome.SUPPORTED
    assert judge(still, at_least(0.3)).outcome is Outcome.REFUTED


def test_denominators_not_clearly_above_zero():
    below = tuple(np.random.default_rng(1).normal(0, 1, 60))
    said_invalid(effect(kind="ratio", denominators=below), at_least(0.3), "not clearly above zero")
    negative = tuple(-d for d in RNG.uniform(2, 5, 60))
    said_invalid(effect(kind="ratio", denominators=negative), at_least(0.3), "not clearly above zero")
    assert judge(effect(kind="ratio", denominators=(1.0,) * 60), at_least(0.3)).outcome is Outcome.SUPPORTED


def test_controls_that_were_not_measured_are_noted():
    verdict = judge(effect(controls={"self_patch": None}), at_least(0.3))
    assert "self-patch not measured" in verdict.notes
    assert "placebo waived: tested elsewhere" in verdict.notes
    assert "positive control not measured" in judge(effect(), negligible(within=0.9)).notes


def test_a_part_that_does_more_than_its_whole_is_noted_and_decides_nothing():
    more = judge(effect(controls={"full": FullComponent(0.1, 0.5, "resid_post")}), at_least(0.3))
    assert more.outcome is Outcome.SUPPORTED
    (note,) = [note for note in more.notes if "whole component" in note]
    assert note.startswith("the patched part does more (0.5) than the whole component (0.1)") and "dormant" in note
    turned = judge(effect(controls={"full": FullComponent(-0.1, -0.5, "resid_post")}), at_least(0.3))
    assert any("dormant" in note for note in turned.notes)


@pytest.mark.parametrize("full", [None, FullComponent(0.9, 0.5, "s"), FullComponent(0.5, 0.5001, "s")])
def test_a_part_that_does_no_more_than_its_whole_is_not_noted(full):
    assert not any("dormant" in note for note in judge(effect(controls={"full": full}), at_least(0.3)).notes)


def test_rounding_is_allowed_for_in_the_units_of_the_estimate():
    full = {"full": FullComponent(0.5, 0.52, "s")}
    notes = judge(effect(controls=full, rounding=0.03), at_least(0.3)).notes
    assert not any("dormant" in note for note in notes)
    ratio = {"kind": "ratio", "denominators": (0.1,) * 60, "rounding": 0.003}
    assert not any("dormant" in note for note in judge(effect(controls=full, **ratio), at_least(0.3)).notes)
    ratio["denominators"] = (10.0,) * 60
    assert any("dormant" in note for note in judge(effect(controls=full, **ratio), at_least(0.03)).notes)
