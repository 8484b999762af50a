"""Claims over a store: a warm run reports what the cold one did, and what has changed is measured alone."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from kinds import KINDS
from records import git

from causaltest.errors import ModelError
from causaltest.kept import cache_folder
from causaltest.recording.bundle import bundle_of

RUNS = r'"runs": \{[^}]*\}'
MORE = """
from causaltest import direction, edge, mean

@claim("Either way.", greater_than(0.1), id="difference")
def test_difference(lab, pairs):
    return measured(lab, pairs, 3, last()) - measured(lab, pairs, 1, span("value"))

@claim("It rises.", monotone([0, 1, 2]), id="order")
def test_order(lab, pairs):
    return {n: measured(lab, pairs, n, last()) for n in (1, 2, 0)}

@claim("The reader is first.", top(1, 1), id="top")
def test_top(lab, pairs):
    return {n: lab.denoise(pairs, at=resid_post(n, last())).recovery(logit_diff) for n in (0, 1)}

@claim("No placebo.", at_least(0.5), id="waived")
def test_waived(lab, pairs):
    return measured(lab, pairs, 1, last(), placebo=Waived("it is given"), wrong_layer=3)

@claim("Nobody is eligible.", at_least(0.5), id="nobody")
def test_nobody(lab, pairs):
    return lab.denoise(Pairs([p for p in wrong(pairs)]), at=resid_post(1, last())).recovery(accuracy)

@claim("A site that is not there.", at_least(0.5), id="nowhere")
def test_nowhere(lab, pairs):
    return lab.denoise(pairs, at=resid_post(40, last())).recovery(accuracy)

@claim("A path.", at_least(0.1), id="edge")
def test_edge(lab, pairs):
    return lab.denoise(pairs, at=edge(mlp_out(0, span("value")), v(1, 0, span("value")))).recovery(logit_diff)

@claim("It is needed.", at_least(0.1), id="ablated")
def test_ablated(lab, pairs):
    return lab.ablate(pairs, at=resid_post(1, last()), by=mean(over=pairs[:20])).drop(accuracy)

@claim("Along a line.", at_most(0.9), id="along")
def test_along(lab, pairs):
    site = resid_post(1, last()).along(direction([1.0, -1.0] + [0.0] * 62))
    return lab.denoise(pairs, at=site).recovery(logit_diff)

def measured(lab, pairs, layer, at, **more):
    return lab.denoise(pairs, at=resid_post(layer, at)).recovery(accuracy, **more)

def wrong(pairs):
    from dataclasses import replace
    return [replace(p, answer=p.corrupt_answer, corrupt_answer=p.answer) for p in pairs]

def test_looking_around(lab, pairs, causal_report):
    swept = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(logit_diff)
    causal_report.say(str(swept))
    causal_report.say(str(swept.survivors()))
    causal_report.say(str(lab.clean(pairs[:5])))
    causal_report.say(str(lab.search(pairs[:20], at=resid_post(range(4), last())).recovery(accuracy)))
    assert lab.denoise(pairs[0].with_itself(), at=resid_post(1, last())).is_neutral
"""


@pytest.fixture
def run(claims, pytester, monkeypatch):
    """Run claims over a store beside them; the result, and the report that it wrote."""
    monkeypatch.delenv("CAUSALTEST_NO_CACHE")

    def go(body: str, *options: str, name: str = "test_claims") -> tuple[pytest.RunResult, dict[str, dict]]:
        (cache_folder() / "seen.jsonl").unlink(missing_ok=True)
        result = claims(body, "--causal-cache-dir=store", "--causal-json=out.json", *options, name=name)
        if "--causal-register" in options:
            return result, {}
        return result, {one["id"]: one for one in json.loads((pytester.path / "out.json").read_text())}

    return go


@pytest.fixture
def no_model(monkeypatch):
    """Nothing can be measured any more."""

    def shut() -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("the model was opened")

        monkeypatch.setattr("causaltest.measuring.backend.open_backend", refuse)

    return shut


def untimed(result: pytest.RunResult) -> str:
    """What was printed, without times, progress, and where the numbers come from."""
    lines = [line for line in result.stdout.lines if "store" not in line and not line.startswith("rootdir")]
    text = re.sub(r"in [\d.]+s", "in a time", "\n".join(lines))
    return re.sub(r" · \d+ patched runs in .*", "", text)


def without_runs(report: dict[str, dict]) -> dict[str, dict]:
    return {name: {**one, "runs": None} for name, one in report.items()}


def runs(report: dict[str, dict], name: str) -> int:
    return sum(one["runs"].get(name, 0) for one in report.values())


def test_a_warm_run_reports_what_the_cold_one_did_and_opens_no_model(run, pytester, no_model):
    body = KINDS + MORE
    cold, first = run(body, "-v", "--causal-save")
    kept = (pytester.path / "baselines" / "baseline.safetensors").read_bytes()
    text = (pytester.path / "out.json").read_text()
    shutil.rmtree(pytester.path / "baselines")
    no_model()
    warm, second = run(body, "-v", "--causal-save")
    assert first["nobody"]["verdict"] == "INVALID" and "eligible" in first["nobody"]["reason"]
    assert {name for name, one in first.items() if one["verdict"] == "ERROR"} == {"nowhere"}
    assert untimed(cold) == untimed(warm)
    # As text: a mapping in another order is another report.
    assert re.sub(RUNS, "", text) == re.sub(RUNS, "", (pytester.path / "out.json").read_text())
    assert (pytester.path / "baselines" / "baseline.safetensors").read_bytes() == kept
    assert runs(first, "stored") == 0 and runs(first, "anew") > 15
    assert runs(second, "anew") == 0 and runs(second, "stored") == runs(first, "anew")


SUITE = """
PAIRS = planted.pairs(per_cluster=1)

