"""Registered claims as forms: what the specs say is told, and what they cannot know is left open."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.cli import main
from causaltest.errors import RecordError
from causaltest.recording.lock import Entry, Lock, chained
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec
from causaltest.reporting.export.aspredicted import PAGE_CHARACTERS, aspredicted
from causaltest.reporting.export.filled import filled
from causaltest.reporting.export.osf import osf
from causaltest.reporting.export.outline import outline
from causaltest.reporting.export.study import Study, study_of
from causaltest.reporting.export.wording import folded, listed, natural, runs

FORMS = (osf, aspredicted, outline)
DIGEST = "c0ffee" * 10 + "abcd"
BATCH = DIGEST[:12]
PAIRS = {
    "hash": "aa" * 32,
    "prompts": "bb" * 32,
    "number": 240,
    "clusters": {"number": 60, "hash": "cc" * 32},
    "split": None,
}
SPLIT = {"half": "confirmation", "share": "0.25", "seed": 7, "whole": "dd" * 32, "of": None}
MODEL = {"name": "org/model", "commit": "ee" * 20}
PREDICTION = {
    "kind": "Prediction",
    "relation": "at_least",
    "threshold": "0.3",
    "expecting": "0.6",
    "power": "0.8",
    "alpha": "0.05",
    "smallest": None,
    "upper": None,
}


def experiment(layer: int = 6, *, metric: str = "accuracy", **changed: Any) -> dict[str, Any]:
    return {
        "model": "model 1",
        "pairs": "pairs 1",
        "direction": "denoise",
        "quantity": "recovery",
        "metric": {"name": metric},
        "intervention": {"kind": "replace"},
        "controls": {"placebo_draws": 8},
        "sites": [{"component": "resid_post", "position": {"kind": "thought", "numbers": [0]}, "layers": [layer]}],
        **changed,
    }


def spec(**changed: Any) -> dict[str, Any]:
    return {
        "accepted": [],
        "asked": experiment(),
        "body": "ff" * 32,
        "family": {"name": "test_a.py", "size": 1},
        "models": [MODEL],
        "pairs": [PAIRS],
        "parameters": {},
        "prediction": PREDICTION,
        "sentence": "Layer 6 carries it.",
        "settings": {"dtype": "float32", "quantize": None, "remote_code": False},
        "statistics": "1",
        "stopping": None,
        "units": ["clusters"],
        "variants": None,
        **changed,
    }


def entry(id: str = "test_a.py::test_one", *, seen: tuple[str, ...] = (), prior: tuple = (), **changed: Any) -> Entry:
    return Entry(id, spec(**changed), BATCH, seen, prior)


def lock_of(*entries: Entry, events: tuple[dict[str, Any], ...] = ()) -> Lock:
    registered = {
        "kind": "register",
        "claims": len(entries),
        "digest": DIGEST,
        "at": "2031-05-04T03:02:01Z",
        "commit": "",
        "ledger": {"lines": 0, "head": ""},
    }
    first = chained(registered, previous="")
    return Lock({e.id: e for e in entries}, (first, *(chained(e, previous=first["hash"]) for e in events)))


def study(*entries: Entry, looks: tuple[dict[str, Any], ...] = (), events: tuple = ()) -> Study:
    lock = lock_of(*entries, events=events)
    return study_of(lock, ids=lock.entries, looks=looks, lock_hash="01" * 32)


def texts(*entries: Entry, **more: Any) -> list[str]:
    return [form(study(*entries, **more)).text() for form in FORMS]


def prediction(relation: str = "at_least", threshold: str = "0.3", **changed: Any) -> dict[str, Any]:
    return {**PREDICTION, "relation": relation, "threshold": threshold, "expecting": None, **changed}


@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        (PREDICTION, "the effect is 0.3 or more (expected: 0.6)."),
        (prediction("at_most", "0.1", smallest="0.05"), "the effect is 0.1 or less (smallest of interest: 0.05)."),
        (prediction("between", "0.2", upper="0.4"), "the effect lies between 0.2 and 0.4."),
        (prediction("negligible", "0.05"), "the effect lies between -0.05 and 0.05."),
        (prediction("greater_than", "1e-07"), "the effect is more than 1e-07."),
        (prediction("unchanged", 2), "the effect has not fallen by more than 2."),
        (
            {
                "kind": "Monotone",
                "order": [3, 6, 9],
                "expecting": "0.1",
                "power": "0.8",
                "alpha": "0.05",
                "smallest": None,
            },
            "the effect rises along 3 < 6 < 9, and no step falls (expected of each step: 0.1).",
        ),
        (
            {
                "kind": "Top",
                "k": 1,
                "names": ["9.6"],
                "expecting": None,
                "power": "0.8",
                "alpha": "0.05",
                "smallest": None,
            },
            "the effect is largest for 9.6.",
        ),
        (
            {
                "kind": "Top",
                "k": 3,
                "names": [1, 2],
                "expecting": None,
                "power": "0.8",
                "alpha": "0.05",
                "smallest": None,
            },
            "the effect is among the 3 largest for 1 and 2.",
        ),
    ],
)
def test_every_prediction_is_told_with_its_numbers(predicted, said):
    for text in texts(entry(prediction=predicted)):
        assert f'1. "Layer 6 carries it." Predicted: {said} Measured: recovery(accuracy), denoise resid_post L6' in text


def test_a_difference_is_called_one():
    both = {"difference": [experiment(9), experiment(2)]}
    for text in texts(entry(asked=both, prediction=prediction("greater_than", "0.1"))):
        assert "Predicted: the difference is more than 0.1. Measured: recovery(accuracy), denoise resid_post L9" in text
        assert "minus recovery(accuracy), denoise resid_post L2" in text
        assert "on a difference with a range: BCa bootstrap, t on cluster totals and a betting bound" in text


def test_parametrised_claims_are_told_once():
    family = {"name": "test_a.py", "size": 40}
    many = [
        entry(f"test_a.py::test_one[{layer}]", asked=experiment(layer), parameters={"layer": layer}, family=family)
        for layer in range(40)
    ]
    for text in texts(*many):
        assert text.count('"Layer 6 carries it."') == 1
        assert "Predicted: the effect is 0.3 or more (expected: 0.6). 40 claims: layer = 0-39. Measured:" in text
        assert "denoise resid_post L{0-39} @ thought 0." in text
        assert "each is judged at 0.05/40 = 0.0013 (Bonferroni)" in text
        assert "\n2. " not in text


def test_claims_of_one_test_that_say_different_things_are_told_apart():
    for changed in (
        {"sentence": "Another."},
        {"prediction": prediction("at_least", "0.4")},
        {"pairs": [{**PAIRS, "hash": "ab" * 32}]},
        {"models": [{**MODEL, "commit": "ab" * 20}]},
        {"stopping": {"rule": "anytime", "looks": 20}},
    ):
        form = osf(study(entry("test_a.py::test_one[1]"), entry("test_a.py::test_one[2]", **changed)))
        assert '\n2. "' in form.text(), changed


def test_a_family_that_is_told_in_part_says_so():
    for text in texts(entry(family={"name": "test_a.py", "size": 3})):
        assert "Family test_a.py (3 claims, of which 1 is told here), registered 2031-05-04." in text
        assert "each is judged at 0.05/3 = 0.017 (Bonferroni)." in text


def test_pairs_are_told_with_clusters_split_and_hash():
    iid = {**PAIRS, "clusters": None, "hash": "12" * 32, "number": 1}
    for text in texts(
        entry(), entry("test_a.py::test_two", pairs=[{**PAIRS, "split": SPLIT}]), entry("b.py::c", pairs=[iid])
    ):
        assert "1 claim: 240 pairs of prompts in 60 clusters. SHA-256 aaaaaaaaaaaaaaaa..." in text
        assert (
            "240 pairs of prompts in 60 clusters; the confirmation half of a split by whole clusters, drawn with seed "
            "7, which gave 0.25 of the clusters to discovery."
        ) in text
        assert "1 claim: 1 pair of prompts, each independent of the others. SHA-256 1212121212121212..." in text


def test_what_had_seen_the_pairs_is_existing_data():
    seen = "a map (72 sites) has seen 60 of the 240 pairs"
    for text in texts(entry(seen=(seen,)), entry("test_a.py::test_two")):
        assert "For 1 of 2 claims, no sweep, search or earlier measurement of the pairs was on record" in text
        assert f"For 1 claim: {seen}." in text
    for text in texts(entry(seen=(seen,))):
        assert "no sweep, search or earlier measurement" not in text
    for text in texts(entry()):
        assert "For the claim, no sweep, search or earlier measurement" in text


def test_looks_since_registration_are_told_and_warned_of():
    """A form that is filled in after the data were seen must not pass for one from before."""
    look = {"kind": "look", "claim": "test_a.py::test_one", "at": "2031-06-01T00:00:00Z"}
    others = {"kind": "look", "claim": "test_a.py::test_gone", "at": "2031-06-02T00:00:00Z"}
    two = {**look, "claim": "test_a.py::test_two", "at": "2031-06-03T00:00:00Z"}
    for form in FORMS:
        for looks, said in (
            ((look,), "1 claim of 2 has been measured since they were registered (1 look in the ledger, 2031-06-01)."),
            ((look, two), "All 2 claims have been measured since registration (2 looks in the ledger, 2031-06-01 to "),
        ):
            made = form(study(entry(), entry("test_a.py::test_two"), looks=(*looks, others, {"kind": "sweep"})))
            assert said in made.text()
            assert any(warning.startswith(said) for warning in made.warnings)
        assert "The claim has been measured since registration" in form(study(entry(), looks=(look,))).text()
        assert "been measured since" not in form(study(entry(), looks=(others,))).text()


def test_amendments_are_told_with_date_reason_and_fields():
    before = spec(prediction={**PREDICTION, "threshold": "0.2"})
    event = {"kind": "amend", "claim": "test_a.py::test_one", "why": "a slip of\nthe pen", "at": "2031-05-05T00:00:00Z"}
    other = {**event, "claim": "test_a.py::test_other"}
    for text in texts(entry(prior=(before,)), events=(event, other)):
        assert "Amended since it was first registered: prediction.threshold: 0.2 -> 0.3." in text
        assert "Amended on 2031-05-05: test_a.py::test_one, because: a slip of the pen" in text
        assert "test_other" not in text


def test_stopping_variants_and_waivers_are_told():
    waived = experiment(controls={"placebo_draws": 0, "waived": {"self_patch": "it was shown elsewhere"}})
    variants = {"names": ["layer=5", "layer=6"], "share": "0.5"}
    asked = {"variants": {"layer=5": experiment(5), "layer=6": waived}}
    made = entry(asked=asked, variants=variants, stopping={"rule": "obrien-fleming", "looks": 4})
    for text in texts(made):
        assert "It is measured in 2 variants (layer=5; layer=6) and holds where 50 % of them do." in text
        assert "It may be looked at 4 times (O'Brien-Fleming)." in text
        assert "with up to 4 looks; alpha is shared by O'Brien-Fleming boundaries" in text
        assert "Left out in some claims: self-patch, because: it was shown elsewhere" in text
        assert "in variants: a partial conjunction test over them." in text


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ({}, "on a share of pairs: the exact bound at the effective number of pairs (Korn-Graubard)."),
        ({"pairs": [{**PAIRS, "clusters": None}]}, "on a share of pairs: the exact binomial bound (Clopper-Pearson)."),
        (
            {"asked": experiment(metric="logit_diff")},
            "on a mean without a range: BCa bootstrap and t on cluster totals",
        ),
        (
            {"asked": experiment(metric="probability")},
            "on a mean with a range: BCa bootstrap, t on cluster totals and a betting bound",
        ),
        (
            {"asked": {"difference": [experiment(), experiment(5)]}, "prediction": prediction("greater_than", "0.0")},
            "on which of two effects is larger: sign-flips and t on the clusters' differences.",
        ),
        (
            {
                "asked": {"difference": [experiment(), experiment(5)]},
                "prediction": prediction("greater_than", "0.0"),
                "pairs": [{**PAIRS, "clusters": None}],
            },
            "on which of two effects is larger: McNemar's exact test.",
        ),
        ({"prediction": prediction("negligible", "0.1")}, "on an effect within bounds: two one-sided tests"),
    ],
)
def test_the_tests_are_those_that_will_judge(changed, test):
    for text in texts(entry(**changed)):
        assert f"1 claim, {test}" in text


def test_a_metrics_range_is_told_and_makes_it_bounded():
    bounded = experiment()
    bounded["metric"] = {"name": "logit_diff", "range": ["-20.0", "20.0"], "first_token": True}
    for text in texts(entry(asked=bounded)):
        assert "values that lie outside [-20, 20] are clipped to it; of an answer of several tokens the first" in text
        assert "on a mean with a range" in text
        assert "what lies outside of a metric's range is clipped to it." in text


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({}, "clean run gives the answer, the corrupt run does not give it, and the two answers differ."),
        ({"both_right": True}, "clean run gives the answer, the corrupt run gives its own answer, and the two answers"),
        ({"metric": "logit"}, "For recovery by logit: all pairs count."),
        ({"metric": "logit", "eligible": {"name": "accuracy"}}, "the two answers differ (by accuracy)."),
    ],
)
def test_which_pairs_count_is_told(changed, rule):
    for text in texts(entry(asked=experiment(**changed))):
        assert rule in text
        assert ("all pairs count" in text) == ("all pairs count" in rule)
        assert ("its own answer" in text) == ("both_right" in changed)


def test_models_are_told_by_what_they_are_known_by():
    folder = {"name": "reasoner", "weights": "1234567890abcdef" * 4, "tokenizer": "fedcba0987654321" * 4}
    for text in texts(entry(), entry("test_a.py::test_two", models=[MODEL, folder])):
        assert "org/model (commit eeeeeeeeeeeeeeee): 2 claims." in text
        assert "reasoner (weights 1234567890abcdef, tokenizer fedcba0987654321): 1 claim." in text


def test_controls_that_are_not_measured_are_told():
    without = "Not measured in some claims: the placebo."
    for text in texts(entry(asked=experiment(controls={"placebo_draws": 0}))):
        assert without in text
    for text in texts(entry(asked=experiment(controls={"placebo_draws": 0, "waived": {"placebo": "it is a decoy"}}))):
        assert without not in text
        assert "Left out in some claims: placebo, because: it is a decoy" in text
    for text in texts(entry(asked=experiment(controls={"placebo_draws": 16}))):
        assert "must beat it (16 draws per pair)." in text


def test_only_what_is_used_is_told():
    for text in texts(entry()):
        for absent in (
            "- noising",
            "ablation",
            "steering",
            "logit difference",
            "Page's trend",
            "O'Brien",
            "normalised",
        ):
            assert absent not in text, absent
    noised = experiment(metric="logit_diff", direction="noise", quantity="drop")
    for text in texts(entry(asked=noised)):
        assert "- noising: activations of the corrupt run" in text
        assert "normalised drop: sum(clean - patched) / sum(clean - corrupt)" in text
        assert "- denoising" not in text


def test_variants_are_judged_each_by_its_own_test():
    asked = {"variants": {"metric=accuracy": experiment(), "metric=logit": experiment(metric="logit")}}
    for text in texts(entry(asked=asked, variants={"names": list(asked["variants"]), "share": "1.0"})):
        assert "and holds where all of them do." in text
        assert "1 claim, on a share of pairs: the exact bound" in text
        assert "1 claim, on a mean without a range" in text


def test_a_strangers_lock_writes_no_lines_of_its_own():
    """Text in a lock can neither begin a heading nor steer a terminal."""
    nasty = "a\n\n## b\x1b[2J\u202e\x00"
    event = {"kind": "amend", "claim": nasty, "why": nasty, "at": "2031-05-05T00:00:00Z"}
    look = {"kind": "look", "claim": nasty, "at": nasty}
    pairs, model = (
        {**PAIRS, "hash": nasty, "split": {**SPLIT, "seed": nasty}},
        {**MODEL, "name": nasty, "commit": nasty},
    )
    waived = {"placebo_draws": 8, "waived": {nasty: nasty}}
    made = entry(
        nasty,
        seen=(nasty,),
        prior=(spec(sentence=f"{nasty}!"),),
        sentence=nasty,
        family={"name": nasty, "size": 2},
        pairs=[pairs],
        models=[model],
        parameters={nasty: nasty},
        asked=experiment(controls=waived),
        settings={"dtype": nasty},
        statistics=nasty,
        variants={"names": [nasty], "share": "1.0"},
    )
    for form in FORMS:
        filled = form(study(made, looks=(look,), events=(event,)))
        for text in (filled.text(), *filled.warnings):
            assert all(c.isprintable() or c == "\n" for c in text)
            assert "\n## b" not in text


def test_the_osf_form_has_its_questions_in_order():
    headings = re.findall(r"^##+ (.*)$", osf(study(entry())).text(), re.MULTILINE)
    assert headings == [
        *("Study information", "Title", "Description", "Hypotheses"),
        *("Design plan", "Study type", "Blinding", "Study design", "Randomization"),
        *("Sampling plan", "Existing data", "Explanation of existing data", "Data collection procedures"),
        *("Sample size", "Sample size rationale", "Stopping rule"),
        *("Variables", "Manipulated variables", "Measured variables", "Indices"),
        *("Analysis plan", "Statistical models", "Transformations", "Inference criteria", "Data exclusion"),
        *("Missing data", "Exploratory analysis", "Other"),
    ]


def test_the_aspredicted_form_counts_each_answer():
    form = aspredicted(study(entry()))
    text = form.text()
    parts = re.split(r"^### (\d\. .*) \(([\d,]+) characters\)$", text, flags=re.MULTILINE)[1:]
    headings, counts, answers = parts[::3], parts[1::3], parts[2::3]
    assert [heading.split(".")[0] for heading in headings] == list("123456789")
    for count, answer in zip(counts, answers, strict=True):
        # paragraphs are parted by an empty line on the page, and by a line end where they are pasted
        assert int(count.replace(",", "")) == len(answer.strip().replace("\n\n", "\n"))


def test_answers_that_fill_more_than_a_page_are_warned_of():
    few = aspredicted(study(entry()))
    assert sum(q.characters for s in few.sections for q in s.questions) < PAGE_CHARACTERS
    assert few.warnings == ()
    many = [entry(f"test_a.py::test_{i}", sentence=f"Claim number {i}.") for i in range(60)]
    (warning,) = aspredicted(study(*many)).warnings
    assert "AsPredicted prints all of them on one page" in warning
    assert osf(study(*many)).warnings == ()


def test_the_gaps_are_marked_and_counted():
    for form in FORMS:
        made = form(study(entry()))
        assert made.gaps == len(re.findall(r"\[TO WRITE: [^\]]+\]", made.text())) > 3


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.text(max_size=2), max_size=2), st.just({})
)


def places_in(data: Any, at: tuple = ()) -> list[tuple]:
    """The path of every value in nested mappings and lists."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(place for key, value in inner for place in places_in(value, (*at, key)))] if at or inner else []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_spec_of_another_kind_is_refused_and_never_a_crash(data):
    """A lock checks its hashes and not what its specs say, so a stranger's may say anything."""
    said = copy.deepcopy(
        spec(
            asked={"variants": {"a": {"difference": [experiment(), experiment(5)]}}},
            variants={"names": ["a"], "share": "1.0"},
            stopping={"rule": "anytime", "looks": 20},
            pairs=[{**PAIRS, "split": SPLIT}],
        )
    )
    *way, last = data.draw(st.sampled_from([place for place in places_in(said) if place]))
    holder: Any = said
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(JUNK)
    lock = lock_of(Entry("test_a.py::test_one", said, BATCH))
    for form in ("osf", "aspredicted", "markdown"):
        try:
            assert filled(form, lock, ids=lock.entries, looks=(), lock_hash="").text().startswith("# ")
        except RecordError as error:
            assert "is not as this causaltest writes them" in str(error)


