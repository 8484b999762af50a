"""One claim from its body to its result: rehearsed, measured, judged, and written down."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.claims import Claim
from causaltest.asking.experiment import Experiment
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.orderings import Ordering, monotone, top
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import thought
from causaltest.asking.predictions import Prediction, at_least, at_most
from causaltest.asking.sites import resid_post
from causaltest.effect import Controls, Effect, Exclusion, FullComponent, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.errors import ClaimError, JudgementError, MeasurementError, RehearsalRead
from causaltest.once import judging_seed, rehearse
from causaltest.results import EXPLORATORY, NOT_REGISTERED, ClaimResult, Family, Known
from causaltest.session import CHOSE_BY_NUMBER, OTHER_EXPERIMENT, decide

PAIRS = Pairs([Pair(clean=f"{i} ducks", corrupt="no ducks", answer=str(i), cluster=f"c{i}") for i in range(40)])
WAIVED = Waived("simulated data")


class Fixed:
    """A backend that gives every experiment the same numbers."""

    model = "fixed"

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.measured = 0

    def measure(self, experiment: Experiment) -> Effect:
        self.measured += 1
        return Effect(experiment, self.numbers)

    def expect(self, experiments):
        self.expected = list(experiments)

    def counted(self) -> dict[str, int]:
        return {"patched_runs": 40 * self.measured, "forwards": 2 * self.measured}


def numbers(values: tuple[float, ...] = (1.0,) * 40, **more: Any) -> Numbers:
    controls = Controls(SelfPatch(0.0, 0.0), (0.0,) * len(values), PositiveControl(1.0, 0.5, "everywhere"), (2.0,) * 40)
    return Numbers(
        **{
            "values": values,
            "pair_ids": tuple(f"p{i}" for i in range(len(values))),
            "clusters": tuple(f"c{i}" for i in range(len(values))),
            "kind": "binary",
            "controls": controls,
            "pairs_total": len(values),
            "provenance": {"model": "fixed", "dtype": "float32"},
            **more,
        }
    )


def lab_of(given: Numbers) -> Lab:
    return Lab(backend=Fixed(given), seed="7")  # type: ignore[arg-type]


def body(lab: Lab) -> Effect:
    return lab.denoise(PAIRS, at=resid_post(6, thought(0))).recovery(accuracy)


def decided(
    body: Callable[..., Any] = body,
    prediction: Prediction | Ordering | None = None,
    seed: str = "7",
    size: int = 1,
    **more: Any,
) -> ClaimResult:
    return decide(
        Claim("Thoughts matter.", prediction or at_least(0.5, expecting=0.8), body),
        more,
        Known("claims/test_a.py::test_a", "a", Family("claims/test_a.py", size), seed),
    )


# what is decided


def test_a_claim_is_measured_judged_and_written_down() -> None:
    result = decided(lab=lab_of(numbers()))
    assert (result.id, result.nodeid, result.sentence) == ("a", "claims/test_a.py::test_a", "Thoughts matter.")
    assert (result.verdict, result.estimate, result.n, result.clusters) == ("SUPPORTED", 1.0, 40, 40)
    assert (result.prediction, result.threshold, result.expecting, result.power) == (">= 0.5", 0.5, 0.8, 0.8)
    assert (result.model, result.site) == ("fixed", "resid_post L6 @ thought 0")
    assert result.question == "recovery(accuracy), denoise resid_post L6 @ thought 0"
    assert (result.status, result.status_reason) == (EXPLORATORY, NOT_REGISTERED)
    assert result.lower is not None and result.lower > 0.5
    assert result.provenance == {"model": "fixed", "dtype": "float32"}


class Graded(Fixed):
    """A backend that gives every layer its own share of right answers."""

    def __init__(self, shares: dict[int, float]) -> None:
        super().__init__(numbers())
        self.shares = shares

    def measure(self, experiment: Experiment) -> Effect:
        self.measured += 1
        layer = int(experiment.site.split("L")[1].split()[0])
        right = round(40 * self.shares[layer])
        return Effect(experiment, numbers((1.0,) * right + (0.0,) * (40 - right)))


def by_layer(lab: Lab) -> Any:
    return {layer: lab.denoise(PAIRS, at=resid_post(layer, thought(0))).recovery(accuracy) for layer in (3, 6, 9)}


def test_a_body_returns_a_mapping_for_a_claim_about_an_order() -> None:
    lab = Lab(backend=Graded({3: 0.1, 6: 0.5, 9: 0.9}), seed="7")  # type: ignore[arg-type]
    result = decided(by_layer, monotone([3, 6, 9], expecting=0.3), lab=lab)
    assert (result.verdict, result.prediction, result.threshold) == ("SUPPORTED", "rising 3 < 6 < 9", None)
    assert (result.n, result.clusters, result.pairs_total, result.kind) == (40, 40, 40, "continuous")
    assert result.estimate == pytest.approx(0.4)
    assert result.expecting == 0.3
    assert result.site == "3: resid_post L3 @ thought 0; 6: resid_post L6 @ thought 0; 9: resid_post L9 @ thought 0"
    assert result.controls["self_patch"]["neutral"] is True
    assert result.controls["positive"]["passed"] is True
    assert result.status_reason == NOT_REGISTERED
    assert result.runs["patched_runs"] == 120
    assert ClaimResult.from_json(result.to_json()) == result
    best = decided(by_layer, top(1, 9), lab=lab)
    assert (best.verdict, best.prediction) == ("SUPPORTED", "9 in the top 1")


def test_what_is_returned_fits_the_prediction_before_anything_is_measured() -> None:
    lab = lab_of(numbers())
    with pytest.raises(ClaimError, match=r"'Thoughts matter.': the prediction >= 0.5 is about one effect, and a map"):
        decided(by_layer, lab=lab)
    with pytest.raises(ClaimError, match=r"in the top 1 is about several effects, and one was given. Return a mapping"):
        decided(body, top(1, 9), lab=lab)
    assert lab.counts.get("patched_runs", 0) == 0


def test_an_empty_mapping_is_an_error() -> None:
    with pytest.raises(JudgementError, match="The mapping of effects is empty"):
        decided(lambda lab: {}, top(1, 9), lab=lab_of(numbers()))


def test_a_claim_is_measured_once_and_its_cost_is_its_own() -> None:
    lab = lab_of(numbers())
    body(lab)
    result = decided(lab=lab)
    assert lab.counts["patched_runs"] == 80
    assert (result.runs["patched_runs"], result.runs["forwards"]) == (40, 2)


def test_a_lab_that_is_given_twice_is_counted_once() -> None:
    lab = lab_of(numbers())
    result = decided(lambda late, early, floor: body(late) - body(early), late=lab, early=lab, floor=0.0)
    assert result.runs["patched_runs"] == 80


def test_the_family_divides_alpha() -> None:
    assert decided(lab=lab_of(numbers())).alpha == pytest.approx(0.05)
    result = decided(lab=lab_of(numbers()), size=5)
    assert (result.alpha, result.family_size, result.family) == (pytest.approx(0.01), 5, "claims/test_a.py")
    alone = decided(lab=lab_of(numbers()))
    assert result.p_adjusted == pytest.approx(min(1.0, 5 * (alone.p_value or 0)))


def test_other_arguments_reach_the_body_as_they_are() -> None:
    seen = []

    def with_layer(lab: Lab, layer: int) -> Effect:
        seen.append(layer)
        return body(lab)

    decided(with_layer, lab=lab_of(numbers()), layer=3)
    assert seen == [3, 3], "once in rehearsal, once measured"


def test_a_measurement_that_gives_no_number_makes_the_claim_invalid() -> None:
    class Broken(Fixed):
        def measure(self, experiment: Experiment) -> Effect:
            raise MeasurementError("None of the 40 pairs is eligible.")

    result = decided(lab=Lab(backend=Broken(numbers())), size=4)  # type: ignore[arg-type]
    assert (result.verdict, result.reason) == ("INVALID", "None of the 40 pairs is eligible.")
    assert (result.estimate, result.lower, result.upper, result.p_value, result.n) == (None, None, None, None, 0)
    assert result.alpha == pytest.approx(0.0125)
    assert result.status_reason == NOT_REGISTERED
    assert ClaimResult.from_json(result.to_json()) == result


def test_any_other_failure_of_the_body_passes_through() -> None:
    def broken(lab: Lab) -> Effect:
        raise ZeroDivisionError("the body's own")

    with pytest.raises(ZeroDivisionError, match="the body's own"):
        decided(broken, lab=lab_of(numbers()))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "'Thoughts matter.' returned nothing, so there is nothing to judge. End its body with `return lab"),
        (0.7, "'Thoughts matter.' returned float: a claim returns an Effect"),
        (True, "'Thoughts matter.' returned bool: a claim returns an Effect"),
        ([Effect(None, None)], "'Thoughts matter.' returned list: a claim returns an Effect"),
    ],
)
def test_a_claim_that_returns_no_effect_is_an_error(returned: object, message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        decided(lambda: returned)


# rehearsal


def test_the_question_is_learnt_without_measuring() -> None:
    backend = Fixed(numbers())
    lab = Lab(backend=backend, seed="7")  # type: ignore[arg-type]
    effect = rehearse(Claim("Thoughts matter.", at_least(0.5), body), {"lab": lab})
    assert backend.measured == 0
    assert effect is not None and effect.numbers is None
    assert effect.question == body(lab).question


def test_a_body_that_chooses_its_experiment_by_a_number_runs_and_says_so() -> None:
    def choosing(lab: Lab) -> Effect:
        return body(lab) if body(lab).estimate > 0.5 else body(lab) - body(lab)

    assert rehearse(Claim("Thoughts matter.", at_least(0.5), choosing), {"lab": lab_of(numbers())}) is None
    result = decided(choosing, lab=lab_of(numbers()))
    assert (result.verdict, result.status, result.status_reason) == ("SUPPORTED", EXPLORATORY, CHOSE_BY_NUMBER)


def test_a_difference_is_rehearsed_as_it_is() -> None:
    result = decided(lambda lab: body(lab) - body(lab), prediction=at_most(0.5), lab=lab_of(numbers()))
    assert result.status_reason == NOT_REGISTERED
    assert "minus" in result.question


def test_recorded_values_choose_nothing_by_a_number() -> None:
    result = decided(lambda: Effect.from_values([1] * 9, kind="binary", iid=True, placebo=WAIVED))
    assert (result.status_reason, result.question, result.site, result.model) == (
        NOT_REGISTERED,
        "given values",
        None,
        None,
    )


# seeds

SPREAD = numbers(tuple(0.5 + 0.01 * (i % 7) for i in range(40)), kind="continuous", range=(-1.0, 1.0))


def test_the_same_suite_seed_gives_the_same_result_to_the_bit() -> None:
    one, again, other = (decided(lab=lab_of(SPREAD), seed=seed) for seed in ("7", "7", "8"))
    assert one == again
    assert one.suite_seed == "7"
    assert other.seed != one.seed


def test_the_judging_seed_comes_from_the_suites_seed_alone() -> None:
    lab = lab_of(numbers())

    def at(lab: Lab, layer: int) -> Effect:
        return lab.denoise(PAIRS, at=resid_post(layer, thought(0))).recovery(accuracy)

    seeds = {decided(at, lab=lab, layer=layer).seed for layer in (1, 2)}
    assert seeds == {judging_seed("7")}, "claims of one suite share their resamples"
    assert judging_seed("7") != judging_seed("8")


def test_without_a_suite_seed_the_judge_has_its_own() -> None:
    assert judging_seed("") is None
    result = decided(lambda: Effect.from_values([1] * 9, kind="binary", iid=True, placebo=WAIVED), seed="")
    assert result.seed == 0


# what is written down of the controls and the pairs


def controls_of(**more: Any) -> dict[str, Any]:
    return decided(lab=lab_of(numbers(controls=Controls(**more)))).controls


def test_controls_are_written_down_as_numbers() -> None:
    assert decided(lab=lab_of(numbers())).controls == {
        "self_patch": {"moved": 0.0, "neutral": True, "rounding": 0.0},
        "placebo": 0.0,
        "positive": {"estimate": 1.0, "passed": True, "site": "everywhere"},
        "distance": 2.0,
    }


def test_the_whole_component_is_written_down_where_a_part_was_patched() -> None:
    assert controls_of(full=FullComponent(0.93, 0.4, "resid_post"))["full_component"] == 0.93
    assert controls_of(full=FullComponent(math.nan, 0.4, "resid_post"))["full_component"] is None
    assert "full_component" not in controls_of()


def test_a_control_that_was_not_measured_is_none_and_a_waived_one_gives_its_reason() -> None:
    assert controls_of() == {"self_patch": None, "placebo": None, "positive": None, "distance": None}
    waived = controls_of(self_patch=WAIVED, placebo=WAIVED, positive=WAIVED)
    assert waived == {name: "waived: simulated data" for name in ("self_patch", "placebo", "positive")} | {
        "distance": None
    }


def test_the_placebo_of_a_ratio_is_a_ratio() -> None:
    ratio = numbers((1.0, 2.0) * 20, kind="ratio", denominators=(2.0, 4.0) * 20, controls=Controls(placebo=(0.3,) * 40))
    assert decided(lab=lab_of(ratio)).controls["placebo"] == pytest.approx(0.1)


def test_a_control_that_is_not_finite_can_still_be_written() -> None:
    broken = Controls(
        SelfPatch(math.inf, 0.0), (math.nan,) * 40, PositiveControl(math.nan, 0.5, "everywhere"), (math.inf,) * 40
    )
    result = decided(lab=lab_of(numbers(controls=broken)))
    assert result.verdict == "INVALID"
    assert json.loads(result.to_json())["controls"] == {
        "self_patch": {"moved": None, "neutral": False, "rounding": 0.0},
        "placebo": None,
        "positive": {"estimate": None, "passed": False, "site": "everywhere"},
        "distance": None,
    }


def test_excluded_pairs_are_counted_by_reason() -> None:
    excluded = (Exclusion("x", "clean run wrong"), Exclusion("y", "same answer"), Exclusion("z", "clean run wrong"))
    result = decided(lab=lab_of(numbers(excluded=excluded, pairs_total=43)))
    assert result.excluded == {"clean run wrong": 2, "same answer": 1}
    assert (result.eligible, result.pairs_total) == (40, 43)


def test_clusters_are_counted_and_none_where_independence_was_declared() -> None:
    assert decided(lab=lab_of(numbers(clusters=("a", "b") * 20))).clusters == 2
    assert decided(lab=lab_of(numbers(clusters=None))).clusters is None


# JSON

floats = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
counts = st.dictionaries(texts, st.integers(0, 9), max_size=2)
controls = st.fixed_dictionaries(
    {
        "self_patch": st.none()
        | texts
        | st.fixed_dictionaries({"moved": floats, "neutral": st.booleans(), "rounding": floats}),
        "placebo": floats | texts,
        "positive": st.none() | texts | st.fixed_dictionaries({"estimate": floats, "passed": st.booleans()}),
        "distance": floats,
    }
)
results = st.builds(
    ClaimResult,
    **{
        f.name: {
            "float | None": floats,
            "float": st.floats(-9, 9),
            "int | None": st.none() | st.integers(0, 999),
            "int": st.integers(0, 999),
            "str | None": st.none() | texts,
            "str": texts,
            "list[str]": st.lists(texts, max_size=2),
            "dict[str, int]": counts,
            "dict[str, int | None]": st.dictionaries(texts, st.none() | st.integers(0, 9), max_size=2),
            "dict[str, str]": st.dictionaries(texts, texts, max_size=2),
            "dict[str, Any]": controls,
            "list[dict[str, Any]]": st.lists(controls, max_size=2),
            "list[dict[str, str]]": st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2),
        }[str(f.type)]
        for f in dataclasses.fields(ClaimResult)
    },
)


@given(results)
def test_a_result_comes_back_from_json_as_it_was(result: ClaimResult) -> None:
    line = result.to_json()
    assert "\n" not in line
    assert ClaimResult.from_json(line) == result


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dataclasses.replace(decided(lab=lab_of(numbers())), estimate=math.nan).to_json()


def test_a_body_that_hides_what_it_read_is_still_seen_to_choose_by_a_number():
    """Swallowing RehearsalRead leaves another experiment than the one that was rehearsed."""

    def body(lab: Lab) -> Effect:
        try:
            looked = lab.denoise(PAIRS, at=resid_post(1, thought(0))).recovery(accuracy).estimate
        except RehearsalRead:
            looked = 0.0
        return lab.denoise(PAIRS, at=resid_post(1 if looked > 0.5 else 2, thought(0))).recovery(accuracy)

    lab = Lab(name="fixed", backend=Fixed(numbers()))
    result = decide(
        Claim("s", at_least(0.1), body),
        {"lab": lab},
        Known("n", "c", Family("f", 1), "0"),
    )
    assert result.status_reason == OTHER_EXPERIMENT