@pytest.fixture(scope="module")
def pairs():
    return PAIRS

@claim("The reader holds the value.", at_least(0.5), id="reader")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)

@claim("And so on.", at_least(0.5), id="on")
def test_on(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)

@claim("The token does not.", at_most(0.2), id="token")
def test_token(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, span("value"))).recovery(accuracy)
"""


@pytest.mark.parametrize(
    "edit",
    [
        ("The reader holds", "It is the reader that holds"),
        ("at_least(0.5)", "at_least(0.7, expecting=0.9)"),
        ("def test_on", "def test_onwards"),
        ('"token"', '"idle"'),
        ('@claim("And so on.", at_least(0.5), id="on")', "def no_claim(): pass"),
        ("return lab", "# with a comment\n    return lab"),
    ],
)
def test_what_is_only_said_otherwise_is_not_measured_again(run, no_model, edit):
    run(SUITE)
    no_model()
    _, after = run(SUITE.replace(*edit))
    assert runs(after, "anew") == 0 and runs(after, "stored") == len(after)


def test_of_a_suite_in_which_one_claim_changed_that_one_is_measured(run):
    _, before = run(SUITE)
    changed = SUITE.replace('resid_post(2, span("value"))', 'resid_post(3, span("value"))')
    result, after = run(changed, "-v")
    _, alone = run(changed, "--causal-no-cache", "-k", "token")
    assert {name: one["runs"]["anew"] for name, one in after.items()} == {"reader": 0, "on": 0, "token": 1}
    assert after["token"]["runs"]["patched_runs"] == alone["token"]["runs"]["patched_runs"] > 0
    # Its clean and corrupt runs are those of the others.
    assert after["token"]["runs"]["reference_runs"] == 0 < alone["token"]["runs"]["reference_runs"]
    assert without_runs(after)["reader"] == without_runs(before)["reader"]
    result.stdout.fnmatch_lines(
        ["*measured    in an earlier run*", "measurements: 2 read from the store, 1 made in this run"]
    )


def test_a_claim_that_is_added_is_measured_alone(run):
    added = SUITE + "\n" + SUITE.split("\n\n")[-1].replace("token", "more").replace("resid_post(2", "resid_post(1")
    run(SUITE)
    _, after = run(added)
    assert {name: one["runs"]["anew"] for name, one in after.items()} == {"reader": 0, "on": 0, "token": 0, "more": 1}


def test_other_pairs_are_measured_and_the_rest_is_not(run):
    run(SUITE, name="test_one")
    _, both = run(
        SUITE.replace("per_cluster=1)", "per_cluster=1, seed=3)").replace(', id="', ', id="two '), name="test_two"
    )
    assert {name: one["runs"]["anew"] for name, one in both.items()} == {
        **dict.fromkeys(("reader", "on", "token"), 0),
        **dict.fromkeys(("two reader", "two on", "two token"), 1),
    }


def test_without_a_store_everything_is_measured(run, pytester):
    run(SUITE)
    result, after = run(SUITE, "--causal-no-cache")
    assert runs(after, "patched_runs") > 0 and runs(after, "stored") == 0
    assert "read from the store" not in result.stdout.str()


def test_the_plan_says_what_is_left_to_measure(run, no_model):
    run(SUITE, "-k", "not on")
    partly = plan(run, SUITE)
    assert "1 experiment on 45 pairs" in partly and "besides, 2 experiments are in the store" in partly
    run(SUITE)
    no_model()
    assert "nothing is left to measure: 3 experiments are in the store" in plan(run, SUITE)


def plan(run, body: str) -> str:
    result, _ = run(body, "--causal-plan")
    return result.stdout.str()


def test_a_model_that_cannot_be_loaded_is_tried_once_and_leaves_nothing(run, pytester, monkeypatch):
    tried = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise ModelError("it is not there")

    monkeypatch.setattr("causaltest.measuring.backend.open_backend", refuse)
    _, report = run(SUITE)
    assert [one["reason"] for one in report.values()] == ["ModelError: it is not there"] * 3 and tried == [1]
    assert not list((pytester.path / "store").rglob("*.safetensors"))


CHAINED = ("at", "previous", "hash", "dirty")
"""What another look's line says otherwise: when it was, what stands before it, and what else lies in the folder."""


def test_a_record_is_the_same_and_a_bundle_takes_effects_that_the_store_has(run, pytester, no_model):
    def looks() -> list[dict]:
        lines = map(json.loads, (pytester.path / "claims.ledger").read_text().splitlines())
        return [{name: value for name, value in line.items() if name not in CHAINED} for line in lines]

    body = KINDS + MORE
    run(body, "--causal-register", ".")
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", ".")
    git(pytester.path, "commit", "-q", "-m", "Register the claims")
    run(body)
    cold = looks()
    no_model()
    run(body, "--causal-save")
    assert looks() == cold
    with_effects = {look["claim"] for look in cold if look.get("effects")}
    assert len(with_effects) > 10
    assert bundle_of(pytester.path, baseline="baseline").effects.claims.keys() == with_effects
    (pytester.path / "claims.ledger").unlink()
    run(body)
    assert looks() == cold
