"""Claims on two workers: the same verdicts, standings, families, numbers and tables as in one process.

Few suites, each with much in it, as starting workers takes far longer than measuring.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from kinds import KINDS, PLANTED
from records import commit, repository

from causaltest.cli import main
from causaltest.pytest_results import SUITE, Results
from causaltest.pytest_workers import FOLDER, TOLD_IN, ask, tell, units_told
from causaltest.recording.baseline import baseline_file
from causaltest.report_properties import TOLD

pytest.importorskip("xdist")

OF_A_LINE = ("at", "previous", "hash", "sightings")
"""What is another in a ledger that is written in another order: the first line that saw some pairs names them."""


def test_the_same_suite_says_the_same_alone_and_on_two_workers(claims, pytester):
    ledger, seen = pytester.path / "claims.ledger", Path(os.environ["CAUSALTEST_CACHE_DIR"], "seen.jsonl")
    repository(pytester.path)
    claims(KINDS, "--causal-register", ".")
    commit(pytester.path)
    looks, tables = [], []
    for name, workers in (("one", ()), ("two", ("-n", "2"))):
        ran = claims(KINDS, f"--causal-json={name}.json", f"--causal-save={name}", *workers)
        ran.stdout.re_match_lines([r"causaltest .* claims\.lock 7 registered "])
        lines = map(json.loads, ledger.read_text().splitlines())
        told = [{field: value for field, value in line.items() if field not in OF_A_LINE} for line in lines]
        looks.append(sorted(told, key=lambda line: line["claim"]))
        tables.append([line.replace(f"baselines/{name}.", "") for line in table_of(ran)])
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["verify", "."])
        # the next run is a first look, too
        ledger.unlink()
        seen.unlink()
    one, two = (json.loads((pytester.path / name).read_text()) for name in ("one.json", "two.json"))
    for claim in (*one, *two):
        del claim["runs"]
    assert one == two
    assert tables[0] == tables[1]
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


EARLY, LATE = (
    f"""
@claim("The reader holds the value.", at_least(0.5), id="{name}")
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post({layer}, last())).recovery(accuracy)
"""
    for name, layer in (("early", 2), ("late", 3))
)
SWEEP = """
def test_map(lab, pairs):
    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)
"""
OTHER = """
import pytest

@pytest.mark.parametrize("n", range(8))
def test_plain(n):
    pass
"""


def test_a_claim_stands_on_workers_as_alone_by_what_came_before_it(pytester):
    """What a plain test of the same lock sweeps between two files of claims, only the second has been seen by."""
    ledger, seen = pytester.path / "claims/claims.ledger", Path(os.environ["CAUSALTEST_CACHE_DIR"], "seen.jsonl")
    files = {"a_early": PLANTED + EARLY, "b_map": PLANTED + SWEEP, "c_late": PLANTED + LATE, "d_other": OTHER}
    (pytester.path / "claims").mkdir()
    for name, body in files.items():
        (pytester.path / f"claims/test_{name}.py").write_text(body, encoding="utf-8")
    pytester.makepyfile(test_first=OTHER)
    repository(pytester.path)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-register", "claims").assert_outcomes()
    commit(pytester.path)
    told, ran = [], None
    for workers in ((), ("-n2", "-v")):
        ran = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-json=out.json", *workers)
        ran.assert_outcomes(passed=19)
        lines = map(json.loads, ledger.read_text().splitlines())
        report = json.loads((pytester.path / "out.json").read_text())
        told.append(
            (
                [(one["id"], one["status"], one["status_reason"]) for one in report],
                [{name: value for name, value in line.items() if name not in OF_A_LINE[:3]} for line in lines],
            )
        )
        ledger.unlink()
        seen.unlink()
    assert told[0] == told[1]
    assert [status for _, status, _ in told[1][0]] == ["CONFIRMATORY", "EXPLORATORY"]
    assert [line["kind"] for line in told[1][1]] == ["look", "sweep", "look"]
    assert (
        len({worker for name in files if name != "d_other" for worker in by_worker(ran)[f"claims/test_{name}.py"]}) == 1
    )


def test_the_files_of_a_lock_are_spread_where_none_but_claims_could_look_at_pairs(pytester):
    (pytester.path / "claims").mkdir()
    for name, body in {"a_early": EARLY, "c_late": LATE}.items():
        (pytester.path / f"claims/test_{name}.py").write_text(PLANTED + body, encoding="utf-8")
    pytester.makepyfile(test_other=OTHER)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-register", "claims").assert_outcomes()
    files = ["claims/test_a_early.py", "claims/test_c_late.py"]
    assert units_of(pytester) == {file: file for file in files}
    (pytester.path / "claims/test_b_map.py").write_text(PLANTED + SWEEP, encoding="utf-8")
    assert units_of(pytester) == dict.fromkeys([*files, "claims/test_b_map.py"], str(pytester.path / "claims"))
    (pytester.path / "claims/claims.lock").unlink()
    assert units_of(pytester) == {file: file for file in files}


def units_of(pytester: pytest.Pytester) -> dict[str, str]:
    """What a worker would tell of the files here."""
    told = {}

    class Watch:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session):
            told.update(session.config.stash[SUITE].units(session.items))

    pytester.inline_run("-p", "no:cacheprovider", "--collect-only", "-q", plugins=[Watch()])
    return told


def table_of(ran: pytest.RunResult) -> list[str]:
    """The lines of the summary: what tests have said, the table, the counts."""
    begin = next(n for n, line in enumerate(ran.outlines) if re.match("=+ causal claims =+", line))
    end = next((n for n, line in enumerate(ran.outlines) if n > begin and line.startswith("==")), None)
    return ran.outlines[begin + 1 : end]


HEAD = """
import os, time, pytest
from causaltest import Effect, Waived, at_least, claim

