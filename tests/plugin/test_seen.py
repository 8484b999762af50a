"""Claims about pairs that were looked at before say so: in the same run, in the next, and when the site is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from causaltest.kept import cache_folder

SWEPT = """
def test_map(lab, pairs):
    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)
"""
CLAIMED = """
@claim("The reader carries the value.", at_least(0.5), id="typed")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
"""
HALVES = """
@pytest.fixture(scope="module")
def halves(pairs):
    return pairs.split(discovery=0.4, seed=0)

def test_map(lab, halves):
    lab.sweep(halves.discovery, at=resid_post(range(4), last())).recovery(accuracy)

@claim("The site that was found carries the value.", at_least(0.5), id="found")
def test_found(lab, halves):
    site = FOUND
    return lab.denoise(halves.confirmation, at=site).recovery(accuracy)
"""


@pytest.fixture
def told(claims, pytester):
    """Run a file of claims, and give what is written of each."""

    def run(body: str, *options: str) -> dict[str, dict]:
        claims(body, "--causal-json=out.json", *options)
        return {c["id"]: c for c in json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))}

    return run


def log() -> Path:
    return cache_folder() / "seen.jsonl"


def test_a_claim_about_swept_pairs_is_labelled_though_its_site_is_typed_by_hand(told):
    claim = told(SWEPT + CLAIMED)["typed"]
    assert (claim["verdict"], claim["status"]) == ("SUPPORTED", "EXPLORATORY")
    assert claim["seen"] == [claim["status_reason"]]
    assert claim["status_reason"] == (
        "45 of its 45 pairs were seen by the sweep recovery(accuracy), denoise resid_post (4 sites)"
    )
    assert not any("exploratory" in note for note in claim["notes"]), "it is said once"


def test_the_sweep_of_an_earlier_run_is_known_until_the_log_is_deleted(told):
    told(SWEPT)
    assert "were seen by the sweep" in told(CLAIMED)["typed"]["status_reason"]
    assert "were seen by the sweep" in told(CLAIMED)["typed"]["status_reason"], "measuring again washes nothing off"
    log().unlink()
    assert told(CLAIMED)["typed"]["status_reason"] == "not registered"


def test_a_sweep_that_fails_its_test_was_seen_too(told):
    told(SWEPT + "    assert False")
    assert told(CLAIMED)["typed"]["seen"]


def test_a_lab_that_is_made_on_the_way_is_watched_too(told):
    made = SWEPT.replace("lab, pairs", "make_lab, pairs").replace("lab.sweep", 'make_lab("organism:planted").sweep')
    told(made)
    assert told(CLAIMED)["typed"]["seen"]


def test_the_label_changes_no_verdict(told):
    labelled = told(SWEPT + CLAIMED)["typed"]
    log().unlink()
    alone = told(CLAIMED)["typed"]
    for key in ("seen", "status_reason", "runs"):
        del labelled[key], alone[key]
    assert labelled == alone


def test_the_other_half_was_not_seen(told):
    claim = told(HALVES.replace("FOUND", "resid_post(2, last())"))["found"]
    assert (claim["verdict"], claim["seen"], claim["status_reason"]) == ("SUPPORTED", [], "not registered")


def test_a_search_on_one_half_confirmed_on_the_other_is_not_labelled_for_its_pairs(told):
    search = "lab.search(halves.discovery, at=resid_post(range(4), last())).recovery(accuracy)"
    claim = told(HALVES.replace("FOUND", search))["found"]
    assert (claim["verdict"], claim["seen"]) == ("SUPPORTED", [])
    assert "reads a number" in claim["status_reason"], "a search has no numbers in rehearsal, as a sweep"
    same = told(HALVES.replace("FOUND", search).replace("confirmation, at", "discovery, at"))["found"]
    assert any("seen by the search" in seen for seen in same["seen"])


def test_a_sweep_after_the_claim_did_not_suggest_it(told):
    for _ in range(2):
        assert told(CLAIMED + SWEPT)["typed"]["seen"] == []


@pytest.mark.parametrize("option", ["--causal-plan", "--collect-only"])
def test_what_is_only_planned_is_not_noted(claims, option):
    claims(SWEPT + CLAIMED, option)
    assert not log().exists()


def test_rehearsed_sweeps_are_not_noted(told):
    """The body is rehearsed first, and sweeps only when it is measured: once."""
    body = CLAIMED.replace(
        "    return", "    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)\n    return"
    )
    claim = told(body)["typed"]
    assert len(claim["seen"]) == 1 and "reads a number" in claim["status_reason"]
    assert [json.loads(line)["kind"] for line in log().read_text().split("\n") if line] == ["sweep", "claim"]


def test_several_sites_of_the_same_pairs_are_different_questions(told):
    sites = CLAIMED.replace("def", '@pytest.mark.parametrize("layer", [1, 2, 3])\ndef').replace(
        "pairs)", "pairs, layer)"
    )
    for _ in range(2):
        found = told(sites.replace("resid_post(2", "resid_post(layer"))
        assert len(found) == 3 and not any(claim["seen"] for claim in found.values())


def test_lines_that_cannot_be_read_are_said(told):
    log().parent.mkdir(exist_ok=True)
    log().write_text("not json\n")
    (note,) = told(CLAIMED)["typed"]["notes"]
    assert note.startswith(f"{log()} has lines that cannot be read (1)")


def test_a_folder_that_cannot_be_written_stops_no_claim(told, monkeypatch):
    monkeypatch.setenv("CAUSALTEST_CACHE_DIR", "/proc/nowhere")
    claim = told(SWEPT + CLAIMED)["typed"]
    assert claim["verdict"] == "SUPPORTED" and claim["seen"], "within the run it is known"
    assert told(CLAIMED)["typed"]["seen"] == []
