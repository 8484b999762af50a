"""A spec says all that a claim says, in named fields: each choice shows in its own field, and in no other."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest import (
    Lab,
    Pair,
    Pairs,
    Waived,
    accuracy,
    at_least,
    at_most,
    between,
    claim,
    exact_match,
    greater_than,
    head,
    index,
    last,
    logit_diff,
    mean,
    monotone,
    negligible,
    probability,
    resid_post,
    scale,
    span,
    top,
    zero,
)
from causaltest.asking.claims import CLAIM_ATTRIBUTE
from causaltest.asking.settings import Settings
from causaltest.errors import RecordError
from causaltest.organisms import ducks, planted
from causaltest.promised import promised
from causaltest.recording import spec as specs
from causaltest.recording.changes import changes, differences
from causaltest.recording.spec import DATA, Spec, spec_of, summaries
from causaltest.results import Family, Known
from causaltest.writing.canonical import canonical

PAIRS = planted.pairs(per_cluster=2)
OTHERS = planted.pairs(per_cluster=1, seed=5)


def fields_of(made, *, pairs=PAIRS, seed="0", name="organism:planted", settings=None, size=3, labs=None, **parameters):
    """The spec's fields of a claim as its test is registered."""
    declared = getattr(made, CLAIM_ATTRIBUTE)
    settings = settings or Settings()
    lab = Lab.load(name, seed=seed, settings=settings)
    known = Known("n", "c", Family("f", size), seed, lab=lambda name: Lab.load(name, seed=seed, settings=settings))
    arguments = {"lab": lab, "pairs": pairs, **parameters}
    questions = [effect.question for effect in promised(declared, arguments, known)]
    return spec_of(
        declared,
        questions,
        id="c",
        family=("test_a.py", size),
        settings=settings,
        suite_seed=seed,
        labs=[lab] if labs is None else labs,
        parameters=parameters,
    ).fields


def claimed(
    sentence="The value passes through.",
    prediction=None,
    *,
    at=None,
    metric=logit_diff,
    verb="denoise",
    quantity="recovery",
    by=None,
    declared=None,
    **beside,
):
    """A claim of which each part can be chosen; its body is always the same code."""

    @claim(sentence, at_least(0.5) if prediction is None else prediction, **(declared or {}))
    def body(lab, pairs, **_):
        more = {} if by is None else {"by": by}
        run = getattr(lab, verb)(pairs, at=at or resid_post(1, span("value")), **more)
        return getattr(run, quantity)(metric, **beside)

    return body


def other_body(**_):
    @claim("The value passes through.", at_least(0.5))
    def body(lab, pairs):
        return lab.denoise(pairs, at=resid_post(1, span("value"))).recovery(logit_diff)

    return body


def only(fields) -> set[str]:
    return {path.split(".")[0].split("[")[0] for path in fields}