# Folding: no fold may say more than the lines that it stands for.


def unfolded(line: str) -> list[str]:
    """All lines that a folded one stands for, by hand."""
    parts = re.split(r"\{([\d, -]+)\}", line)
    choices = []
    for numbers in parts[1::2]:
        choice: list[int] = []
        for span in numbers.split(", "):
            first, _, last = span.partition("-")
            choice += range(int(first), int(last or first) + 1)
        choices.append(choice)
    return [
        "".join(text for pair in zip(parts[::2], [*map(str, chosen), ""], strict=True) for text in pair)
        for chosen in itertools.product(*choices)
    ]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.sampled_from(["x", "y"])), max_size=20))
def test_folds_say_exactly_what_the_lines_say(places):
    lines = [f"{name} L{layer} @ thought {k}" for layer, k, name in places]
    told = [one for line in folded(lines) for one in unfolded(line)]
    assert sorted(told) == sorted(set(lines))


def test_numbers_that_are_a_part_of_something_are_not_folded():
    for lines in (["H0-2", "H0-3"], ["by scale(0.5)", "by scale(0.6)"], ["at -1", "at -2"]):
        assert folded(lines) == lines
    assert folded(["L0", "L1", "L3"]) == ["L{0, 1, 3}"]


def test_lists_read_well():
    assert [listed([]), listed("a"), listed("ab"), listed("abc")] == ["none", "a", "a and b", "a, b and c"]
    assert listed(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11"
    assert listed(range(13)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"
    assert runs([5, 1, 2, 3, 5, 8, 9]) == "1-3, 5, 8, 9"
    assert sorted(["t[10]", "t[9]", "t", "s²"], key=natural) == ["s²", "t", "t[9]", "t[10]"]


# The command.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record with three claims, two of which are of one test."""
    names = ("test_one[1]", "test_one[2]", "test_two")
    register(Record(tmp_path), [Candidate(Spec(f"test_a.py::{name}", spec())) for name in names])
    return tmp_path


def run(*arguments: object):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


@pytest.mark.parametrize("form", ["osf", "aspredicted", "markdown"])
def test_the_command_prints_a_form_and_what_is_left(folder, form):
    ran = run(folder, "--format", form)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith("# ")
    assert hashlib.sha256((folder / "claims.lock").read_bytes()).hexdigest() in ran.stdout
    assert re.fullmatch(r"\d+ places are left to write, each marked \[TO WRITE: \.\.\.\]\.\n", ran.stderr)


def test_one_claim_or_one_test_can_be_picked(folder):
    assert "3 claims" in run(folder, "--format", "osf").stdout
    one = run(folder, "--format", "osf", "--claim", "test_a.py::test_one[2]").stdout
    assert "23 claims" not in one
    assert '"Layer 6 carries it."' in one
    assert "2 claims: 1; 2." in run(folder, "--format", "osf", "--claim", "test_a.py::test_one").stdout
    unknown = run(folder, "--format", "osf", "--claim", "test_a.py::test_tow")
    assert unknown.exit_code == 1
    assert "test_a.py::test_tow is not registered. Near it: test_a.py::test_two" in unknown.output


def test_a_form_that_was_filled_in_by_hand_is_not_written_over(folder):
    file = folder / "osf.md"
    assert run(folder, "--format", "osf", "-o", file).exit_code == 0
    written = file.read_text(encoding="utf-8")
    assert written == run(folder, "--format", "osf").stdout
    file.write_text(f"{written}by hand", encoding="utf-8")
    again = run(folder, "--format", "osf", "-o", file)
    assert again.exit_code == 1
    assert "may have been filled in by hand" in again.output
    assert file.read_text(encoding="utf-8").endswith("by hand")


def test_a_folder_without_claims_is_told_what_to_do(tmp_path):
    ran = run(tmp_path, "--format", "osf")
    assert ran.exit_code == 1
    assert f"register them first, with `causaltest register {tmp_path}`" in ran.output


def test_a_lock_that_was_changed_by_hand_fills_no_form(folder):
    lock = folder / "claims.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace("Layer 6", "Layer 7", 1), encoding="utf-8")
    ran = run(folder, "--format", "osf")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "does not hold, so nothing is filled in from it" in ran.output


def test_exporting_is_light(folder):
    code = (
        "import sys; from causaltest.cli import main;"
        "main(['export', sys.argv[1], '--format', 'osf'], standalone_mode=False);"
        "print([name for name in ('torch', 'transformers', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout.splitlines()[-1]
