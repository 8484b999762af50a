"""Claims of every kind, on two workers: the same verdicts, standings, families and numbers as in one process.

One suite for all kinds, as starting workers takes far longer than measuring.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kinds import KINDS
from records import commit, repository

from causaltest.recording.baseline import baseline_file

OF_A_LINE = ("at", "previous", "hash", "sightings")
"""What is another in a ledger that is written in another order: the first line that saw some pairs names them."""


def test_the_same_suite_says_the_same_alone_and_on_two_workers(claims, pytester):
    pytest.importorskip("xdist")
    ledger, seen = pytester.path / "claims.ledger", Path(os.environ["CAUSALTEST_CACHE_DIR"], "seen.jsonl")
    repository(pytester.path)
    claims(KINDS, "--causal-register", ".")
    commit(pytester.path)
    looks = []
    for name, workers in (("one", ()), ("two", ("-n", "2"))):
        ran = claims(KINDS, f"--causal-json={name}.json", f"--causal-save={name}", *workers)
        ran.stdout.re_match_lines([r"causaltest .* claims\.lock 7 registered "])
        lines = map(json.loads, ledger.read_text().splitlines())
        told = [{field: value for field, value in line.items() if field not in OF_A_LINE} for line in lines]
        looks.append(sorted(told, key=lambda line: line["claim"]))
        # the next run is a first look, too
        ledger.unlink()
        seen.unlink()
    one, two = (json.loads((pytester.path / name).read_text()) for name in ("one.json", "two.json"))
    for claim in (*one, *two):
        del claim["runs"]
    assert one == two
    assert {claim["id"]: claim["family_size"] for claim in one} == {
        **dict.fromkeys(["reader", "invalid", "mixed", "looks", "decoy"], 5),
        **dict.fromkeys(["apart[1]", "apart[2]"], 2),
    }
    assert looks[0] == looks[1]
    assert {line["claim"] for line in looks[1]} == {claim["id"] for claim in one}
    assert {line["claim"]: line["status"] for line in looks[1]} == {claim["id"]: claim["status"] for claim in one}
    files = [baseline_file(pytester.path, name) for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    by_id = {claim["id"]: claim for claim in one}
    assert len(by_id["mixed"]["variants"]) == 2 and by_id["looks"]["looks"]["planned"] == 2
