"""Effects: the door for numbers measured elsewhere, differences, and what has no truth value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.effect import (
    Controls,
    Difference,
    Effect,
    FullComponent,
    Numbers,
    PositiveControl,
    SelfPatch,
    Waived,
    worse_positive,
    worse_self_patch,
)
from causaltest.errors import ClaimError, JudgementError, RehearsalRead
from causaltest.verdict import Outcome

REHEARSED = Effect(None, None)


def given_values(values: Any = (1, 0, 1), kind: Any = "binary", **more: Any) -> Effect:
    if "clusters" not in more:
        more.setdefault("iid", True)
    return Effect.from_values(values, kind=kind, **more)


def measured(values: tuple[float, ...], **more: Any) -> Effect:
    ids = more.pop("pair_ids", tuple(f"p{i}" for i in range(len(values))))
    return Effect(None, Numbers(values, ids, None, "continuous", **more))


# values measured elsewhere


def test_values_from_elsewhere_become_floats_with_a_name_per_pair() -> None:
    effect = given_values([True, False, 1], clusters=[7, 7, "x"], placebo=[0, 1, 0], provenance={"tool": "nnsight"})
    numbers = effect.measured
    assert numbers.values == (1.0, 0.0, 1.0)
    assert all(type(v) is float for v in (*numbers.values, *numbers.controls.placebo))  # type: ignore[misc]
    assert numbers.pair_ids == ("pair 0", "pair 1", "pair 2")
    assert numbers.clusters == ("7", "7", "x")
    assert numbers.controls.placebo == (0.0, 1.0, 0.0)
    assert (numbers.pairs_total, effect.n) == (3, 3)
    assert numbers.provenance == {"tool": "nnsight"}


def test_controls_that_only_a_lab_can_run_are_waived_for_values_from_elsewhere() -> None:
    controls = given_values().measured.controls
    assert controls.self_patch == controls.positive == Waived("measured outside causaltest")
    assert controls.placebo is None, "not measured, which is not waived"
    assert given_values(placebo=Waived("no time")).measured.controls.placebo == Waived("no time")


def test_what_was_seen_elsewhere_is_kept_for_the_report() -> None:
    effect = given_values(
        excluded={"a": "clean run wrong", "b": "same answers"}, distance=[1, 2, 3], self_patch=SelfPatch(0.5, 0.1)
    )
    numbers = effect.measured
    assert (numbers.pairs_total, effect.n) == (5, 3)
    assert [(e.pair_id, e.reason) for e in numbers.excluded] == [("a", "clean run wrong"), ("b", "same answers")]
    assert numbers.controls.distance == (1.0, 2.0, 3.0)
    assert numbers.controls.self_patch == SelfPatch(0.5, 0.1), "and it makes the effect INVALID, as one of the lab's"
    assert given_values(distance=7).measured.controls.distance == (7.0,) * 3
    assert given_values(pairs_total=45).measured.pairs_total == 45


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"pairs_total": 2}, "pairs_total=2, and 3 pairs have values and 0 are excluded"),
        ({"pairs_total": 9, "excluded": {"a": "wrong"}}, "pairs_total=9, and 3 pairs have values and 1 are excluded"),
        ({"excluded": {"pair 1": "wrong"}}, "'pair 1' has a value and is excluded"),
        ({"distance": -1.0}, "distance=-1.0: how far a patch moves a vector is 0 or more"),
        ({"distance": [1, math.nan, 1]}, "distance=nan"),
        ({"distance": [1, 2]}, "distance has 2 entries, and there are 3 values"),
    ],
)
def test_what_was_seen_elsewhere_must_add_up(more: dict[str, Any], told: str) -> None:
    with pytest.raises(JudgementError, match=told):
        given_values(**more)


@pytest.mark.parametrize("column", ["clusters", "placebo", "denominators", "pair_ids"])
@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_column_of_another_length_is_named(column: str, count: int) -> None:
    more = {column: ["1"] * count}
    with pytest.raises(JudgementError, match=rf"{column} has {count} entries, and there are 3 values: one per pair"):
        given_values(**more)


@pytest.mark.parametrize("said", [{}, {"clusters": ["a", "b", "c"], "iid": True}])
def test_either_clusters_or_independence_is_said_and_not_both(said: dict[str, Any]) -> None:
    with pytest.raises(JudgementError, match=r"either clusters=\[\.\.\.\].*or iid=True.*exactly one of them"):
        Effect.from_values([1, 0, 1], kind="binary", **said)


@pytest.mark.parametrize(("values", "odd"), [([1, 0.5, 0], "0.5"), ([2, 0, 1], "2.0"), ([math.nan, -1, 1], "-1.0")])
def test_a_binary_value_that_is_neither_0_nor_1_is_named(values: list[float], odd: str) -> None:
    with pytest.raises(JudgementError, match=rf'kind="binary" takes 0 or 1 per pair, and got {odd}; use kind='):
        given_values(values)


@pytest.mark.parametrize("kind", ["proportion", "Binary", None])
def test_a_kind_that_is_not_known_is_refused(kind: Any) -> None:
    with pytest.raises(JudgementError, match=r'kind=.* is not known; it is "binary", "continuous" or "ratio"'):
        given_values(kind=kind)


@pytest.mark.parametrize(("kind", "below"), [("ratio", None), ("continuous", [1, 1, 1]), ("binary", [1, 1, 1])])
def test_a_ratio_and_its_denominators_go_together(kind: str, below: list[float] | None) -> None:
    with pytest.raises(JudgementError, match=r'denominators=\[\.\.\.\] and kind="ratio" go together'):
        given_values(kind=kind, denominators=below)


def test_a_value_outside_the_declared_range_is_named() -> None:
    with pytest.raises(JudgementError, match=r"value 1\.5 lies outside range=\(-1, 1\); clip it or widen the range"):
        given_values([0.2, 1.5, -0.3], "continuous", range=(-1, 1))
    assert given_values([1, -1, 0], "continuous", range=(-1, 1)).measured.range == (-1, 1)


def test_a_value_that_is_not_finite_is_left_for_the_judge_to_name() -> None:
    assert math.isnan(given_values([1, math.nan, 0]).measured.values[1])
    assert (given_values([1, math.nan, 0], placebo=[0, 0, 0]) > 0.3).outcome is Outcome.INVALID


@pytest.mark.parametrize("why", ["", "  "])
def test_a_control_is_not_waived_without_a_reason(why: str) -> None:
    with pytest.raises(JudgementError, match='Waived needs a reason, for instance Waived\\("simulated data"\\)'):
        Waived(why)


# estimates


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_the_estimate_is_the_mean_whatever_the_order(values: list[float]) -> None:
    effect = given_values(values, "continuous")
    assert effect.estimate == given_values(values[::-1], "continuous").estimate
    assert min(values) - 1e-9 <= effect.estimate <= max(values) + 1e-9
    assert effect.estimate == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_the_estimate_of_a_ratio_is_the_ratio_of_the_sums() -> None:
    assert given_values([1, 2, 0], "ratio", denominators=[2, 3, 1]).estimate == 0.5


def test_there_is_no_estimate_without_pairs_or_over_nothing() -> None:
    assert math.isnan(given_values([], "binary").estimate)
    assert math.isnan(given_values([1, 1], "ratio", denominators=[1, -1]).estimate)


# neutrality


def test_an_effect_is_neutral_when_no_pair_moved_beyond_the_rounding() -> None:
    rounding = Controls(self_patch=SelfPatch(moved=0.0, tolerance=1e-3))
    assert measured((0.0, 0.0)).is_neutral
    assert not measured((0.0, 1e-9)).is_neutral
    assert measured((0.0, 1e-4), controls=rounding).is_neutral
    assert not measured((0.0, -1e-2), controls=rounding).is_neutral


def test_neutrality_is_read_off_the_runs_where_they_are_known() -> None:
    runs = {"patched": (1.0, 2.0), "baseline": (1.0, 2.0)}
    assert measured((1.0, 1.0), references=runs).is_neutral, "both give the clean answer already"
    assert not measured((0.0, 0.0), references={**runs, "patched": (1.0, 2.5)}).is_neutral


# differences

CONTINUOUS = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from("abc")), min_size=1, max_size=12)


@given(CONTINUOUS, st.randoms(use_true_random=False))
def test_a_difference_is_antisymmetric_and_paired_by_id(rows: list[tuple[float, float, str]], rng: Any) -> None:
    ids = [f"p{i}" for i in range(len(rows))]
    order = rng.sample(range(len(rows)), len(rows))

    def arm(column: int, rows_at: Any) -> Effect:
        return Effect.from_values(
            [rows[i][column] for i in rows_at],
            kind="continuous",
            clusters=[rows[i][2] for i in rows_at],
            pair_ids=[ids[i] for i in rows_at],
            range=(-1, 1),
        )

    late, early = arm(0, range(len(rows))), arm(1, order)
    forth, back = (late - early).measured, (early - late).measured
    assert dict(zip(forth.pair_ids, forth.values, strict=True)) == {
        i: late - early for i, (late, early, _) in zip(ids, rows, strict=True)
    }
    assert {i: -v for i, v in zip(back.pair_ids, back.values, strict=True)} == dict(
        zip(forth.pair_ids, forth.values, strict=True)
    )
    assert dict(zip(back.pair_ids, back.clusters or (), strict=True)) == dict(
        zip(forth.pair_ids, forth.clusters or (), strict=True)
    )
    assert forth.range == back.range == (-2, 2)
    assert (late - early).estimate == -(early - late).estimate
    assert (late - late).is_neutral


def test_a_difference_keeps_both_arms_and_waives_the_controls_that_the_other_arm_stands_for() -> None:
    difference = (given_values([1, 0, 1]) - given_values([0, 0, 1], placebo=[0, 0, 1])).measured
    assert difference.references == {"first": (1, 0, 1), "second": (0, 0, 1)}
    assert (difference.kind, difference.range) == ("continuous", (-1, 1))
    assert difference.controls.placebo == Waived("the control of a difference is its other arm")


def test_a_difference_keeps_what_both_arms_controlled() -> None:
    late, early = (
        Effect(
            None,
            dataclasses.replace(
                given_values([1, 0, 1], placebo=placebo).measured,
                controls=Controls(SelfPatch(0, 0), placebo, PositiveControl(estimate, 0.5, "all"), distance),
            ),
        )
        for placebo, estimate, distance in (
            ((0.5, 0.0, 1.0), 1.0, (2.0, 0.0, 1.0)),
            ((0.25, 0.0, 0.0), 0.1, (1.0, 3.0, 0.0)),
        )
    )
    controls = (late - early).measured.controls
    assert controls.placebo == (0.25, 0.0, 1.0)
    assert controls.positive == PositiveControl(0.1, 0.5, "all")
    assert controls.distance == (1.0, 0.0, 0.0)


def test_a_difference_has_a_range_only_where_both_arms_have_one() -> None:
    one, other = given_values([1], "continuous", range=(-1, 3)), given_values([2], "continuous", range=(0, 2))
    assert (one - other).measured.range == (-3, 3)
    assert (other - one).measured.range == (-3, 3)
    assert (one - given_values([2], "continuous")).measured.range is None


def test_ratios_are_subtracted_over_the_same_denominators() -> None:
    def ratio(*below: float) -> Effect:
        return given_values([1, 2], "ratio", denominators=below)

    difference = given_values([2, 2], "ratio", denominators=[2, 6]) - ratio(2, 6)
    assert (difference.measured.kind, difference.estimate) == ("ratio", 1 / 8)
    with pytest.raises(JudgementError, match="ratios have different denominators: use the same metric and pairs"):
        ratio(2, 6) - ratio(2, 5)


def test_effects_on_other_pairs_are_not_subtracted_and_the_pairs_are_named() -> None:
    one, other = given_values([1, 0, 1], pair_ids="abc"), given_values([1, 0, 1], pair_ids="bcd")
    with pytest.raises(JudgementError, match=r"not about the same pairs: 2 are in one only \(a, d\)\. Measure both"):
        one - other


def test_effects_of_other_kinds_are_not_subtracted() -> None:
    with pytest.raises(JudgementError, match="A binary effect and a continuous effect cannot be subtracted"):
        given_values([1, 0]) - given_values([1, 0], "continuous")


@pytest.mark.parametrize("said", [{"iid": True}, {"clusters": ["a", "b", "b"]}])
def test_effects_that_disagree_on_their_clusters_are_not_subtracted(said: dict[str, Any]) -> None:
    one, other = given_values(clusters=["a", "a", "b"]), given_values(**said)
    for first, second in ((one, other), (other, one)):
        with pytest.raises(JudgementError, match="disagree on which pairs belong together: give both the same"):
            first - second


@pytest.mark.parametrize("other", [0.3, None, "late"])
def test_only_effects_are_subtracted_from_effects(other: Any) -> None:
    with pytest.raises(TypeError):
        given_values() - other


def test_a_difference_carries_the_self_patch_that_moved_more() -> None:
    quiet, loud = SelfPatch(0.0, 0.0), SelfPatch(2.0, 0.5)
    assert worse_self_patch(quiet, loud) == worse_self_patch(loud, quiet) == loud
    odd, dead = SelfPatch(math.nan, 1.0), PositiveControl(math.nan, 0.5, "x")
    assert worse_self_patch(odd, quiet) is worse_self_patch(quiet, odd) is odd, "no number is not neutral"
    fine = PositiveControl(0.9, 0.5, "x")
    assert worse_positive(dead, fine) is worse_positive(fine, dead) is dead
    assert worse_self_patch(None, quiet) == worse_self_patch(Waived("x"), quiet) == quiet
    assert worse_self_patch(SelfPatch(1.0, 1.0), SelfPatch(0.5, 0.0)) == SelfPatch(0.5, 0.0), "beyond its tolerance"
    difference = measured((1.0,), controls=Controls(quiet)) - measured((1.0,), controls=Controls(loud))
    assert difference.measured.controls.self_patch == loud


def test_the_question_of_a_difference_names_both_arms() -> None:
    question = (given_values() - given_values()).question
    assert question == Difference(None, None)
    assert (question.summary, question.site) == ("values  minus  values", "values - values")
    assert question.canonical() == {"difference": [None, None]}


def test_a_difference_with_a_rehearsed_arm_is_rehearsed() -> None:
    for difference in (given_values() - REHEARSED, REHEARSED - given_values(), REHEARSED - REHEARSED):
        assert difference.numbers is None


# controls


def test_a_self_patch_is_neutral_up_to_its_tolerance() -> None:
    assert SelfPatch(1e-4, 1e-4).neutral
    assert not SelfPatch(2e-4, 1e-4).neutral
    assert not SelfPatch(math.nan, 1.0).neutral


def test_a_positive_control_passes_from_what_it_needs_on() -> None:
    assert PositiveControl(0.5, 0.5, "everywhere").passed
    assert not PositiveControl(0.4, 0.5, "everywhere").passed
    assert not PositiveControl(math.nan, 0.5, "everywhere").passed


# truth and rehearsal


def test_an_effect_is_neither_true_nor_false() -> None:
    with pytest.raises(ClaimError, match=r"neither true nor false\. Compare it .*or return it from a @claim"):
        assert given_values()


@pytest.mark.parametrize(
    ("compare", "outcome"),
    [
        (lambda e: e > 0.3, "SUPPORTED"),
        (lambda e: e >= 0.3, "SUPPORTED"),
        (lambda e: e < 0.3, "REFUTED"),
        (lambda e: e <= 0.3, "REFUTED"),
        (lambda e: 0.3 < e, "SUPPORTED"),
        (lambda e: 0.3 >= e, "REFUTED"),
        (lambda e: e > 0.95, "INCONCLUSIVE"),
    ],
)
def test_a_comparison_is_a_verdict(compare: Callable[[Effect], Any], outcome: str) -> None:
    effect = given_values([1] * 38 + [0, 0], placebo=[0] * 40)
    assert compare(effect).outcome == outcome


@pytest.mark.parametrize(
    "read",
    [
        lambda e: e.measured,
        lambda e: e.n,
        lambda e: e.estimate,
        lambda e: e.is_neutral,
        lambda e: e > 0.3,
        lambda e: e >= 0.3,
        lambda e: e < 0.3,
        lambda e: e <= 0.3,
    ],
)
def test_a_rehearsed_effect_has_no_number_to_read(read: Callable[[Effect], object]) -> None:
    with pytest.raises(RehearsalRead, match="has no numbers yet"):
        read(REHEARSED)


def test_an_effect_is_printed_in_one_line() -> None:
    assert repr(given_values([1, 0, 1])) == "Effect(given values: 0.6667, 3 pairs declared independent)"
    assert repr(Effect(None, None)) == "Effect(given values: rehearsed, no numbers)"


# equality


@pytest.mark.parametrize("number", [0, 0.3, True, math.nan])
@pytest.mark.parametrize("effect", [given_values(), REHEARSED])
def test_an_effect_beside_a_number_says_how_to_claim_it(effect: Effect, number: float) -> None:
    for compare in (lambda: effect == number, lambda: effect != number, lambda: number == effect):
        with pytest.raises(ClaimError, match=r"not equal to a number: .* negligible\(within=.*effect\.estimate"):
            compare()


def test_effects_are_equal_where_their_questions_and_numbers_are() -> None:
    assert given_values() == given_values()
    assert given_values() != given_values((0, 0, 1))
    assert given_values() != dataclasses.replace(given_values(), numbers=None)
    assert given_values() != "an effect" and given_values() not in (None, "1")
    assert hash(REHEARSED) == hash(Effect(None, None))


# the whole component beside a part


def test_a_part_that_does_more_than_its_whole_is_told_by_its_size() -> None:
    assert FullComponent(0.9, 0.4, "s").excess == pytest.approx(-0.5)
    assert FullComponent(0.4, 0.9, "s").excess == FullComponent(-0.4, 0.9, "s").excess == pytest.approx(0.5)
    assert FullComponent(-0.9, -0.4, "s").excess == pytest.approx(-0.5)


def test_a_difference_keeps_the_arm_whose_part_exceeds_its_whole_by_more() -> None:
    tame, wild = FullComponent(0.9, 0.4, "tame"), FullComponent(0.2, 0.7, "wild")
    first, second = (measured((1.0, 2.0), controls=Controls(full=full)) for full in (tame, wild))
    bare = measured((1.0, 2.0))
    for one, other, kept in ((first, second, wild), (second, first, wild), (first, bare, tame), (bare, first, tame)):
        assert (one - other).measured.controls.full == kept
    assert (bare - bare).measured.controls.full is None