def given(right):
    return Effect.from_values([1] * right + [0] * (60 - right), kind="binary", iid=True, placebo=Waived("a test"))
"""

FILE = (
    HEAD
    + """
time_s = {time_s}

@claim("{name} holds.", at_least(0.3))
@pytest.mark.parametrize("right", [50, 51, 52])
def test_holds(right, causal_report):
    time.sleep(time_s)
    causal_report.say(f"{name} {{right}}")
    return given(right)

def test_plain():
    assert given(50) > 0.3
"""
)

PLAIN = """
import pytest

@pytest.mark.parametrize("n", range(12))
def test_plain(n):
    pass
"""


def by_worker(ran: pytest.RunResult) -> dict[str, dict[str, list[str]]]:
    """Of each file, the tests that each worker ran, from what -v prints."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in ran.outlines:
        if told := re.match(r"\[(gw\d+)\] \[ *\d+%\] \w+ (\S+\.py)::(\S+)", line):
            worker, file, test = told.groups()
            found.setdefault(file, {}).setdefault(worker, []).append(test)
    return found


@pytest.fixture
def several(pytester: pytest.Pytester) -> pytest.Pytester:
    """Three files of claims, of which the first takes longest, and one of plain tests."""
    names = {"test_a": 0.4, "test_b": 0.0, "test_c": 0.0}
    pytester.makepyfile(**{name: FILE.format(name=name, time_s=time_s) for name, time_s in names.items()})
    pytester.makepyfile(test_d=PLAIN)
    return pytester


def test_a_file_with_claims_stays_on_one_worker_and_the_table_is_a_serial_run_s(several):
    runs = {
        name: several.runpytest_inprocess("-v", "-p", "no:cacheprovider", f"--causal-json={name}.json", *options)
        for name, options in {"alone": ("-p", "no:xdist"), "files": ("-n2",)}.items()
    }
    tests = ["test_holds[50]", "test_holds[51]", "test_holds[52]", "test_plain"]
    assert "scheduling tests via ClaimScheduling" in runs["files"].outlines
    ran = by_worker(runs["files"])
    for file in ("test_a.py", "test_b.py", "test_c.py"):
        assert list(ran[file].values()) == [tests]
    assert sum(map(len, ran["test_d.py"].values())) == 12
    tables = {name: table_of(one) for name, one in runs.items()}
    assert tables["files"] == tables["alone"]
    assert [line for line in tables["alone"] if line.startswith("test_") and len(line) < 12] == [
        f"test_{name} {right}" for name in "abc" for right in (50, 51, 52)
    ]
    reports = [json.loads((several.path / f"{name}.json").read_text()) for name in runs]
    assert len(reports[0]) == 9 and reports[0] == reports[1]


def test_a_suite_without_claims_is_handed_out_as_without_the_plugin(pytester):
    pytester.makepyfile(PLAIN)
    ran = pytester.runpytest_inprocess("-v", "-n2", "-p", "no:cacheprovider")
    ran.assert_outcomes(passed=12)
    assert "scheduling tests via LoadScheduling" in ran.outlines


def test_a_worker_that_dies_loses_no_other_claim(several):
    several.makepyfile(
        test_b=HEAD
        + """
calls = []

@claim("It dies.", at_least(0.3))
@pytest.mark.parametrize("n", range(4))
def test_dies(n):
    calls.append(n)
    if calls.count(1) == 2:  # the first time it is rehearsed
        os._exit(3)
    return given(50)
"""
    )
    ran = several.runpytest_inprocess("-n2", "-p", "no:cacheprovider", "--causal-json=report.json")
    ran.assert_outcomes(failed=1, passed=4 + 3 + 4 + 12)
    ran.stdout.re_match_lines([r".*crashed while running 'test_b.py::test_dies\[1\]'"])
    told = {claim["nodeid"]: claim["verdict"] for claim in json.loads((several.path / "report.json").read_text())}
    assert len(told) == 9 and set(told.values()) == {"SUPPORTED"} and "test_b.py::test_dies[1]" not in told
    assert {f"test_b.py::test_dies[{n}]" for n in (0, 2, 3)} <= set(told)


