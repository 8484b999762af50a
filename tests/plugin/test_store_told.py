"""What the store has to tell reaches whoever reads the report, once; and no verdict depends on it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from kinds import KINDS

from causaltest import Lab, accuracy, last, resid_post
from causaltest.asking.settings import Settings, StorePlace
from causaltest.asking.telling import CausaltestWarning
from causaltest.organisms import planted
from causaltest.store.layout import DAMAGED, lying

TWO = """
@claim("The reader holds the value.", at_least(0.5))
@pytest.mark.parametrize("layer", [1, 2])
def test_reader(lab, pairs, layer):
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(accuracy)
"""
MEASURES_IN_A_FIXTURE = """
@pytest.fixture(scope="module")
def effect(lab, pairs):
    made = lab.denoise(pairs, at=resid_post(1, last())).recovery(accuracy)
    made.measured
    return made

def test_plain(effect):
    assert effect > 0.3
"""


@pytest.fixture(autouse=True)
def with_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAUSALTEST_NO_CACHE")


def damage(store: Path) -> list[str]:
    """Damages every entry; their names."""
    there = [one for one in lying(store) if one.kind != DAMAGED]
    for one in there:
        data = bytearray(Path(one.path).read_bytes())
        data[-1] ^= 1
        Path(one.path).write_bytes(data)
    return sorted(Path(one.path).name for one in there)


def told(ran: pytest.RunResult) -> list[str]:
    return [line for line in ran.outlines if line.startswith("store: ")]


def verdicts(path: Path) -> list[dict]:
    report = json.loads(path.read_text())
    for one in report:
        # how the store helped, and that the same pairs were seen by the run before
        for name in ("runs", "seen", "status", "status_reason", "notes"):
            one.pop(name)
    return report


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_damaged_store_gives_the_same_verdicts_and_every_entry_is_told_once(claims, pytester, workers):
    if workers:
        pytest.importorskip("xdist")
    store, body = pytester.path / "store", TWO
    options = (f"--causal-cache-dir={store}", f"--rootdir={pytester.path}")
    cold = claims(body, *options, "--causal-json=cold.json")
    assert told(cold) == []
    names = damage(store)
    again = claims(body, *options, "--causal-json=again.json", *workers)
    assert again.parseoutcomes() == cold.parseoutcomes()
    assert verdicts(pytester.path / "cold.json") == verdicts(pytester.path / "again.json")
    lines = told(again)
    assert sorted(line.split()[1].split("/")[-1] for line in lines) == names
    assert all(
        "was damaged (" in line and "): it is measured again, and set aside as damaged/" in line for line in lines
    )
    assert {Path(one.path).name.split("-")[1] for one in lying(store) if one.kind == DAMAGED} == set(names)
    warm = claims(body, *options)
    assert told(warm) == [] and warm.parseoutcomes() == cold.parseoutcomes()


def test_what_a_fixture_or_a_plain_test_meets_is_told_too(claims, pytester):
    store = pytester.path / "store"
    options = (f"--causal-cache-dir={store}", f"--rootdir={pytester.path}")
    claims(MEASURES_IN_A_FIXTURE, *options)
    names = damage(store)
    again = claims(MEASURES_IN_A_FIXTURE, *options)
    assert names and sorted(line.split()[1].split("/")[-1] for line in told(again)) == names
    assert again.parseoutcomes()["passed"] == 1


def test_a_place_that_cannot_be_written_is_told_and_loses_no_verdict(claims, pytester):
    (pytester.path / "store").write_text("a file")
    without = claims(TWO, "--causal-no-cache")
    ran = claims(TWO, f"--causal-cache-dir={pytester.path / 'store'}", f"--rootdir={pytester.path}")
    assert ran.parseoutcomes() == without.parseoutcomes() and ran.ret == without.ret
    lines = told(ran)
    assert len(lines) == len(set(lines)) and [line for line in lines if "cannot be written" in line]


@pytest.mark.parametrize("size", ["much", "10XB", "-1", ""])
def test_a_size_that_is_none_is_refused(claims, size):
    ran = claims(TWO, f"--causal-cache-size={size}")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([f"*--causal-cache-size {size} is no size; write 800MB*"])


def test_a_store_that_is_damaged_through_and_through_is_told_in_a_few_lines(claims, pytester):
    store = pytester.path / "store"
    options = (f"--causal-cache-dir={store}", f"--rootdir={pytester.path}")
    cold = claims(KINDS, *options)
    names = damage(store)
    again = claims(KINDS, *options)
    assert again.parseoutcomes() == cold.parseoutcomes()
    assert len(names) > 10 and len(told(again)) == 11
    assert told(again)[-1].startswith(f"store: and {len(names) - 10} more like these")


def test_a_store_smaller_than_what_a_run_needs_loses_no_verdict(claims, pytester):
    store = pytester.path / "store"
    options = (f"--causal-cache-dir={store}", f"--rootdir={pytester.path}", "--causal-cache-size=24KB")
    cold = claims(KINDS, "--causal-no-cache", "--causal-json=cold.json")
    small = claims(KINDS, *options, "--causal-json=small.json")
    assert small.parseoutcomes() == cold.parseoutcomes()
    assert verdicts(pytester.path / "cold.json") == verdicts(pytester.path / "small.json")
    assert 0 < sum(one.nbytes for one in lying(store)) <= 24 << 10
    assert [line for line in told(small) if "larger than the 24 KB of --causal-cache-size" in line]


def test_a_size_of_zero_keeps_nothing_and_tells_nothing(claims, pytester):
    ran = claims(TWO, f"--causal-cache-dir={pytester.path / 'store'}", "--causal-cache-size=0")
    assert ran.ret == 0 and told(ran) == [] and not (pytester.path / "store").exists()


# A script


@pytest.fixture
def script(tmp_path: Path) -> Lab:
    """A lab whose store cannot be written."""
    (tmp_path / "store").write_text("a file")
    return Lab.load("organism:planted", settings=Settings(store=StorePlace(str(tmp_path / "store")), progress=False))


def estimate(lab: Lab) -> float:
    return float(
        (lab.denoise(planted.pairs(per_cluster=1), at=resid_post(1, last())).recovery(accuracy) > 0.3).estimate
    )


def test_a_script_is_warned(script, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with pytest.warns(CausaltestWarning, match="cannot be (read|written)"):
        assert estimate(script) == 1.0
    assert script.told() == []


def test_a_script_that_makes_warnings_errors_still_gets_its_number(script, capsys, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimate(script) == 1.0
    assert "cannot be written" in capsys.readouterr().err


def test_a_lab_with_another_seed_tells_what_the_one_that_loads_has_met(tmp_path):
    (tmp_path / "store").write_text("a file")
    lab = Lab.load("organism:planted", settings=Settings(store=StorePlace(str(tmp_path / "store")), progress=False))
    other = lab.with_seed("7")
    assert estimate(other) == 1.0
    assert other.told() and lab.told() == []
