"""A verdict judged again from what was saved: the same to the last bit, whatever kind of claim."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from causaltest.asking.claims import Claim
from causaltest.asking.experiment import Experiment
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import Metric, accuracy, logit_diff
from causaltest.asking.multiverse import multiverse_of
from causaltest.asking.orderings import monotone, top
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import last
from causaltest.asking.predictions import (
    at_least,
    at_most,
    between,
    greater_than,
    negligible,
    unchanged,
)
from causaltest.asking.settings import Settings
from causaltest.asking.sites import head, resid_post
from causaltest.asking.stopping import stopping_of
from causaltest.effect import Controls, Effect, Elsewhere, Exclusion, Numbers, PositiveControl, SelfPatch, Waived
from causaltest.errors import JudgementError, MeasurementError, NothingEligible, RecordError
from causaltest.once import Judged, rehearse
from causaltest.recording.exact import data_of, exact
from causaltest.recording.saved import SavedClaim, measured_of, plain_measured
from causaltest.recording.spec import spec_of
from causaltest.rejudged import differing, rejudged
from causaltest.results import Family, Known, finite
from causaltest.session import judged_by
from causaltest.verdict import Verdict

IID = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", id=f"p{i:03d}") for i in range(60)], iid=True)
CLUSTERED = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", cluster=f"c{i // 3}") for i in range(90)])
RANGED = logit_diff(range=(-3, 3))


class Simulated:
    """A backend in which every pair has a value of its own, and the controls that are asked for."""

    model = "organism:planted"

    def __init__(self, rate: float, *, controls: dict[str, Any] | None = None, out: float = 0.0, broken: int = -1):
        self.rate, self.controls, self.out, self.broken = rate, controls or {}, out, broken

    def measure(self, experiment: Experiment) -> Effect:
        pairs, metric, layer = experiment.patching.pairs, experiment.metric, experiment.patching.sites[0].layers[0]
        if layer == self.broken:
            raise MeasurementError("the patch did not fire")

        def draw(what: str, pair: str) -> float:
            return random.Random(f"{what} {layer} {metric} {pair}").random()

        ids = [i for i in pairs.ids if random.Random(i).random() >= self.out]
        left = tuple(Exclusion(i, "wrong when clean") for i in pairs.ids if i not in ids)
        if not ids:
            raise NothingEligible("None is eligible", tuple((e.pair_id, e.reason) for e in left))
        binary = metric.kind == "binary"
        height = min(1.0, self.rate * (1 + layer / 10))
        values = [float(draw("value", i) < height) if binary else height + draw("value", i) - 0.5 for i in ids]
        cluster_of = dict(zip(pairs.ids, pairs.clusters or pairs.ids, strict=True))
        controls = {
            "self_patch": SelfPatch(0.0, 1e-6),
            "placebo": tuple(draw("placebo", i) / 10 for i in ids),
            "positive": PositiveControl(1.0, 0.5, "everywhere"),
            "distance": (2.0,) * len(ids),
            **self.controls,
        }
        if "elsewhere" in controls:
            controls["elsewhere"] = (Elsewhere("layer 2", tuple(draw("there", i) / 5 for i in ids), (1.0,) * len(ids)),)
        ratio = experiment.quantity == "recovery" and not binary
        return Effect(
            experiment,
            Numbers(
                values=tuple(values),
                pair_ids=tuple(ids),
                clusters=None if pairs.clusters is None else tuple(cluster_of[i] for i in ids),
                kind="ratio" if ratio else "binary" if binary else "continuous",
                range=(0.0, 1.0) if binary else metric.range,
                denominators=tuple(1 + draw("below", i) for i in ids) if ratio else None,
                controls=Controls(**controls),
                rounding=1e-7,
                pairs_total=len(pairs),
                excluded=left,
                provenance={"model": self.model},
                seen=("a sweep has seen these pairs",),
            ),
        )

    def patched_runs(self, experiments: list[Experiment]) -> int:
        return len(experiments)

    def expect(self, experiments: Any) -> None:
        pass

    def counted(self) -> dict[str, int]:
        return {}


def change(lab: Lab, pairs: Pairs, metric: Metric = accuracy, layer: int = 3) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, last())).change(metric)


def recovered(lab: Lab, pairs: Pairs, metric: Metric = accuracy, layer: int = 3) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)


def minus(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> Effect:
    return change(lab, pairs, metric, 5) - change(lab, pairs, metric, 1)


def layers(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> dict[int, Effect]:
    return {layer: change(lab, pairs, metric, layer) for layer in (1, 3, 5, 7)}


def heads(lab: Lab, pairs: Pairs, metric: Metric = accuracy) -> dict[tuple[int, int], Effect]:
    return {(at, 0): lab.denoise(pairs, at=head(at, 0)).change(metric) for at in (1, 3, 5)}


def values(lab: Lab, pairs: Pairs) -> Effect:
    del lab
    draws = [float(random.Random(i).random() < 0.8) for i in pairs.ids]
    return Effect.from_values(draws, kind="binary", iid=True, placebo=Waived("simulated"))


def measured(
    body: Callable[..., Any],
    prediction: Any,
    backend: Simulated,
    *,
    pairs: Pairs = IID,
    size: int = 1,
    seed: str = "7",
    sentence: str = "It matters.",
    rule: Any = None,
    looks: int | None = None,
    axes: dict[str, Any] | None = None,
    share: float = 1.0,
    **more: Any,
) -> tuple[Verdict, SavedClaim]:
    """A claim's verdict in a run, and what is saved of it."""
    multiverse = None if axes is None else multiverse_of(axes, share)
    claim = Claim(sentence, prediction, body, stopping=stopping_of(rule, looks), multiverse=multiverse)
    lab = Lab(backend=backend, seed=seed)  # type: ignore[arg-type]
    known = Known("t.py::a", "a", Family("t.py", size), seed)
    arguments = {"lab": lab, "pairs": pairs, **more}
    judged = judged_by(claim, arguments, known, rehearse(claim, arguments) if axes is None else None)
    questions = [None if rehearsed is None else rehearsed.question for rehearsed, _ in judged.parts]
    spec = spec_of(claim, questions, id="t.py::a", family=("t.py", size), settings=Settings(), suite_seed=seed)
    return judged.verdict, saved_of(judged, spec.fields, seed)