def test_selected_claims_keep_their_families_and_a_first_failure_stops_the_run(several):
    several.makepyfile(test_b=FILE.format(name="test_b", time_s=0.0).replace("[50, 51, 52]", "[50, 5, 52]"))
    ran = several.runpytest_inprocess("-n2", "-x", "--causal-json=first.json")
    assert ran.ret == pytest.ExitCode.INTERRUPTED and ran.parseoutcomes()["failed"] == 1
    again = several.runpytest_inprocess("-n2", "--lf", "-k", "holds", "--causal-json=again.json")
    again.assert_outcomes(failed=1)
    (claim,) = json.loads((several.path / "again.json").read_text())
    assert claim["nodeid"] == "test_b.py::test_holds[5]" and claim["family_size"] == 3


def started(config: object) -> SimpleNamespace:
    return SimpleNamespace(gateway=SimpleNamespace(spec=SimpleNamespace(popen=True)), workerinput={"workerid": "gw0"})


class Config(SimpleNamespace):
    """What of a config this needs."""

    def __init__(self) -> None:
        super().__init__(stash=pytest.Stash(), cleanups=[])

    def add_cleanup(self, clean: object) -> None:
        self.cleanups.append(clean)


def test_workers_tell_which_files_stay_together_and_nothing_is_left_behind():
    config = Config()
    assert units_told(config) == {}
    for worker in ("gw0", "gw1"):
        node = started(config)
        ask(config, node)
        given = {**node.workerinput, "workerid": worker}
        tell(SimpleNamespace(workerinput=given), {"a/test_x.py": "a", f"test_{worker}.py": "."}.copy)
    folder = config.stash[FOLDER]
    (folder / "odd.json").write_text("no JSON")
    (folder / "list.json").write_text("[1]")
    assert units_told(config) == {"a/test_x.py": "a", "test_gw0.py": ".", "test_gw1.py": "."}
    for clean in config.cleanups:
        clean()
    assert not folder.exists()


def test_what_stores_tell_is_in_the_order_of_a_serial_run_whichever_worker_was_first():
    met = {"test_a": ["c"], "test_b": ["b", "c", "a"], "test_d": ["d"]}
    orders = []
    for ids, arriving in (((), ("test_a", "test_b", "test_d")), (tuple(met), ("test_d", "test_b", "test_a"))):
        results = Results(Config())
        if ids:
            results.pytest_xdist_node_collection_finished(ids)
        for nodeid in arriving:
            told = [(TOLD, sentence) for sentence in met[nodeid]]
            results.pytest_runtest_logreport(SimpleNamespace(nodeid=nodeid, user_properties=told, when="call"))
        orders.append(told_by(results))
    assert orders == [["store: c", "store: b", "store: a", "store: d"]] * 2


def told_by(results: Results) -> list[str]:
    """The lines of stores in the report."""
    written: list[str] = []
    reporter = SimpleNamespace(section=lambda _: None, verbosity=0, write_line=written.append)
    results.config.getoption = lambda _: None
    results.pytest_terminal_summary(reporter)
    return [line for line in written if line.startswith("store: ")]


def test_where_nothing_can_be_told_nothing_stays_together(monkeypatch, tmp_path):
    def full(**_: object) -> str:
        raise OSError("no space left")

    config, node = Config(), started(None)
    monkeypatch.setattr("tempfile.mkdtemp", full)
    ask(config, node)
    assert TOLD_IN not in node.workerinput and units_told(config) == {}
    tell(SimpleNamespace(workerinput={TOLD_IN: str(tmp_path / "gone"), "workerid": "gw0"}), lambda: {"a.py": "a"})
    tell(SimpleNamespace(), lambda: {"a.py": "a"})
    elsewhere = SimpleNamespace(gateway=SimpleNamespace(spec=SimpleNamespace(popen=None)), workerinput={})
    ask(config, elsewhere)
    assert elsewhere.workerinput == {}


@pytest.mark.parametrize("option", ["--causal-plan", "--causal-power"])
def test_what_is_worked_out_of_all_claims_is_refused_on_workers_which_each_know_a_part(pytester, option):
    ran = pytester.runpytest_inprocess("-n2", option)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{option} is worked out in one process: leave out -n, or give -n 0." in ran.stderr.str()


NAMES = (
    HEAD
    + """
@claim("It names a model.", at_least(0.3))
def test_holds(make_lab):
    make_lab("organism:planted")
    return given(50)
"""
)


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_model_that_was_to_be_replaced_and_that_nobody_names_is_an_error(pytester, workers):
    pytester.makepyfile(NAMES)
    ran = pytester.runpytest_inprocess("--causal-model=organism:plantd=organism:bypass", *workers)
    ran.assert_outcomes(passed=1)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stdout.fnmatch_lines(["ERROR: *no claim names 'organism:plantd'; the models named are *organism:planted*"])


def test_a_model_that_only_a_lost_worker_has_named_is_not_said_to_be_unknown(pytester):
    dies = """
def test_dies(make_lab):
    make_lab("organism:bypass")
    os._exit(3)
"""
    pytester.makepyfile(test_a=NAMES, test_b=HEAD + dies)
    ran = pytester.runpytest_inprocess("--causal-model=organism:bypass=organism:planted", "-n2")
    ran.assert_outcomes(failed=1, passed=1)
    assert "no claim names" not in ran.stdout.str()