BOUNDED = logit_diff(range=(-9, 9))
CHOICES = {
    "sentence": (claimed("Another sentence."), {"sentence"}),
    "threshold": (claimed(prediction=at_least(0.4)), {"prediction.threshold"}),
    "relation": (claimed(prediction=at_most(0.5)), {"prediction.relation"}),
    "expecting": (claimed(prediction=at_least(0.5, expecting=0.7)), {"prediction.expecting"}),
    "smallest": (claimed(prediction=at_least(0.5, smallest=0.7)), {"prediction.smallest"}),
    "alpha": (claimed(prediction=at_least(0.5, alpha=0.01)), {"prediction.alpha"}),
    "power": (claimed(prediction=at_least(0.5, power=0.9)), {"prediction.power"}),
    "margin": (claimed(prediction=greater_than(0.4)), {"prediction.relation", "prediction.threshold"}),
    "upper": (claimed(prediction=between(0.5, 0.9)), {"prediction.relation", "prediction.upper"}),
    "within": (claimed(prediction=negligible(within=0.5)), {"prediction.relation"}),
    "stopping": (claimed(declared={"stopping": "obrien-fleming"}), {"stopping"}),
    "accepted": (claimed(declared={"accept": ["accuracy-only"]}), {"accepted"}),
    "layer": (claimed(at=resid_post(2, span("value"))), {"asked.sites[0].layers[0]"}),
    "layers": (claimed(at=resid_post((1, 2), span("value"))), {"asked.sites[0].layers"}),
    "component": (claimed(at=head(1, 0, span("value"))), {"asked.sites[0].component", "asked.sites[0].heads"}),
    "span": (claimed(at=resid_post(1, span("rest"))), {"asked.sites[0].position.text"}),
    "position": (
        claimed(at=resid_post(1, index(3))),
        {"asked.sites[0].position.kind", "asked.sites[0].position.numbers", "asked.sites[0].position.text"},
    ),
    "edge of a span": (
        claimed(at=resid_post(1, last(span("value")))),
        {"asked.sites[0].position.kind", "asked.sites[0].position.of", "asked.sites[0].position.text"},
    ),
    "part": (claimed(at=resid_post(1, span("value")).along([1.0] * 64)), {"asked.sites[0].along"}),
    "sites": (claimed(at=[resid_post(1, span("value")), resid_post(2, last())]), {"asked.sites"}),
    "direction": (claimed(verb="noise", quantity="change"), {"asked.direction", "asked.quantity"}),
    "quantity": (claimed(quantity="change"), {"asked.quantity"}),
    "intervention": (
        claimed(verb="ablate", quantity="change", by=zero),
        {"asked.direction", "asked.quantity", "asked.intervention.kind"},
    ),
    "metric": (claimed(metric=accuracy), {"asked.metric.name"}),
    "range": (claimed(metric=logit_diff(range=(-9, 9))), {"asked.metric.range"}),
    "option": (claimed(metric=logit_diff(first_token=True)), {"asked.metric.first_token"}),
    "placebo": (claimed(placebo=False), {"asked.controls.placebo_draws"}),
    "waiver": (
        claimed(placebo=Waived("none is needed")),
        {"asked.controls.placebo_draws", "asked.controls.waived"},
    ),
    "positive": (claimed(positive=Waived("slow")), {"asked.controls.waived"}),
    "wrong layer": (claimed(wrong_layer=3), {"asked.controls.wrong_places"}),
    "wrong position": (claimed(wrong_position=last()), {"asked.controls.wrong_places"}),
    "eligible": (claimed(eligible=accuracy), {"asked.eligible"}),
    "both right": (claimed(eligible=accuracy, both_right=True), {"asked.eligible", "asked.both_right"}),
    "body": (other_body(), {"body"}),
}


@pytest.fixture(scope="module")
def usual():
    return fields_of(claimed())


@pytest.mark.parametrize("choice", CHOICES)
def test_each_choice_shows_in_its_own_field_and_in_no_other(usual, choice):
    made, paths = CHOICES[choice]
    assert set(differences(usual, fields_of(made))) == paths


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        (
            claimed(verb="ablate", quantity="drop", by=scale(0.5)),
            claimed(verb="ablate", quantity="drop", by=scale(0.25)),
            {"asked.intervention.amount"},
        ),
        (
            claimed(verb="ablate", quantity="drop", by=mean),
            claimed(verb="ablate", quantity="drop", by=mean(over=OTHERS)),
            {"asked.intervention.over"},
        ),
        (
            claimed(metric=exact_match),
            claimed(metric=exact_match(extract="last_number", max_new_tokens=5)),
            {"asked.metric.extract", "asked.metric.max_new_tokens"},
        ),
        (
            claimed(positive=Waived("slow")),
            claimed(positive=Waived("slower")),
            {"asked.controls.waived.positive"},
        ),
        (
            claimed(metric=BOUNDED, declared={"stopping": "anytime", "looks": 4}),
            claimed(metric=BOUNDED, declared={"stopping": "anytime", "looks": 5}),
            {"stopping.looks"},
        ),
        (
            claimed(metric=BOUNDED, declared={"stopping": "anytime", "looks": 4}),
            claimed(metric=BOUNDED, declared={"stopping": "obrien-fleming", "looks": 4}),
            {"stopping.rule"},
        ),
    ],
)
def test_options_of_options_show_too(before, after, paths):
    assert set(differences(fields_of(before), fields_of(after))) == paths


def test_what_says_nothing_else_changes_nothing(usual):
    assert fields_of(claimed(prediction=at_least(0.5, alpha=0.05))) == usual
    assert fields_of(claimed(), seed="7") == usual, "the suite's seed belongs to a look"
    assert fields_of(claimed(), pairs=planted.pairs(per_cluster=2)) == usual
    assert fields_of(claimed(prediction=greater_than(1))) == fields_of(claimed(prediction=greater_than(1.0)))


