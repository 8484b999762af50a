"""Claims of every kind, on two workers: the same verdicts, families and numbers as in one process.

One suite for all kinds, as starting workers takes far longer than measuring.
"""

from __future__ import annotations

import json

import pytest
from kinds import KINDS

from causaltest.recording.baseline import baseline_file


def test_the_same_suite_gives_the_same_json_alone_and_on_two_workers(claims, pytester):
    pytest.importorskip("xdist")
    claims(KINDS, "--causal-json=one.json", "--causal-save=one")
    claims(KINDS, "--causal-json=two.json", "--causal-save=two", "-n", "2")
    one, two = (json.loads((pytester.path / name).read_text()) for name in ("one.json", "two.json"))
    for claim in (*one, *two):
        del claim["runs"]
    assert one == two
    assert {claim["id"]: claim["family_size"] for claim in one} == {
        **dict.fromkeys(["reader", "invalid", "mixed", "looks", "decoy"], 5),
        **dict.fromkeys(["apart[1]", "apart[2]"], 2),
    }
    files = [baseline_file(pytester.path, name) for name in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    by_id = {claim["id"]: claim for claim in one}
    assert len(by_id["mixed"]["variants"]) == 2 and by_id["looks"]["looks"]["planned"] == 2
