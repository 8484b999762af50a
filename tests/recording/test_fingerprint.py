"""The hash of the numbers that a verdict rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from causaltest.effect import Controls, Effect, Elsewhere, Exclusion, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.effects import Effects
from causaltest.recording.fingerprint import fingerprint

CONTROLS = Controls(
    SelfPatch(0.0, 1e-6),
    (0.0, 0.1),
    PositiveControl(1.0, 0.5, "all"),
    (1.0, 1.0),
    None,
    (Elsewhere("l", (0.0, 0.0), ()),),
)
NUMBERS = Numbers((0.5, 0.7), ("a", "b"), ("c", "d"), "ratio", (-1.0, 1.0), (1.0, 2.0), CONTROLS, 0.1, 1e-7, 3)


def of(numbers: Numbers) -> str:
    return fingerprint([("", Effect(None, numbers))], None)


@pytest.mark.parametrize(
    "change",
    [
        {"values": (0.5, 0.7000000000000001)},
        {"pair_ids": ("a", "x")},
        {"clusters": None},
        {"kind": "continuous"},
        {"range": None},
        {"denominators": (1.0, 2.5)},
        {"clipped": 0.0},
        {"rounding": 0.0},
        {"pairs_total": 4},
        {"excluded": (Exclusion("x", "wrong"),)},
        {"references": {"patched": (0.0, 1.0)}},
        {"estimated_by": "a gradient"},
        *({"controls": replace(CONTROLS, **one)} for one in (
            {"self_patch": SelfPatch(0.1, 1e-6)},
            {"placebo": Waived("no")},
            {"positive": None},
            {"distance": (1.0, 2.0)},
            {"elsewhere": ()},
        )),
    ],
)  # fmt: skip
def test_every_number_that_is_judged_is_in_it(change) -> None:
    assert of(replace(NUMBERS, **change)) != of(NUMBERS)


def test_what_is_noted_beside_the_numbers_is_not() -> None:
    assert of(replace(NUMBERS, provenance={"torch": "3"}, seen=("a sweep",))) == of(NUMBERS)


def test_names_and_how_it_was_played_are_in_it() -> None:
    effect = Effect(None, NUMBERS)
    made = {
        fingerprint(effects, played)
        for effects in ([("", effect)], [("a", effect)], [("a", effect), ("b", effect)], [("", Effects({1: effect}))])
        for played in (None, {"units": [[1, 2]]})
    }
    assert len(made) == 8
    assert fingerprint([], None) == ""
