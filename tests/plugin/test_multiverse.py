"""A claim in variants, run by pytest: one plan, one verdict, one row, however it is selected."""

from __future__ import annotations

import json

import pytest

READER = """
@claim("The reader holds the value.", at_least(0.5), id="reader")
@claim.multiverse(metric=[logit_diff(range=(-20, 20)), accuracy], layer=[1, 2])
def test_reader(lab, pairs, metric, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)
"""
MIXED = """
@claim.multiverse(where=["reader", "token"], share=SHARE)
@claim("The value is held.", at_least(0.5), id="mixed")
def test_mixed(lab, pairs, where):
    position = last() if where == "reader" else span("value")
    return lab.denoise(pairs, at=resid_post(3, position)).recovery(accuracy)
"""


def written(pytester, name="out.json"):
    return {c["id"]: c for c in json.loads((pytester.path / name).read_text())}


def test_all_variants_hold_and_are_listed(claims, pytester):
    result = claims(READER, "-v", "--causal-json=out.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "  because *SUPPORTED in 4 of 4 variants.*",
            "  variants    metric=logit_diff, layer=1  1.000  *  n 45  SUPPORTED*",
            "              metric=logit_diff, layer=2  1.000  *  n 45  SUPPORTED*",
            "              metric=accuracy, layer=1    1.000  *  n 45  SUPPORTED*",
        ]
    )
    result.stdout.fnmatch_lines(["reader  1.000 *>= 0.5 *SUPPORTED*", "1 supported *"])
    claim = written(pytester)["reader"]
    assert [v["verdict"] for v in claim["variants"]] == ["SUPPORTED"] * 4
    assert sum(v["shown"] for v in claim["variants"]) == 1
    assert claim["family_size"] == 1, "variants are one claim"


@pytest.mark.parametrize(("share", "verdict", "passed"), [("1.0", "REFUTED", 0), ("0.5", "SUPPORTED", 1)])
def test_the_share_that_must_hold_decides(claims, pytester, share, verdict, passed):
    result = claims(MIXED.replace("SHARE", share), "--causal-json=out.json")
    result.assert_outcomes(passed=passed, failed=1 - passed)
    claim = written(pytester)["mixed"]
    assert claim["verdict"] == verdict
    assert "SUPPORTED in 1 of 2 variants" in claim["reason"]
    assert "where=token is REFUTED" in claim["reason"]


def test_variants_are_planned_together(claims, pytester):
    claims(READER, "--causal-json=out.json", "-k", "reader")
    runs = written(pytester)["reader"]["runs"]
    assert runs["reference_runs"] == 2 * 45, "four variants on the same pairs share their clean and corrupt runs"
    alone = 0
    for layer in (1, 2):
        one = READER.replace("logit_diff(range=(-20, 20)), accuracy", "accuracy").replace("[1, 2]", f"[{layer}]")
        claims(one, "--causal-json=one.json")
        alone += written(pytester, "one.json")["reader"]["runs"]["forwards"]
    assert runs["forwards"] < alone, "four variants take fewer forwards than two of them alone"


def test_a_claim_of_one_file_is_planned_with_its_neighbours(claims, pytester):
    beside = """
@claim("The last layer too.", at_least(0.5), id="beside")
def test_beside(lab, pairs):
    return lab.denoise(pairs, at=resid_post(3, last())).recovery(accuracy)
"""
    claims(beside + READER, "--causal-json=out.json")
    runs = written(pytester)
    assert runs["reader"]["runs"]["patched_runs"] == 0, "measured with the first claim on these pairs"


def test_selection_does_not_change_a_bit(claims, pytester):
    body = READER + MIXED.replace("SHARE", "0.5")
    claims(body, "--causal-json=all.json")
    everything = written(pytester, "all.json")
    for selection in (["-k", "mixed"], ["test_claims.py::test_mixed"]):
        claims(body, "--causal-json=some.json", *selection)
        for name, claim in written(pytester, "some.json").items():
            assert {**claim, "runs": 0} == {**everything[name], "runs": 0}


def test_models_are_swapped_by_name_and_by_option(claims, pytester):
    body = """
@claim("Every reader holds the value.", at_least(0.5), id="models")
@claim.multiverse(model=["organism:planted", "other/name"])
def test_models(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
    result = claims(body, "--causal-json=out.json", "--causal-model", "other/name=organism:bypass")
    result.assert_outcomes(failed=1)
    claim = written(pytester)["models"]
    assert claim["verdict"] == "REFUTED", "the bypass does not go through the reader's stream at layer 1"
    assert claim["reason"].startswith("Confirmed in 1 of 2 models: model=other/name is REFUTED.")
    assert claim["model"] == "organism:bypass", "the numbers shown are those of the variant that decides"
    assert claim["runs"]["reference_runs"] == 4 * 45, "both models are counted"


def test_a_model_that_cannot_be_loaded_is_an_error_and_no_verdict(claims):
    body = """
