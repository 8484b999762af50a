"""Registered, committed, measured, saved, packed and judged again: as a person does it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from records import git

from causaltest.cli import main

CLAIMS = """
@claim("The reader holds the value.", at_least(0.5))
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)

@claim("The reader holds it, asked bit by bit.", at_least(0.5), stopping="obrien-fleming", looks=3)
def test_in_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("The reader holds it by either metric.", at_least(0.5))
@claim.multiverse(metric=[logit_diff(range=(-20, 20)), accuracy])
def test_variants(lab, pairs, metric):
    return lab.denoise(pairs, at=resid_post(3, last())).recovery(metric)

@claim("The later block matters more.", greater_than(0))
def test_later(lab, pairs):
    late = lab.denoise(pairs, at=resid_post(2, last())).change(logit_diff)
    return late - lab.denoise(pairs, at=resid_post(0, last())).change(logit_diff)

@claim("The blocks bring it in one after the other.", monotone([0, 1, 2]))
def test_order(lab, pairs):
    return {k: lab.denoise(pairs, at=resid_post(k, last())).change(logit_diff) for k in (0, 1, 2)}
"""


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture
def measured(claims, pytester):
    """A folder with a lock in a commit, a look at its claims, and their effects."""
    claims(CLAIMS, "--causal-register", ".")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Register the claims"]):
        git(pytester.path, *command)
    claims(CLAIMS, "--causal-save")
    return pytester.path


def test_a_real_run_is_packed_and_judged_again(measured) -> None:
    file = measured / "claims.zip"
    packed = run("bundle", str(measured), "-o", str(file))
    assert packed.exit_code == 0, packed.output
    verified = run("verify", str(file), "--json")
    assert verified.exit_code == 0, verified.output
    looks = {look["claim"].split("::")[1]: look for look in json.loads(verified.output)["looks"]}
    assert looks.keys() == {"test_reader", "test_in_looks", "test_variants", "test_later", "test_order"}
    assert {look["status"] for look in looks.values()} == {"CONFIRMATORY"}
    assert all(look["judged"] == "the same" and look["stands"] for look in looks.values())
    assert json.loads(verified.output)["not_looked_at"] == []


def test_a_run_again_saves_the_same_effects(claims, measured) -> None:
    first = measured / "first.zip"
    run("bundle", str(measured), "-o", str(first))
    claims(CLAIMS, "--causal-save=again", "-k", "reader or order")
    packed = run("bundle", str(measured), "-o", str(measured / "again.zip"), "--from", "again")
    assert packed.exit_code == 1 and "test_variants: the effects of the look of" in packed.output
    looks = json.loads(run("verify", str(measured / "again.zip"), "--json").output)["looks"]
    assert [look["claim"].split("::")[1] for look in looks if look["stands"]] == ["test_order", "test_reader"]
