"""From claims in a test file to a filled form: what `register` writes is what `export` reads."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from causaltest.cli import main

BODY = """
from causaltest.asking.interventions import zero

@pytest.fixture(scope="module")
def half(pairs):
    return pairs.split(discovery=0.5, seed=3).confirmation

@claim("It is sufficient.", at_least(0.30, expecting=0.60), stopping="obrien-fleming", looks=4)
@pytest.mark.parametrize("layer", [1, 2])
def test_sufficient(lab, half, layer):
    return lab.denoise(half, at=resid_post(layer, last())).recovery(accuracy)

@claim("Nothing is there.", negligible(within=0.05))
def test_nothing(lab, pairs):
    return lab.ablate(pairs, at=attn_out(1, last()), by=zero).drop(logit_diff, self_patch=Waived("it is slow"))

@claim("One is more.", greater_than(0.0))
def test_more(lab, pairs):
    more = lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)
    return more - lab.denoise(pairs, at=resid_post(0, last())).recovery(logit_diff)

@claim("It rises.", monotone([0, 1, 2]))
def test_rises(lab, pairs):
    return {n: lab.denoise(pairs, at=resid_post(n, last())).recovery(logit_diff) for n in range(3)}

@claim("By any metric.", at_least(0.1))
@claim.multiverse(metric=[accuracy, logit_diff(range=(-20, 20))], share=0.5)
def test_metrics(lab, pairs, metric):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(metric)
"""
SAID = (
    "Family test_claims.py (6 claims), registered 20",
    "The claims share alpha 0.05: each is judged at 0.05/6 = 0.0083 (Bonferroni).",
    '"It is sufficient." Predicted: the effect is 0.3 or more (expected: 0.6). 2 claims: layer = 1, 2. Measured: ',
    "recovery(accuracy), denoise resid_post L{1, 2} @ last(). It may be looked at 4 times (O'Brien-Fleming).",
    '"Nothing is there." Predicted: the effect lies between -0.05 and 0.05. Measured: drop(logit_diff), ablate ',
    "ablate attn_out L1 @ last() by zero.",
    '"One is more." Predicted: the difference is more than 0. Measured: recovery(logit_diff), denoise resid_post L2 @ ',
    "L2 @ last() minus recovery(logit_diff), denoise resid_post L0 @ last().",
    '"It rises." Predicted: the effect rises along 0 < 1 < 2, and no step falls. Measured: recovery(logit_diff), ',
    "recovery(logit_diff), denoise resid_post L{0-2} @ last().",
    "It is measured in 2 variants (metric=accuracy; metric=logit_diff) and holds where 50 % of them do.",
    "; the confirmation half of a split by whole clusters, drawn with seed 3, which gave 0.5 of the clusters to ",
    "Left out in some claims: self-patch, because: it is slow",
    "ablation: the clean run loses what it has at the site",
    "For all 6 claims, no sweep, search or earlier measurement of the pairs was on record at registration",
    "organism:planted (source ",
)


def test_claims_of_every_kind_are_registered_and_told(claims, pytester: pytest.Pytester):
    assert claims(BODY, "--causal-register", str(pytester.path)).ret == 0
    for form in ("osf", "aspredicted", "markdown"):
        told = CliRunner().invoke(main, ["export", str(pytester.path), "--format", form])
        assert told.exit_code == 0, told.output
        for said in SAID:
            assert said in told.stdout, f"{said}\n{told.stdout}"
