"""Claims in a folder with a lock: their status in the report, what enters the ledger, and what passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from records import commit, git

from causaltest import recorded
from causaltest.kept import cache_folder
from causaltest.recording.record import ASKED_ELSEWHERE

READER = """
@claim("The reader carries the value.", at_least(0.5), id="reader")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
"""
OTHERS = """
@claim("A dead end.", negligible(within=0.1), id="invalid")
def test_invalid(lab, pairs):
    return lab.denoise(pairs, at=resid_post(0, last())).recovery(accuracy)

@claim("Layers rise.", monotone([0, 1, 2]), id="order")
def test_order(lab, pairs):
    return {layer: lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy) for layer in range(3)}

@claim("In looks.", at_least(0.3), id="looks", stopping="obrien-fleming", looks=2)
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
"""
CHOSEN = """
@claim("Chosen by a number.", at_least(0.5), id="chosen")
def test_chosen(lab, pairs):
    best = lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy).best
    return lab.denoise(pairs, at=best).recovery(accuracy)

@claim("Given.", at_least(0.1), id="given")
def test_given():
    return given(VALUES)

@claim("It raises.", at_least(0.1), id="raises")
def test_raises(lab, pairs):
    raise RuntimeError("before any number")

@claim("Layer 2 is necessary.", at_least(0.1), id="misdirected")
def test_misdirected(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)
"""
SWEPT = """
def test_map(lab, pairs):
    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)
"""


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Any:
    """A folder of claims in a repository."""
    git(pytester.path, "init", "-q", "-b", "main")
    pytester.makefile(".gitignore", **{"": "__pycache__\n*.json\n"})
    return pytester


def register(claims: Any, folder: pytest.Pytester, body: str) -> None:
    claims(body, "--causal-register", ".")
    commit(folder.path)


def lines(folder: pytest.Pytester) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "claims.ledger").read_text().splitlines()]


def results(folder: pytest.Pytester) -> dict[str, dict[str, Any]]:
    return {c["id"]: c for c in json.loads((folder.path / "out.json").read_text())}


def test_a_registered_claim_is_confirmed_and_then_reproduced(claims, folder):
    register(claims, folder, READER)
    ran = claims(READER, "-v", "--causal-json=out.json")
    ran.stdout.re_match_lines(
        [
            r"CLAIM reader  SUPPORTED  \[CONFIRMATORY: registered in [0-9a-f]{8}\]",
            r"causaltest .* · claims.lock 1 registered · seed 0",
            r"reader .* SUPPORTED  CONFIRMATORY$",
            r"1 supported · 1 confirmatory · .*",
        ]
    )
    (line,), claim = lines(folder), results(folder)["reader"]
    assert (line["claim"], line["status"], line["device"], line["dtype"]) == (
        "reader",
        "CONFIRMATORY",
        "cpu",
        "float32",
    )
    assert claim["status"] == "CONFIRMATORY" and claim["record"]["spec"] == line["spec"]
    cache_folder().joinpath("seen.jsonl").unlink()
    again = claims(READER, "-v")
    again.stdout.re_match_lines([r"CLAIM reader  SUPPORTED  \[REPRODUCED: confirmatory on \d{4}-\d\d-\d\d\]"])
    assert len(lines(folder)) == 1


def test_an_amended_claim_shows_what_changed_and_passes_with_its_reason(claims, folder):
    register(claims, folder, READER)
    ran = claims(READER.replace("0.5", "0.4"), "-v", "--causal-json=out.json")
    record = results(folder)["reader"]["record"]
    ran.stdout.fnmatch_lines(
        [
            "CLAIM reader  SUPPORTED  [[]AMENDED: prediction.threshold changed since it was registered]",
            "  registered  prediction.threshold: 0.5 -> 0.4",
            f"              the hash of what was registered: {record['prior']}",
            f"AMENDED: prediction.threshold: 0.5 -> 0.4, since it was registered as {record['prior'][:8]} (reader)",
            "1 supported · 1 amended · *",
        ]
    )
    assert record["fields"] == {"prediction.threshold": ["0.5", "0.4"]}
    assert claims(READER).ret == 0
    assert [line["status"] for line in lines(folder)] == ["AMENDED", "EXPLORATORY"], "its data were seen by then"


def test_without_a_lock_nothing_is_written_and_nothing_more_is_said(claims, folder):
    ran = claims(READER, "-v")
    assert not (folder.path / "claims.ledger").exists() and not (folder.path / ".causaltest").exists()
    assert "claims.lock" not in ran.stdout.str() and "1 exploratory" not in ran.stdout.str()


def test_claims_of_every_kind_are_confirmed(claims, folder):
    register(claims, folder, OTHERS)
    claims(OTHERS, "--causal-json=out.json")
    told = results(folder)
    assert {id: claim["status"] for id, claim in told.items()} == dict.fromkeys(told, "CONFIRMATORY"), told
    verdicts = {line["claim"]: line["verdict"] for line in lines(folder)}
    assert verdicts["invalid"] == "INVALID" and len(verdicts) == 3, "its numbers were seen"
    claims(OTHERS, "--causal-json=out.json")
    assert {claim["status"] for claim in results(folder).values()} == {"REPRODUCED"}


def test_what_cannot_be_registered_is_written_down_where_a_number_was_seen(claims, folder):
    register(claims, folder, READER)
    ran = claims(CHOSEN, "--causal-json=out.json")
    told = {id: (claim["status"], claim["status_reason"]) for id, claim in results(folder).items()}
    assert told == {
        "chosen": ("EXPLORATORY", "the body reads a number before it has chosen its experiment"),
        "given": ("EXPLORATORY", "its values were given, and nobody can say when they were first seen"),
        "misdirected": (
            "EXPLORATORY",
            "its experiment cannot show what its sentence says, and nothing was measured",
        ),
        "raises": ("EXPLORATORY", "not measured"),
    }
    assert [line.get("claim", line["kind"]) for line in lines(folder)] == ["sweep", "chosen", "given"]
    ran.stdout.fnmatch_lines(["EXPLORATORY: its values were given, *(given)"])


def test_a_claim_in_variants_is_written_down_as_one_look(claims, folder):
    body = (
        READER
        + """