def test_the_family_and_a_parameter_show(usual):
    assert set(differences(usual, fields_of(claimed(), size=4))) == {"family.size"}
    one, two = fields_of(claimed(), mode="a", n=1), fields_of(claimed(), mode="b", n=1)
    assert set(differences(one, two)) == {"parameters.mode"}
    odd = fields_of(claimed(), metric=accuracy, at=resid_post(1), what=object(), each=(1, 2.5))["parameters"]
    assert odd == {
        "at": {"component": "resid_post", "layers": [1], "position": {"kind": "every"}},
        "each": [1, "2.5"],
        "metric": {"name": "accuracy"},
        "what": {"kind": "object"},
    }


def test_the_version_of_the_statistics_shows(usual, monkeypatch):
    monkeypatch.setattr(specs, "STATISTICS", "next")
    assert set(differences(usual, fields_of(claimed()))) == {"statistics"}


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (Settings(dtype="bfloat16"), "settings.dtype"),
        (Settings(quantize="int8"), "settings.quantize"),
        (Settings(trust_remote_code=True), "settings.remote_code"),
    ],
)
def test_how_a_model_is_loaded_shows(usual, settings, path):
    assert set(differences(usual, fields_of(claimed(), settings=settings))) == {path}


def test_a_lab_of_ones_own_has_its_own_settings(usual):
    own = Lab.load("organism:planted", settings=Settings(dtype="float64"))
    assert set(differences(usual, fields_of(claimed(), labs=[own]))) == {"settings.dtype"}
    assert set(differences(usual, fields_of(claimed(), labs=[own.rehearsal()]))) == {"settings.dtype"}


def test_where_and_with_how_much_memory_it_is_measured_does_not(usual):
    assert fields_of(claimed(), settings=Settings(memory=5, device_map="auto", progress=False)) == usual


def altered(**changed):
    first, *rest = PAIRS
    return Pairs([dataclasses.replace(first, **changed), *rest])


@pytest.mark.parametrize(
    ("pairs", "parts"),
    [
        (altered(clean="Janet says : 5 now . Answer:", spans={}), {"hash", "prompts"}),
        (altered(answer="5"), {"hash"}),
        (altered(id="another"), {"hash"}),
        (altered(cluster="another"), {"hash", "clusters.hash", "clusters.number"}),
        (Pairs(list(PAIRS)[::-1]), {"hash", "clusters.hash"}),
        (Pairs(list(PAIRS)[:-1]), {"hash", "clusters.hash", "number", "prompts"}),
    ],
    ids=["prompt", "answer", "id", "cluster", "order", "number"],
)
def test_pairs_show_by_what_is_other_about_them(usual, pairs, parts):
    if not pairs[0].spans:
        pairs = Pairs([dataclasses.replace(p, spans=PAIRS[0].spans) if not p.spans else p for p in pairs])
    assert set(differences(usual, fields_of(claimed(), pairs=pairs))) == {f"pairs[0].{part}" for part in parts}


def test_that_pairs_are_independent_is_said_outside_of_the_data(usual):
    iid = Pairs([dataclasses.replace(p, cluster=None) for p in PAIRS], iid=True)
    found = differences(usual, fields_of(claimed(), pairs=iid))
    assert found["units[0]"] == ("clusters", "independent pairs")
    assert set(found) == {"units[0]", "pairs[0].clusters", "pairs[0].hash"}
    assert only(found) - set(DATA) == {"units"}, "another analysis is no replication"


def test_a_half_remembers_how_it_was_drawn(usual):
    halves = PAIRS.split(discovery=0.4, seed=3)
    said = fields_of(claimed(), pairs=halves.confirmation)["pairs"][0]["split"]
    assert said == {"half": "confirmation", "of": None, "seed": 3, "share": "0.4", "whole": PAIRS.digest}
    again = fields_of(claimed(), pairs=halves.confirmation.split(seed=1).discovery)["pairs"][0]["split"]
    assert (again["half"], again["seed"], again["of"]) == ("discovery", 1, said)
    assert fields_of(claimed(), pairs=halves.discovery.as_chat()[:7])["pairs"][0]["split"]["half"] == "discovery"
    # The same pairs written down by hand: the split alone differs.
    same = Pairs(list(halves.confirmation))
    assert same == halves.confirmation and same.digest == halves.confirmation.digest
    found = differences(fields_of(claimed(), pairs=same), fields_of(claimed(), pairs=halves.confirmation))
    assert set(found) == {"pairs[0].split"}


