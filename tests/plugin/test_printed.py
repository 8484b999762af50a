"""What a stranger wrote into a file that a run reads, or called a file, cannot steer the terminal through pytest."""

from __future__ import annotations

import json

import pytest
from kinds import KINDS, PLANTED

from causaltest.asking.lab import Lab
from causaltest.printable import printable
from causaltest.recording.baseline import baseline_file
from causaltest.writing.tensors import Tensors, tensors_to_bytes

NASTY = "\x1b[2J\x1b[Hall is well\u202e\x07"
CLAIM = f"{PLANTED}@claim{KINDS.split('@claim')[1]}"


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run the claim; everything that is printed, which must steer nothing."""

    def go(*options: str, ret: int = 0) -> str:
        pytester.makepyfile(test_claims=CLAIM)
        ran = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--color=no", *options)
        printed = ran.stdout.str() + ran.stderr.str()
        assert ran.ret == ret
        assert printable(printed) == printed
        return printed

    return go


@pytest.mark.parametrize("option", ["--causal-compare", "--causal-save"])
def test_a_baseline_that_cannot_be_read_steers_nothing(run, pytester, option):
    header = {"format": 1 << 30, "versions": {"causaltest": NASTY}}
    file = baseline_file(pytester.path)
    file.parent.mkdir()
    file.write_bytes(tensors_to_bytes(Tensors(json.dumps(header), {})))
    assert "newer causaltest (?[2J?[Hall is well??)" in run(option, ret=pytest.ExitCode.USAGE_ERROR)


def test_a_lock_that_cannot_be_read_steers_nothing(run, pytester):
    lock = {"format": "causaltest lock", "version": 1, "claims": {NASTY: {}}, "events": []}
    (pytester.path / "claims.lock").write_text(json.dumps(lock, ensure_ascii=False), encoding="utf-8")
    assert "claim '?[2J?[Hall is well??' lacks" in run("--causal-register", ".", ret=pytest.ExitCode.USAGE_ERROR)


def test_a_plan_steers_nothing_by_what_a_store_has_told(run, monkeypatch):
    monkeypatch.setattr(Lab, "told", lambda _: [f"{NASTY} was damaged"])
    assert "store: ?[2J?[Hall is well?? was damaged" in run("--causal-plan")