def saved_of(judged: Judged, spec: Any, seed: str) -> SavedClaim:
    """Through text, as it is kept in a file."""
    verdict = judged.verdict
    told = {"verdict": str(verdict.outcome), "n": verdict.n} | {
        name: finite(getattr(verdict, name)) for name in ("estimate", "lower", "upper", "alpha")
    }
    kept = exact([[[name, plain_measured(effect)] for name, effect in judged.effects], judged.played, spec])
    effects, played, fields = data_of(kept, of="a test")
    return SavedClaim("t.py::a", fields, seed, told, tuple((name, measured_of(one)) for name, one in effects), played)


def whole(verdict: Verdict) -> str:
    """Every field, numbers to their last bit."""
    return exact(asdict(verdict))


PREDICTIONS = st.sampled_from(
    [
        at_least(0.3, expecting=0.6),
        at_least(0.55, alpha=0.01, power=0.9),
        at_most(0.4, smallest=0.1),
        at_most(-0.1),
        between(0.2, 0.9),
        negligible(within=0.2),
        greater_than(0, smallest=0.05),
        unchanged(margin=0.1),
    ]
)
CONTROLS = st.sampled_from(
    [
        {},
        {"placebo": Waived("no other pair")},
        {"placebo": None},
        {"positive": PositiveControl(0.1, 0.5, "everywhere")},
        {"self_patch": SelfPatch(0.5, 1e-6)},
        {"distance": None, "elsewhere": True},
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    prediction=PREDICTIONS,
    body=st.sampled_from([change, recovered, minus]),
    metric=st.sampled_from([accuracy, RANGED, logit_diff]),
    rate=st.sampled_from([0.02, 0.3, 0.55, 0.97]),
    controls=CONTROLS,
    pairs=st.sampled_from([IID, CLUSTERED]),
    out=st.sampled_from([0.0, 0.3, 1.0]),
    size=st.sampled_from([1, 9]),
    seed=st.sampled_from(["", "7", "another"]),
)
def test_one_effect_is_judged_to_the_same_verdict(
    prediction, body, metric, rate, controls, pairs, out, size, seed
) -> None:
    backend = Simulated(rate, controls=controls, out=out)
    try:
        verdict, saved = measured(body, prediction, backend, pairs=pairs, size=size, seed=seed, metric=metric)
    except JudgementError:
        reject()  # a prediction that is not for such an effect
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if saved.effects:
        assert whole(again) == whole(verdict)
    else:
        assert again.outcome == verdict.outcome == "INVALID"


@settings(max_examples=25, deadline=None)
@given(
    named=st.sampled_from(
        [
            (layers, monotone([1, 3, 5, 7], expecting=0.1)),
            (layers, monotone([7, 5, 3, 1])),
            (layers, top(2, [7, 5])),
            (heads, top(1, (5, 0), smallest=0.05)),
            (heads, monotone([(1, 0), (3, 0), (5, 0)])),
        ]
    ),
    metric=st.sampled_from([accuracy, RANGED]),
    rate=st.sampled_from([0.05, 0.5]),
    pairs=st.sampled_from([IID, CLUSTERED]),
    size=st.sampled_from([1, 4]),
)
def test_an_order_of_effects_is_judged_to_the_same_verdict(named, metric, rate, pairs, size) -> None:
    body, prediction = named
    verdict, saved = measured(body, prediction, Simulated(rate), pairs=pairs, size=size, metric=metric)
    assert whole(rejudged(saved)) == whole(verdict)


@settings(max_examples=25, deadline=None)
@given(
    prediction=st.sampled_from([at_least(0.5), greater_than(0), negligible(within=0.3)]),
    rule=st.sampled_from([("obrien-fleming", None), ("obrien-fleming", 3), ("anytime", None), ("anytime", 5)]),
    metric=st.sampled_from([accuracy, RANGED]),
    rate=st.sampled_from([0.05, 0.5, 0.95]),
    pairs=st.sampled_from([IID, CLUSTERED]),
    out=st.sampled_from([0.0, 0.4, 1.0]),
    controls=st.sampled_from([{}, {"placebo": None}, {"self_patch": SelfPatch(0.5, 1e-6)}]),
    seed=st.sampled_from(["", "7"]),
)
def test_a_sequential_claim_is_judged_to_the_verdict_of_its_last_look(
    prediction, rule, metric, rate, pairs, out, controls, seed
) -> None:
    looks = min(rule[1] or 4, 10) if rule[0] == "obrien-fleming" else rule[1] or 10
    backend = Simulated(rate, controls=controls, out=out)
    verdict, saved = measured(
        change, prediction, backend, pairs=pairs, rule=rule[0], looks=looks, seed=seed, metric=metric
    )
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if saved.effects:
        assert whole(again) == whole(verdict)


@settings(max_examples=25, deadline=None)
@given(
    prediction=st.sampled_from([at_least(0.3), at_most(0.5), at_least(0.9)]),
    share=st.sampled_from([1.0, 0.75, 0.34, 0.1]),
    rate=st.sampled_from([0.05, 0.5, 0.9]),
    broken=st.sampled_from([-1, 3]),
    sentence=st.sampled_from(["It matters.", "It is necessary."]),
)
def test_variants_are_judged_together_as_they_were(prediction, share, rate, broken, sentence) -> None:
    axes = {"layer": [1, 3, 5], "metric": [accuracy, RANGED]}
    backend = Simulated(rate, broken=broken)
    verdict, saved = measured(change, prediction, backend, axes=axes, share=share, size=3, sentence=sentence)
    again = rejudged(saved)
    assert differing(again, saved.told) == []
    if len(saved.effects) == 6:
        assert whole(again) == whole(verdict)
    else:
        assert whole(replace(again, reason="")) == whole(replace(verdict, reason=""))


def test_values_that_were_given_are_judged_to_the_same_verdict() -> None:
    verdict, saved = measured(values, at_least(0.5), Simulated(0.5))
    assert verdict.outcome == "SUPPORTED"
    assert whole(rejudged(saved)) == whole(verdict)


def test_what_cannot_show_what_the_sentence_says_stays_invalid() -> None:
    verdict, saved = measured(change, at_least(0.5), Simulated(0.9), sentence="It is necessary.")
    assert verdict.outcome == "INVALID" and not saved.effects
    assert rejudged(saved).outcome == "INVALID"
    # a body that could not be rehearsed is measured first
    _, other = measured(change, at_least(0.5), Simulated(0.9))
    misdirected = replace(other, spec={**other.spec, "sentence": "It is necessary."})
    assert rejudged(other).outcome == "SUPPORTED"
    assert rejudged(misdirected).outcome == "INVALID"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("estimate", 0.1),
        ("lower", None),
        ("upper", "0.99999"),
        ("alpha", "0.5"),
        ("n", 12),
        ("verdict", "REFUTED"),
        ("estimate", "a number"),
    ],
)
def test_a_verdict_that_was_written_down_otherwise_differs_in_that_field(field: str, value: Any) -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9))
    assert differing(rejudged(saved), saved.told) == []
    (told,) = differing(rejudged(saved), {**saved.told, field: value})
    assert told.startswith(f"{field} ")