def test_another_model_shows_in_models_alone(usual, tmp_path):
    assert only(differences(usual, fields_of(claimed(), name="organism:bypass"))) == {"models"}
    folder = shutil.copytree(ducks.CHECKPOINT, tmp_path / "mine")
    before = fields_of(claimed(), name=str(folder))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    found = differences(before, fields_of(claimed(), name=str(folder)))
    assert set(found) == {"models[0].weights"}, "of the same name, in the same process"


def test_objects_have_no_name_and_are_refused():
    class Model:
        name = "mine"

    lab = Lab(Model(), object())
    declared = getattr(claimed(), CLAIM_ATTRIBUTE)
    question = lab.rehearsal().denoise(PAIRS, at=resid_post(1)).recovery(logit_diff).question
    with pytest.raises(RecordError, match=r"mine was given as an object.*save_pretrained"):
        spec_of(declared, [question], id="c", family=("f", 1), settings=Settings(), suite_seed="0", labs=[lab])


@claim("Each layer adds.", monotone([1, "two", (3, 0)]))
def orders(lab, pairs):
    at = {1: 1, "two": 2, (3, 0): 3}
    return {name: lab.denoise(pairs, at=resid_post(n, last())).recovery(logit_diff) for name, n in at.items()}


@claim("The second layer is larger.", greater_than(0.1))
def difference(lab, pairs):
    late = lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)
    return late - lab.denoise(pairs, at=resid_post(1, last())).recovery(logit_diff)


@claim("The value passes by either metric.", at_least(0.3))
@claim.multiverse(metric=[logit_diff, accuracy], layer=[1, 2], share=0.5)
def variants(lab, pairs, metric, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)


def test_orders_differences_and_variants_are_named_too():
    asked = fields_of(orders)["asked"]["effects"]
    assert [one["name"] for one in asked] == [1, "two", [3, 0]]
    assert [one["asked"]["sites"][0]["layers"] for one in asked] == [[1], [2], [3]]
    assert fields_of(orders)["prediction"]["order"] == [1, "two", [3, 0]]
    assert [q["sites"][0]["layers"] for q in fields_of(difference)["asked"]["difference"]] == [[2], [1]]
    several = fields_of(variants)
    assert several["variants"]["share"] == "0.5"
    assert (
        list(several["asked"]["variants"])
        == several["variants"]["names"]
        == [
            "metric=logit_diff, layer=1",
            "metric=logit_diff, layer=2",
            "metric=accuracy, layer=1",
            "metric=accuracy, layer=2",
        ]
    )
    assert fields_of(claim("Top.", top(1, ["two"]))(orders.__wrapped__))["prediction"]["names"] == ["two"]


def test_a_change_inside_of_them_is_found_where_it_is():
    @claim("The second layer is larger.", greater_than(0.1))
    def other(lab, pairs):
        late = lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)
        return late - lab.denoise(pairs, at=resid_post(0, last())).recovery(logit_diff)

    found = differences(fields_of(difference), fields_of(other))
    assert set(found) == {"asked.difference[1].sites[0].layers[0]", "body"}


def test_a_seed_that_a_variant_names_is_in_the_spec_and_the_suites_is_not():
    @claim("The value passes with either seed.", at_least(0.3))
    @claim.multiverse(seed=[0, 1])
    def seeds(lab, pairs):
        return lab.denoise(pairs, at=resid_post(1, last())).recovery(logit_diff)

    under = [fields_of(seeds, seed=seed) for seed in ("0", "1", "5")]
    assert under[0] == under[1] == under[2]
    assert [q["seed"] for q in under[0]["asked"]["variants"].values()] == ["0", "1"]
    assert "seed" not in fields_of(difference)["asked"]["difference"][0]


