"""The effects of portions, as one effect on all of their pairs."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.joined import joined
from causaltest.effect import (
    Controls,
    Difference,
    Effect,
    Exclusion,
    FullComponent,
    Numbers,
    PositiveControl,
    SelfPatch,
    Waived,
)
from causaltest.errors import ClaimError


def part(values: list[float], name: str, **more) -> Effect:
    n = len(values)
    controls = Controls(
        self_patch=SelfPatch(0.1, 0.2),
        placebo=tuple(v / 2 for v in values),
        positive=PositiveControl(0.9, 0.5, "everywhere"),
        distance=(1.0,) * n,
    )
    given_ = {
        "values": tuple(values),
        "pair_ids": tuple(f"{name}{i}" for i in range(n)),
        "clusters": tuple(f"{name}{i // 2}" for i in range(n)),
        "kind": "continuous",
        "range": (-1.0, 1.0),
        "controls": controls,
        "pairs_total": n + 1,
        "excluded": (Exclusion(f"{name} out", "why"),),
        "references": {"clean": (1.0,) * n, "patched": tuple(values)},
        "provenance": {"model": "m", "padding": name},
        **more,
    }
    return Effect(None, Numbers(**given_))


def with_controls(effect: Effect, **controls) -> Effect:
    numbers = effect.measured
    return Effect(None, dataclasses.replace(numbers, controls=dataclasses.replace(numbers.controls, **controls)))


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=6), min_size=1, max_size=5))
def test_what_is_given_per_pair_follows_each_other(parts: list[list[float]]) -> None:
    whole = joined([part(values, f"p{k}-") for k, values in enumerate(parts)]).measured
    every = [v for values in parts for v in values]
    assert whole.values == tuple(every)
    assert whole.controls.placebo == tuple(v / 2 for v in every)
    assert whole.references == {"clean": (1.0,) * len(every), "patched": tuple(every)}
    assert len(whole.pair_ids) == len(set(whole.pair_ids)) == len(whole.clusters or ()) == len(every)
    assert whole.controls.distance == (1.0,) * len(every)
    assert whole.pairs_total == len(every) + len(parts)
    assert [e.pair_id for e in whole.excluded] == [f"p{k}- out" for k in range(len(parts))]
    assert (whole.kind, whole.range) == ("continuous", (-1.0, 1.0))


def test_one_portion_is_itself() -> None:
    only = part([1.0], "a")
    assert joined([only]) is only


def test_of_a_check_the_worst_counts() -> None:
    moved = with_controls(part([1.0], "a"), self_patch=SelfPatch(0.5, 0.1))
    whole = joined([part([1.0], "b", rounding=0.01), moved, part([1.0], "c", rounding=0.03)]).measured
    assert whole.controls.self_patch == SelfPatch(0.5, 0.1)
    assert whole.rounding == 0.03


def test_what_is_no_number_is_the_worst_and_a_waiver_hides_nothing() -> None:
    odd, fine = SelfPatch(math.nan, 0.1), part([1.0], "b")
    for parts in ([with_controls(part([1.0], "a"), self_patch=odd), fine], [fine, with_controls(fine, self_patch=odd)]):
        assert not joined(parts).measured.controls.self_patch.neutral  # type: ignore[union-attr]
    dead = with_controls(part([1.0], "c"), positive=PositiveControl(0.0, 0.5, "x"))
    own = with_controls(part([1.0], "d"), positive=Waived("it is its own"))
    for parts in ([dead, own], [own, dead]):
        assert joined(parts).measured.controls.positive == PositiveControl(0.0, 0.5, "x")


def test_portions_that_answer_different_questions_are_refused() -> None:
    here, there = (Difference(Difference(None, None), None), Difference(None, None))
    parts = [Effect(here, part([1.0], "a").measured), Effect(there, part([1.0], "b").measured)]
    with pytest.raises(ClaimError, match="another experiment at a later look"):
        joined(parts)


def test_estimates_are_those_of_all_pairs() -> None:
    one = with_controls(part([1.0] * 3, "a", clipped=0.5), positive=PositiveControl(1.0, 0.5, "x"))
    two = with_controls(part([0.0], "b", clipped=0.1), positive=PositiveControl(0.0, 0.5, "x"))
    whole = joined([one, two]).measured
    assert whole.controls.positive == PositiveControl(0.75, 0.5, "x")
    assert whole.clipped == pytest.approx((3 * 0.5 + 0.1) / 4)


def test_of_a_ratio_the_sums_are_those_of_all_pairs() -> None:
    """The positive control of a ratio is sum / sum: over all pairs it is weighed by the denominators."""
    one = part([1.0, 2.0], "a", kind="ratio", denominators=(2.0, 6.0), range=None)
    two = part([0.5], "b", kind="ratio", denominators=(0.5,), range=None)
    one = with_controls(one, positive=PositiveControl(4 / 8, 0.5, "x"), full=FullComponent(3 / 8, 3 / 8, "y"))
    two = with_controls(two, positive=PositiveControl(0.25 / 0.5, 0.5, "x"), full=FullComponent(1.0, 1.0, "y"))
    whole = joined([one, two])
    assert whole.estimate == pytest.approx(3.5 / 8.5)
    assert whole.measured.controls.positive.estimate == pytest.approx((4 + 0.25) / 8.5)  # type: ignore[union-attr]
    assert whole.measured.controls.full == FullComponent(pytest.approx(3.5 / 8.5), pytest.approx(3.5 / 8.5), "y")


@pytest.mark.parametrize("lacking", [None, Waived("placebo=False")])
def test_a_control_that_a_portion_lacks_is_lacking(lacking) -> None:
    whole = joined([part([1.0], "a"), with_controls(part([1.0], "b"), placebo=lacking)]).measured
    assert whole.controls.placebo == lacking


def test_independent_pairs_stay_so_and_differing_notes_are_all_told() -> None:
    whole = joined([part([1.0], "a", clusters=None), part([1.0], "b", clusters=None)]).measured
    assert whole.clusters is None
    assert whole.provenance == {"model": "m", "padding": "a; b"}


def test_a_nan_stays_where_it_is() -> None:
    assert math.isnan(joined([part([1.0], "a"), part([math.nan], "b")]).measured.values[1])


def test_every_field_of_an_effect_is_joined_by_some_rule() -> None:
    """A field that is new, and of a kind that no rule knows, must not be lost in silence."""
    whole = joined([part([1.0], "a"), part([1.0], "b")]).measured
    assert {f.name for f in dataclasses.fields(Numbers)} == set(vars(whole))
    odd = [part([1.0], "a", range=(-1.0, 1.0)), part([1.0], "b", range=(-1.0, 1.0))]
    with pytest.raises(TypeError, match="nothing says how such a value is joined"):
        joined([with_controls(e, distance=n) for n, e in enumerate(odd)])