def test_a_last_digit_of_another_machine_is_no_difference() -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9), metric=RANGED)
    moved = {**saved.told, "lower": saved.told["lower"] * (1 + 1e-12)}
    assert differing(rejudged(saved), moved) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"prediction": {"kind": "Popen"}},
        {"prediction": {"kind": "Prediction", "relation": "at_least"}},
        {"family": {"size": 0}},
        {"family": {}},
        {"variants": {"names": ["a"], "share": "nan"}},
        {"variants": {"names": [["a"]], "share": "1.0"}},
        {"stopping": {"rule": "obrien-fleming", "looks": 4}},
        {"stopping": {"rule": "anytime", "looks": "x"}},
        {"prediction": None},
        {"prediction": []},
    ],
)
def test_a_spec_that_cannot_be_judged_is_refused_by_name(broken: dict[str, Any]) -> None:
    _, saved = measured(change, at_least(0.5), Simulated(0.9))
    with pytest.raises(RecordError, match=r"t\.py::a"):
        rejudged(replace(saved, spec={**saved.spec, **broken}))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists, max_leaves=8))
def test_any_field_of_a_spec_may_be_anything(value: Any) -> None:
    _, saved = SAVED
    for field in ("prediction", "family", "stopping", "variants"):
        try:
            rejudged(replace(saved, spec={**saved.spec, field: value}))
        except RecordError as error:
            assert "t.py::a" in str(error)


SAVED = measured(change, at_least(0.5), Simulated(0.9))
