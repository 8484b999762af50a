"""Scalars of numpy, wherever a user can give one: they end no run, and change no report, on workers either."""

from __future__ import annotations

import json

import numpy as np
import pytest

from causaltest import Effect, Waived, at_least, between, judge, monotone, top
from causaltest.effect import SelfPatch
from causaltest.errors import ClaimError

SCALARS = """
import numpy as np, pytest
from causaltest import *
from causaltest.effect import SelfPatch

VALUES = np.array([1] * 40 + [0] * 20)

def given(values=VALUES, **more):
    return Effect.from_values(values, **{"kind": "binary", "iid": True, "placebo": Waived("a test"), **more})

@claim("Thresholds.", at_least(np.float32(0.3), expecting=np.float16(0.6), alpha=np.float64(0.05)))
@pytest.mark.parametrize("layer", [np.int64(3), np.float32(2.5), np.str_("x"), np.bool_(True)])
def test_threshold(layer, record_property):
    record_property("layer", layer)
    return given(VALUES.astype(bool))

@claim("Two ends.", between(np.float32(0.1), np.float64(0.95)), id=np.str_("ends"), family=np.str_("ends"))
def test_ends():
    return given(VALUES.astype(np.float32))

@claim("A range.", at_least(np.float32(0.1), smallest=np.float32(0.2)))
def test_range():
    values = np.random.default_rng(0).normal(0.5, 0.2, 60).astype(np.float32)
    return given(np.clip(values, -1, 1), kind="continuous", range=(np.float32(-1), np.int64(1)))

@claim("A ratio.", at_least(np.int64(0)))
def test_ratio():
    return given(VALUES.astype(np.float32), kind="ratio", denominators=np.ones(60, dtype=np.float32))

@claim("A difference.", greater_than(np.float32(0.1)))
def test_difference():
    return given() - given(np.zeros(60, dtype=np.int8))

@claim("The largest.", top(1, np.int64(9), expecting=np.float32(0.3)))
def test_top():
    return {np.int64(9): given(), np.int64(3): given(np.zeros(60))}

@claim("It rises.", monotone(np.array([3, 6, 9]), smallest=np.float32(0.1)))
def test_rises():
    return {np.int64(n): given(np.array([1] * (4 * n) + [0] * (60 - 4 * n))) for n in (3, 6, 9)}

@claim("Variants.", at_least(np.float32(0.3)))
@claim.multiverse(k=[np.int64(1), np.float32(2)], share=np.float32(0.5))
def test_variants(k):
    return given()

@claim(np.str_("All that is said."), at_least(np.float32(0.1)))
def test_said(causal_report):
    causal_report.say(np.str_("a word"))
    causal_report.say(np.float64(0.5))
    return given(
        iid=False, clusters=np.repeat(np.arange(30), 2), placebo=np.zeros(60, dtype=np.float32),
        pair_ids=np.arange(60), pairs_total=np.int64(61), excluded={np.str_("x"): np.str_("why")},
        distance=np.float32(2), self_patch=SelfPatch(np.float32(0), np.float32(1e-5)),
        provenance={"layer": np.int64(3)},
    )
"""


def test_scalars_of_numpy_end_no_run_and_give_one_report_alone_and_on_workers(pytester):
    pytest.importorskip("xdist")
    pytester.makepyfile(SCALARS)
    tables, reports = [], []
    for workers in ("-n0", "-n2"):
        options = [f"--causal-json=report{workers}.json", f"--causal-save=saved{workers}", "-p", "no:cacheprovider"]
        ran = pytester.runpytest_inprocess("-q", workers, *options)
        assert ran.parseoutcomes() == {"passed": 12}
        table = [line for line in ran.outlines if line.startswith(("test_", "ends", "a word", "0.5"))]
        tables.append(table)
        reports.append(json.loads((pytester.path / f"report{workers}.json").read_text()))
    assert tables[0] == tables[1] and len(tables[0]) == 14
    assert reports[0] == reports[1]


def test_predictions_and_verdicts_hold_pythons_own_numbers():
    values = np.array([1] * 40 + [0] * 20)
    prediction = at_least(np.float32(0.25), expecting=np.float16(0.5), alpha=np.float64(0.05), smallest=np.float32(0.3))
    assert {type(n) for n in vars(prediction).values()} <= {str, float, type(None)}
    assert prediction.threshold == 0.25 and prediction.expecting == 0.5
    for made in (between(np.int64(0), np.float32(1)), top(1, "a", alpha=np.float64(0.05)), monotone(["a", "b", "c"])):
        assert not any(isinstance(n, np.generic) for n in vars(made).values())
    effect = Effect.from_values(values, kind="binary", iid=True, placebo=Waived("a test"), distance=np.float32(1))
    verdict = judge(effect, prediction, family_size=np.int64(3), seed=np.int64(4))
    assert not any(isinstance(n, np.generic) for n in vars(verdict).values())
    assert verdict == judge(effect, prediction, family_size=3, seed=4)
    assert type(SelfPatch(np.float32(0), np.float32(1)).neutral) is bool


@pytest.mark.parametrize("odd", [np.array([0.3, 0.4]), np.str_("0.3"), np.bool_(True)])
def test_what_is_no_number_is_still_refused(odd):
    with pytest.raises(ClaimError):
        at_least(odd)