@claim("Everywhere.", at_least(0.5))
@claim.multiverse(model=["organism:planted", "organism:geese"])
def test_models(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
    result = claims(body)
    result.stdout.fnmatch_lines(["*ModelError: There is no organism 'geese'*"])
    result.stdout.fnmatch_lines(["* ERROR *", "1 error*"])


SEEDS = """
@claim("Whatever the seed.", at_least(0.5), id="seeds")
@claim.multiverse(seed=[1, 2, 3])
def test_seeds(lab, pairs):
    with open("seeds", "a") as log:
        log.write(f"{lab.seed} ")
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""


def test_a_seed_reaches_the_lab_and_all_share_one_model(claims, pytester):
    claims(SEEDS, "--causal-json=out.json")
    assert set((pytester.path / "seeds").read_text().split()) == {"1", "2", "3"}
    claim = written(pytester)["seeds"]
    assert claim["verdict"] == "SUPPORTED"
    assert claim["runs"]["reference_runs"] == 2 * 45
    assert len({v["estimate"] for v in claim["variants"]}) == 1, "the patch draws nothing, only its placebo does"


def test_a_seed_is_a_parameter_where_the_body_has_one(claims, pytester):
    body = """
@claim("Whatever the pairs.", at_least(0.5), id="seeds")
@claim.multiverse(seed=[1, 2])
def test_seeds(lab, seed):
    return lab.denoise(planted.pairs(per_cluster=1, seed=seed), at=resid_post(1, last())).recovery(accuracy)
"""
    claims(body, "--causal-json=out.json")
    claim = written(pytester)["seeds"]
    assert claim["verdict"] == "SUPPORTED"
    assert claim["runs"]["reference_runs"] == 2 * 2 * 45, "two sets of pairs"


def test_classes_and_parameters_go_with_it(claims, pytester):
    body = """
class TestAll:
    layers = {1: "early", 2: "late"}

    @claim("In a class.", at_least(0.5), id="inside")
    @pytest.mark.parametrize("layer", [1, 2])
    @claim.multiverse(metric=[accuracy, logit_diff(range=(-20, 20))])
    def test_inside(self, lab, pairs, layer, metric):
        assert self.layers[layer]
        return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)
"""
    claims(body, "--causal-json=out.json").assert_outcomes(passed=2)
    found = written(pytester)
    assert set(found) == {"inside[1]", "inside[2]"}
    assert {c["family_size"] for c in found.values()} == {2}


def test_a_variant_without_a_usable_number_is_invalid_and_the_others_count(claims, pytester):
    body = """
from causaltest.errors import MeasurementError

@claim("Here and there.", at_least(0.5), id="half")
@claim.multiverse(layer=[1, 2, 9], share=0.6)
def test_half(lab, pairs, layer):
    if layer == 9:
        raise MeasurementError("The run overflowed.")
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
"""
    claims(body, "--causal-json=out.json").assert_outcomes(passed=1)
    claim = written(pytester)["half"]
    assert [v["verdict"] for v in claim["variants"]] == ["SUPPORTED", "SUPPORTED", "INVALID"]
    assert claim["variants"][2]["reason"] == "The run overflowed."
    assert claim["variants"][2]["estimate"] is None
    claims(body.replace("share=0.6", "share=1"), "--causal-json=out.json").assert_outcomes(failed=1)
    assert written(pytester)["half"]["verdict"] == "INVALID"


def test_an_axis_that_changes_nothing_is_no_more_evidence(claims):
    body = """
@claim("Both ways.", at_least(0.5))
@claim.multiverse(metric=[accuracy, logit_diff], share=0.5)
def test_both(lab, pairs, metric):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
    result = claims(body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*variants metric=accuracy and metric=logit_diff are the very same experiment*"])


def test_the_plan_counts_every_variant(claims):
    planned = claims(READER, "--causal-plan", "--causal-assume=simulations=100").stdout
    planned.fnmatch_lines(["organism:planted: 4 experiments on 45 pairs"])


def test_a_variant_that_looks_first_makes_the_claim_exploratory(claims, pytester):
    body = """
@claim("Chosen by looking.", at_least(0.5), id="looked")
@claim.multiverse(metric=[accuracy, logit_diff(range=(-20, 20))])
def test_looked(lab, pairs, metric):
    best = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(metric).best
    return lab.denoise(pairs, at=best).recovery(metric)
"""
    claims(body, "--causal-json=out.json")
    assert written(pytester)["looked"]["status_reason"].startswith("the body reads a number")


def test_an_axis_that_is_parametrised_too_is_refused_by_pytest(claims):
    body = READER.replace("@claim.multiverse", '@pytest.mark.parametrize("layer", [1])\n@claim.multiverse')
    result = claims(body)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_reader*uses no argument 'layer'*"])


@pytest.mark.parametrize("axis", ["seed=[1, 2]", 'model=["organism:planted"]'])
def test_an_axis_of_labs_where_there_is_no_lab_is_an_error(claims, axis):
    body = f"""
@claim("Nothing to swap.", at_least(0.5))
@claim.multiverse({axis})
def test_none(pairs):
    return given(VALUES)
"""
    result = claims(body)
    result.stdout.fnmatch_lines(["*ClaimError: claim.multiverse(*changes the labs among the body's arguments*"])