@claim("The value is held.", at_least(0.5), id="mixed")
@claim.multiverse(layer=[1, 3])
def test_mixed(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
"""
    )
    register(claims, folder, body)
    claims(body)
    (look,) = [line for line in lines(folder) if line["claim"] == "mixed"]
    assert len(look["sightings"]) == 2


# sweeps


def test_a_sweep_in_a_plain_test_is_known_to_a_colleague(claims, folder):
    register(claims, folder, READER)
    claims(SWEPT, "test_map.py", name="test_map")
    (line,) = lines(folder)
    assert line["kind"] == "sweep" and line["sightings"][0]["models"] == ["organism:planted"]
    cache_folder().joinpath("seen.jsonl").unlink()
    ran = claims(READER, "-v", "test_claims.py")
    ran.stdout.fnmatch_lines(
        [
            "CLAIM reader  SUPPORTED  [[]EXPLORATORY: pairs seen before]",
            "  seen        * of its * pairs were seen by the sweep *",
            "EXPLORATORY: * pairs were seen by the sweep * (reader)",
        ]
    )
    assert [line["kind"] for line in lines(folder)] == ["sweep", "look"]


def test_a_sweep_after_the_claim_takes_nothing_away(claims, folder):
    body = READER + SWEPT
    register(claims, folder, body)
    assert claims(body, "--causal-json=out.json") and results(folder)["reader"]["status"] == "CONFIRMATORY"
    assert claims(body, "--causal-json=out.json") and results(folder)["reader"]["status"] == "REPRODUCED"
    assert results(folder)["reader"]["seen"] == []
    cache_folder().joinpath("seen.jsonl").unlink()
    claims(SWEPT.replace("range(4)", "range(3)"), "test_colleague.py", name="test_colleague")
    assert claims(body, "test_claims.py", "--causal-json=out.json") and results(folder)["reader"]["seen"] == []
    assert [line["kind"] for line in lines(folder)] == ["look", "sweep", "sweep"]


def test_a_claim_whose_id_holds_anothers_is_registered_with_what_has_seen_its_pairs(claims, folder):
    other = READER.replace('"reader"', '"read"').replace("test_reader", "test_read")
    register(claims, folder, other)
    claims(other)
    claims(SWEPT, "test_map.py", name="test_map")
    cache_folder().joinpath("seen.jsonl").unlink()
    register(claims, folder, other + READER)
    seen = json.loads((folder.path / "claims.lock").read_text())["claims"]["reader"]["seen"]
    assert len(seen) == 1 and "were seen by the sweep" in seen[0]


def test_what_the_users_own_log_has_asked_before_is_no_confirmation(claims, folder):
    claims(READER)
    register(claims, folder, READER)
    claims(READER, "--causal-json=out.json")
    claim = results(folder)["reader"]
    assert claim["status"] == "EXPLORATORY" and "before" in claim["status_reason"]


def test_a_ledger_that_was_deleted_gives_no_second_confirmation(claims, folder):
    register(claims, folder, READER)
    claims(READER)
    (folder.path / "claims.ledger").unlink()
    claims(READER, "--causal-json=out.json")
    claim = results(folder)["reader"]
    assert (claim["status"], claim["status_reason"]) == ("EXPLORATORY", ASKED_ELSEWHERE)


def test_another_model_than_the_one_that_is_named(claims, folder, monkeypatch):
    register(claims, folder, READER)
    monkeypatch.setattr(recorded, "other_model", lambda models, measured: f"not {models[0]['name']}")
    claims(READER, "--causal-json=out.json")
    assert results(folder)["reader"]["status_reason"] == "not organism:planted"
    assert [line["status"] for line in lines(folder)] == ["EXPLORATORY"]


@pytest.mark.parametrize("other, status", [({"verdict": "REFUTED"}, "EXPLORATORY"), ({"estimate": 0.9}, "REPRODUCED")])
def test_a_reproduction_with_other_numbers_says_so(claims, folder, monkeypatch, other, status):
    register(claims, folder, READER)
    claims(READER)
    told = recorded.told_of
    monkeypatch.setattr(recorded, "told_of", lambda judged: {**told(judged), **other})
    claims(READER, "--causal-json=out.json")
    claim = results(folder)["reader"]
    assert claim["status"] == status
    said = [*claim["notes"], claim["status_reason"]]
    assert any(one.startswith("other numbers than on") for one in said), said
    assert len(lines(folder)) == 1


# what passes


def test_confirmatory_only(claims, folder):
    option = "--causal-confirmatory-only"
    ran = claims(READER, option, "-v")
    assert ran.ret == 1
    ran.stdout.fnmatch_lines(
        [
            "*::test_reader EXPLORATORY*",
            "EXPLORATORY (not registered), and --causal-confirmatory-only passes CONFIRMATORY and REPRODUCED only",
        ]
    )
    cache_folder().joinpath("seen.jsonl").unlink()
    register(claims, folder, READER)
    assert claims(READER, option).ret == claims(READER, option).ret == 0
    assert claims(READER.replace("0.5", "0.4"), option).ret == 1
    inconclusive = READER.replace("at_least(0.5)", "between(0.9, 0.99)")
    assert claims(inconclusive, option, "-o", "causaltest_inconclusive=skip").parseoutcomes() == {"failed": 1}
    expected = READER.replace("@claim", '@pytest.mark.xfail(strict=True, reason="known")\n@claim')
    assert claims(expected.replace("0.5", "0.4"), option).parseoutcomes() == {"xfailed": 1}


def test_it_asks_nothing_of_plain_tests(claims, folder):
    assert claims("def test_plain():\n    assert True\n", "--causal-confirmatory-only").ret == 0


# many workers


def test_a_lock_that_cannot_be_read_stops_no_claim(claims, folder):
    register(claims, folder, READER)
    (folder.path / "claims.lock").write_text("<<<<<<< HEAD\n")
    ran = claims(READER)
    (line,) = lines(folder)
    assert ran.ret == 0 and line["status"] == "EXPLORATORY" and str(folder.path) not in line["reason"]
    ran.stdout.fnmatch_lines(
        ["causaltest * · claims.lock cannot be read · seed 0", "EXPLORATORY: claims.lock * (reader)"]
    )


NUMBER = READER.replace("return ", "effect = ").rstrip()
PLAIN = NUMBER[NUMBER.index("def ") :].replace("test_reader", "test_plain")
FIXTURE = PLAIN.replace("def test_plain", "@pytest.fixture(autouse=True)\ndef look") + "\n    effect.estimate\n"


@pytest.mark.parametrize(
    "shows",
    [
        PLAIN + "\n    assert effect.estimate > 2\n",
        FIXTURE + "\ndef test_nothing():\n    pass\n",
        NUMBER + "\n    assert effect.estimate > 2\n    return effect\n",
        NUMBER + "\n    pytest.skip(str(effect.estimate))\n",
    ],
    ids=["a plain test", "a fixture", "an assert in the body", "a skip in the body"],
)
@pytest.mark.parametrize("registered", [False, True], ids=["before registration", "after it"])
def test_who_has_read_a_number_confirms_nothing_on_it(claims, folder, shows, registered):
    if registered:
        register(claims, folder, READER)
    claims(shows)
    if not registered:
        register(claims, folder, READER)
    claims(READER, "--causal-json=out.json")
    claim = results(folder)["reader"]
    reason = ASKED_ELSEWHERE if registered else "the same was measured on these pairs before it was registered"
    assert (claim["status"], claim["status_reason"]) == ("EXPLORATORY", reason)


def test_a_body_that_raises_before_a_number_is_read_has_shown_none(claims, folder):
    register(claims, folder, READER)
    claims(NUMBER + "\n    raise RuntimeError\n")
    claims(READER, "--causal-json=out.json")
    assert results(folder)["reader"]["status"] == "CONFIRMATORY"


def test_a_fixture_that_looks_first_is_a_look(claims, folder):
    register(claims, folder, READER)
    claims(FIXTURE + READER, "--causal-json=out.json")
    assert results(folder)["reader"]["status_reason"] == ASKED_ELSEWHERE


def test_values_in_place_of_the_experiment_that_was_named_confirm_nothing(claims, folder):
    body = READER.replace(
        "    return", "    CALLS.append(1)\n    if len(CALLS) > LIMIT:\n        return given(VALUES)\n    return"
    )
    register(claims, folder, f"CALLS, LIMIT = [], 9\n{body}")
    claims(f"CALLS, LIMIT = [], 1\n{body}", "--causal-json=out.json")
    assert results(folder)["reader"]["status_reason"].startswith("the body has measured another experiment than")


def test_another_cut_of_the_same_numbers_is_a_look_at_them(claims, folder):
    ranged = READER.replace("recovery(accuracy)", "change(logit_diff)")
    claims(ranged.replace("logit_diff", "logit_diff(range=(-50, 50))"))
    register(claims, folder, ranged)
    claims(ranged, "--causal-json=out.json")
    assert results(folder)["reader"]["status"] == "EXPLORATORY"


def test_pairs_in_other_clusters_are_not_new(claims, folder):
    other = """
import dataclasses

@pytest.fixture(scope="module")
def pairs():
    known = planted.pairs(per_cluster=1)
    return Pairs([dataclasses.replace(pair, id=str(i), cluster=str(i)) for i, pair in enumerate(known)])
"""
    register(claims, folder, READER)
    claims(READER)
    claims(other + READER, "--causal-json=out.json")
    claim = results(folder)["reader"]
    assert claim["status"] == "EXPLORATORY" and claim["status_reason"].startswith("these data were looked at on")


def test_a_run_in_a_part_of_the_repository_finds_its_record(claims, folder, monkeypatch):
    (folder.path / "part").mkdir()
    register(claims, folder, READER)
    (folder.path / "test_claims.py").rename(folder.path / "part" / "test_claims.py")
    monkeypatch.chdir(folder.path / "part")
    folder.runpytest_inprocess("-p", "no:cacheprovider", "--rootdir=.")
    assert [line["status"] for line in lines(folder)] == ["AMENDED"], "its family has another name"