def test_an_effect_whose_name_reads_otherwise_in_every_run_is_refused():
    names = [object() for _ in range(3)]

    @claim("Each adds.", monotone(names))
    def body(lab, pairs):
        return {n: lab.denoise(pairs, at=resid_post(i, last())).recovery(logit_diff) for i, n in enumerate(names)}

    with pytest.raises(RecordError, match="reads otherwise in every run"):
        fields_of(body)


def test_a_spec_is_plain_data_with_one_hash(usual):
    text = canonical(usual)
    assert json.loads(text) == usual
    assert "NaN" not in text and "organism:planted" in text
    made = specs.Spec("c", usual)
    assert made.digest == specs.Spec("another id", json.loads(text)).digest
    assert made.digest != made.data_digest
    assert made.in_family_of(9).digest != made.digest
    assert made.in_family_of(9).data_digest == made.data_digest


def test_a_line_to_read_is_that_of_the_report():
    for made in (
        claimed(),
        difference,
        orders,
        claimed(verb="ablate", quantity="drop", by=zero),
        *map(claimed_at, SITES),
    ):
        declared = getattr(made, CLAIM_ATTRIBUTE)
        (effect,) = promised(declared, {"lab": Lab.load("organism:planted"), "pairs": PAIRS}, KNOWN)
        assert summaries(fields_of(made)) == [effect.question.summary]
    assert summaries(fields_of(variants))[0] == (
        "metric=logit_diff, layer=1: recovery(logit_diff), denoise resid_post L1 @ last()"
    )


KNOWN = Known("n", "c", Family("f", 1), "")
SITES = [resid_post((0, 1, 2), index(0, 1)), head(1, (0, 1), last("Answer:")), resid_post(1, last(span("value")))]


def claimed_at(site):
    return claimed(at=site)


def test_changes_are_sentences():
    before, after = fields_of(claimed()), fields_of(claimed("Another.", at_least(0.35)))
    assert changes(differences(before, after)) == [
        "prediction.threshold: 0.5 -> 0.35",
        "sentence: The value passes through. -> Another.",
    ]
    assert changes(differences(before, fields_of(other_body()))) == ["body: the code of the test is another"]
    moved = fields_of(claimed(), pairs=altered(cluster="another"))
    told = changes(differences(before, moved))
    assert [line.split(":")[0] for line in told] == ["pairs[0].clusters.hash", "pairs[0].clusters.number"]
    assert all(len(part) == 8 for part in told[0].split(": ")[1].split(" -> ")), "hashes by their first digits"
    assert changes(differences(before, fields_of(claimed(), pairs=altered(answer="5"))))[0].startswith(
        "pairs[0].hash: "
    )
    long = changes({"sentence": ("a" * 200, None)})
    assert long == [f"sentence: {'a' * 57}... -> none"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text("xyz", min_size=1, max_size=1), PLAIN),
    st.dictionaries(st.text("xyz", min_size=1, max_size=1), PLAIN),
)
def test_two_specs_differ_in_no_field_only_where_they_are_equal(one, other):
    """None and a field that is absent are the same: nothing was chosen."""
    found = differences(one, other)
    assert bool(found) == (bare(one) != bare(other))
    assert differences(one, one) == {}
    assert {path: change[::-1] for path, change in found.items()} == differences(other, one)
    assert len(changes(found)) <= len(found)


def bare(value):
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if one is not None}
    return [bare(one) for one in value] if isinstance(value, list) else value


def test_a_probability_says_its_range():
    assert fields_of(claimed(metric=probability))["asked"]["metric"] == {"name": "probability", "range": ["0.0", "1.0"]}


def test_one_pair_alone_is_registered_as_pairs():
    pair = Pair("a 1 b", "a 2 b", "1", "2", cluster="a", spans={"value": (2, 3)})
    assert fields_of(claimed(), pairs=Pairs([pair]))["pairs"][0]["number"] == 1


def test_data_are_prompts_and_weights_under_whichever_name() -> None:
    def data(**changed: object) -> str:
        model = {"name": "a", "weights": "w", **{k: v for k, v in changed.items() if k in ("name", "weights")}}
        pairs = {"hash": "h", "prompts": "p", **{k: v for k, v in changed.items() if k in ("hash", "prompts")}}
        return Spec("id", {"models": [model], "pairs": [pairs]}).data_digest

    assert data() == data(name="b") == data(hash="other clusters")
    assert len({data(), data(weights="v"), data(prompts="q")}) == 3
