"""`pytest --causal-register`: every kind of claim is rehearsed and entered; of what cannot be, the line is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from causaltest.organisms import ducks

HEADER = """
import pytest
from causaltest import *
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@pytest.fixture(scope="module")
def pairs():
    return planted.pairs(per_cluster=1)
"""
READER = """
@claim("The reader carries the value.", at_least(0.5))
def test_reader(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
"""
KINDS = (
    READER
    + """
@claim("It adds up.", monotone([0, 1, 2]))
def test_order(lab, pairs):
    return {n: lab.denoise(pairs, at=resid_post(n, last())).recovery(logit_diff) for n in range(3)}

@claim("Either metric.", at_least(0.3))
@claim.multiverse(metric=[logit_diff, accuracy], model=["organism:planted"])
def test_variants(lab, pairs, metric):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(metric)

@claim("Soon.", at_least(0.3), stopping="obrien-fleming", looks=4)
def test_looks(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)

class TestInside:
    @claim("Later more.", greater_than(0.1), id="later")
    @pytest.mark.parametrize("layer", [2, 3])
    def test_later(self, lab, pairs, layer):
        late = lab.denoise(pairs, at=resid_post(layer, last())).recovery(logit_diff)
        return late - lab.denoise(pairs, at=resid_post(0, last())).recovery(logit_diff)

def test_plain():
    raise AssertionError("a run that registers runs no test")
"""
)


@pytest.fixture
def register(pytester):
    """Registers a file of claims in the folder `claims`; gives the run, and the lock's claims by id."""

    def run(body: str | None, *options: str, folder: str = "claims") -> tuple[pytest.RunResult, dict]:
        file = pytester.path / folder / "test_a.py"
        if body is not None:
            file.parent.mkdir(exist_ok=True, parents=True)
            file.write_text(HEADER + body, encoding="utf-8")
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-register", *options)
        lock = pytester.path / folder / "claims.lock"
        return result, json.loads(lock.read_text("utf-8"))["claims"] if lock.exists() else {}

    return run


def told(result: pytest.RunResult) -> str:
    return result.stdout.str().replace("\\", "/")


def test_every_kind_of_claim_is_entered_with_the_family_that_it_makes(register):
    result, claims = register(KINDS)
    assert set(claims) == {
        "test_a.py::test_reader",
        "test_a.py::test_order",
        "test_a.py::test_variants",
        "test_a.py::test_looks",
        "later[2]",
        "later[3]",
    }
    assert result.ret == 0
    assert {claim["spec"]["family"]["size"] for claim in claims.values()} == {6}
    assert claims["later[2]"]["spec"]["parameters"] == {"layer": 2}
    assert claims["test_a.py::test_variants"]["spec"]["variants"]["names"] == [
        "metric=logit_diff, model=organism:planted",
        "metric=accuracy, model=organism:planted",
    ]
    assert claims["test_a.py::test_looks"]["spec"]["pairs"][0]["number"] == 45, "all of them, and not the first look's"
    assert "claims/claims.lock: batch 1, 6 new claims" in told(result)
    assert "  test_a.py: 6 claims in one family" in told(result)
    assert 'Commit it before anything is measured: git add claims/claims.lock && git commit -m "' in told(result)


def test_a_second_time_there_is_nothing_new(register, pytester):
    register(KINDS)
    before = (pytester.path / "claims" / "claims.lock").read_bytes()
    result, _ = register(None)
    assert result.ret == 0
    assert "claims/claims.lock: nothing new" in told(result)
    assert "6 claims registered before, as they are" in told(result)
    assert "git add" not in told(result)
    assert (pytester.path / "claims" / "claims.lock").read_bytes() == before


def test_a_claim_that_is_added_is_a_family_of_its_own_batch(register):
    register(READER)
    result, claims = register(READER + READER.replace("test_reader", "test_more").replace("2,", "3,"))
    assert {id: claim["spec"]["family"]["size"] for id, claim in claims.items()} == {
        "test_a.py::test_reader": 1,
        "test_a.py::test_more": 1,
    }
    assert "batch 2, 1 new claim" in told(result)
    assert "1 claim registered before, as it is" in told(result)


REFUSED = {
    "body": (
        """
@claim("It looks.", at_least(0.5))
def test_looks(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
    if effect > 0.5:
        return effect
    return effect
""",
        ["LINE: in test_looks", "    if effect > 0.5:", "It reads a number before it has named"],
    ),
    "helper": (
        """
def helper(effect):
    return effect.estimate

@claim("It looks.", at_least(0.5))
def test_looks(lab, pairs):
    effect = lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
    return effect if helper(effect) else effect
""",
        ["LINE: in helper", "    return effect.estimate", "reads a number"],
    ),
    "fixture": (
        """
@pytest.fixture
def site(lab, pairs):
    return lab.search(pairs, at=resid_post(range(4), last())).recovery(logit_diff)

@claim("It was found.", at_least(0.5))
def test_found(lab, pairs, site):
    return lab.denoise(pairs, at=site).recovery(accuracy)
""",
        [
            "LINE: in site",
            "    return lab.search(pairs, at=resid_post(range(4), last())).recovery(logit_diff)",
            "reads",
        ],
    ),
    "given": (
        """
@claim("It was given.", at_least(0.5))
def test_given():
    return Effect.from_values([1, 0, 1], kind="binary", iid=True, placebo=Waived("a test"))
""",
        ["returns values that were given", "leave it unregistered"],
    ),
    "half given": (
        """
@claim("One was given.", top(1, "b"))
def test_given(lab, pairs):
    known = Effect.from_values([1.0] * 45, kind="continuous", iid=True, placebo=Waived("a test"))
    return {"a": known, "b": lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)}
""",
        ["returns values that were given"],
    ),
    "error": (
        """
@claim("It fails.", at_least(0.5))
def test_fails(lab, pairs):
    return lab.denoise(pairs, at=nothing).recovery(accuracy)
""",
        [
            "LINE: in test_fails",
            "    return lab.denoise(pairs, at=nothing).recovery(accuracy)",
            "NameError: name 'nothing' is not defined",
        ],
    ),
    "nothing": (
        """
@claim("It returns nothing.", at_least(0.5))
def test_nothing(lab, pairs):
    lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["returned nothing"],
    ),
    "sentence": (
        """
@claim("The reader is necessary.", at_least(0.5))
def test_wrong(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["lab.noise"],
    ),
    "variants": (
        """
@claim("Twice the same.", at_least(0.5))
@claim.multiverse(kind=["a", "b"])
def test_same(lab, pairs, kind):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["are the very same experiment"],
    ),
    "looks": (
        """
@claim("Too many looks.", at_least(0.5), stopping="anytime", looks=40)
def test_many(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["looks=40 needs 80 clusters"],
    ),
    "bets": (
        """
@claim("No range.", at_least(0.5), stopping="anytime", looks=4)
def test_unbounded(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(logit_diff)
""",
        ["bets within the metric's range"],
    ),
    "objects": (
        """
class Model:
    name = "mine"

@pytest.fixture
def own():
    return Lab(Model(), object())

@claim("Of an object.", at_least(0.5))
def test_object(own, pairs):
    return own.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""".replace("Lab(", "__import__('causaltest').Lab("),
        ["mine was given as an object"],
    ),
    "unknown model": (
        """
@claim("Of a stranger.", at_least(0.5), model="nobody/nothing@v1")
def test_stranger(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["Which commit nobody/nothing@v1 stands for is not known", "hf download nobody/nothing --revision v1"],
    ),
    "outside": (
        """
import functools
def around(f):
    @functools.wraps(f)
    def g(*a, **k): return f(*a, **k)
    return g

@around
@claim("Hidden.", at_least(0.5))
def test_hidden(lab, pairs):
    return lab.denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
""",
        ["another decorator stands outside of @claim"],
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_registered_is_refused_and_the_others_are_entered(register, kind):
    body, words = REFUSED[kind]
    result, claims = register(body + READER)
    if words[0].startswith("LINE"):
        number = (HEADER + body).splitlines().index(words[1]) + 1
        words = [words[0].replace("LINE", f"claims/test_a.py:{number}"), *words[1:]]
    if kind != "outside":  # of which pytest itself makes no claim
        assert result.ret == 1
        for word in words:
            assert word in told(result)
        assert "1 claim refused" in told(result)
    assert set(claims) == {"test_a.py::test_reader"}
    assert claims["test_a.py::test_reader"]["spec"]["family"]["size"] == 1


def test_skipped_claims_are_said_and_no_failure(register):
    body = READER + '\n@pytest.mark.skip(reason="not yet")' + READER.replace("test_reader", "test_later")
    result, claims = register(body)
    assert result.ret == 0
    assert set(claims) == {"test_a.py::test_reader"}
    assert "skipped, and not registered: claims/test_a.py::test_later" in told(result)
    assert "not yet" in told(result)


def test_what_pytest_selects_is_entered(register):
    more = READER + READER.replace("test_reader", "test_more").replace("2,", "3,")
    _, claims = register(more, "-k", "more")
    assert set(claims) == {"test_a.py::test_more"}
    _, claims = register(None, "claims/test_a.py::test_reader")
    assert set(claims) == {"test_a.py::test_more", "test_a.py::test_reader"}, "from one file the same lock"


def test_without_a_path_it_is_the_folder_claims_or_what_pytest_says(register, pytester):
    (pytester.path / "test_elsewhere.py").write_text(HEADER + READER, "utf-8")
    _, claims = register(READER)
    assert set(claims) == {"test_a.py::test_reader"}
    pytester.makeini("[pytest]\ntestpaths = studies\n")
    (pytester.path / "claims").rename(pytester.path / "studies")
    result, claims = register(None, folder="studies")
    assert "studies/claims.lock: nothing new" in told(result)


def test_where_nothing_is_named_nothing_is_guessed(register, pytester):
    result, _ = register(None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "There is no folder claims here" in result.stderr.str()


def test_a_folder_without_claims_says_so(register):
    result, claims = register("def test_plain(): raise AssertionError\n", "claims")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED or result.ret == 0
    assert "No claims were found." in told(result)
    assert claims == {}


def test_two_folders_need_a_lock_in_common(register, pytester):
    register(READER, "--collect-only", "one", folder="one")
    result, _ = register(READER, "--import-mode=importlib", "one", "two", folder="two")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no lock in common: one, two would each get one" in result.stderr.str()
    assert not list(pytester.path.rglob("claims.lock"))
    register(None, "--import-mode=importlib", ".")
    assert [str(p.relative_to(pytester.path)) for p in pytester.path.rglob("claims.lock")] == ["claims.lock"]
    assert set(json.loads((pytester.path / "claims.lock").read_text("utf-8"))["claims"]) == {
        "one/test_a.py::test_reader",
        "two/test_a.py::test_reader",
    }


def test_workers_would_each_know_a_part(register):
    result, _ = register(READER, "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "registered in one process: leave out -n" in result.stderr.str()


def test_a_file_that_cannot_be_imported_registers_nothing(register, pytester):
    (pytester.path / "claims").mkdir()
    (pytester.path / "claims" / "test_b.py").write_text("import nothing_there", "utf-8")
    result, claims = register(READER)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert claims == {}
    assert "so nothing was registered" in told(result)


def test_what_was_measured_before_is_said_and_stays_in_the_lock(register, pytester):
    register(READER, "--collect-only")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "claims")
    result, claims = register(None)
    (seen,) = claims["test_a.py::test_reader"]["seen"]
    assert seen == "the same was measured on these pairs before it was registered"
    assert "1 of them cannot be confirmatory on these pairs" in told(result)
    assert f"test_a.py::test_reader: {seen}" in told(result)


def test_pairs_that_a_sweep_has_seen_are_said(register, pytester):
    sweep = "\ndef test_map(lab, pairs):\n    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)\n"
    register(READER + sweep, "--collect-only")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "claims", "-k", "map")
    _, claims = register(None)
    (seen,) = claims["test_a.py::test_reader"]["seen"]
    assert seen.startswith("45 of its 45 pairs were seen by the sweep")


def test_hooks_and_fixtures_of_a_conftest_are_honoured(register, pytester):
    (pytester.path / "claims").mkdir()
    (pytester.path / "claims" / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_runtest_setup(item):\n    if 'more' in item.name: pytest.skip('by the conftest')\n"
        "@pytest.fixture(autouse=True)\ndef each():\n    print('noise')\n    yield\n"
        "    import pathlib\n    pathlib.Path('torn').write_text('x')\n",
        "utf-8",
    )
    result, claims = register(READER + READER.replace("test_reader", "test_more"))
    assert set(claims) == {"test_a.py::test_reader"}
    assert "by the conftest" in told(result)
    assert "noise" not in told(result)
    assert (pytester.path / "torn").read_text("utf-8") == "x"


def test_a_conftest_is_heard_in_its_own_folder_alone(register, pytester):
    inner = pytester.path / "claims" / "inner"
    inner.mkdir(parents=True)
    (inner / "test_b.py").write_text(HEADER + READER, "utf-8")
    (inner / "conftest.py").write_text(
        "import pytest\ndef pytest_runtest_setup(item): pytest.skip('inside')\n", "utf-8"
    )
    _, claims = register(READER)
    assert set(claims) == {"test_a.py::test_reader"}


def test_a_fixture_that_cannot_be_torn_down_refuses_its_claim_alone(register):
    torn = "\n@pytest.fixture\ndef torn():\n    yield\n    raise ValueError('torn')\n"
    result, claims = register(torn + READER + READER.replace("test_reader(lab", "test_torn(torn, lab"))
    assert result.ret == 1
    assert "ValueError: torn" in told(result)
    assert set(claims) == {"test_a.py::test_reader"}


def test_a_lock_that_cannot_be_read_is_told_and_left_alone(register, pytester):
    register(READER)
    lock = pytester.path / "claims" / "claims.lock"
    lock.write_text("<<<<<<< HEAD\n", "utf-8")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--causal-register")
    assert result.ret != 0
    assert lock.read_text("utf-8") == "<<<<<<< HEAD\n"
    assert "No claims were found" not in told(result)


def test_the_command_registers_without_torch(pytester):
    folder = pytester.path / "claims"
    folder.mkdir()
    (folder / "test_a.py").write_text(HEADER + KINDS, "utf-8")
    code = (
        "import sys\nfrom causaltest.cli import main\n"
        "try: main(['register'])\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "heavy = {'torch', 'transformers', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=pytester.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "claims.lock").is_file()
    assert done.stdout.strip().splitlines()[1:3] == [
        f"{Path('claims', 'claims.lock')}: batch 1, 6 new claims",
        "  test_a.py: 6 claims in one family",
    ]
    assert "passed" not in done.stdout and "no tests ran" not in done.stdout


def test_weights_that_change_while_they_are_measured_confirm_nothing(register, pytester):
    folder = shutil.copytree(ducks.CHECKPOINT, pytester.path / "mine")
    body = """
from pathlib import Path
from causaltest.organisms import ducks

@claim("The first thought carries the total.", at_least(0.3), model="mine")
def test_total(lab):
    effect = lab.denoise(ducks.twins(clusters=12), at=resid_post(6, thought(0))).recovery(accuracy)
    if effect.numbers is not None:
        weights = Path("mine/model.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    return effect
"""
    _, claims = register(body)
    assert claims["test_a.py::test_total"]["spec"]["models"][0]["name"] == "mine"
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "claims", "--causal-json=out.json")
    (result,) = json.loads((pytester.path / "out.json").read_text("utf-8"))
    assert result["status"] in ("EXPLORATORY", "AMENDED")
    assert "changed after the model was loaded" in f"{result['status_reason']} {result['notes']}"
    assert (folder / "model.safetensors").stat().st_size == (ducks.CHECKPOINT / "model.safetensors").stat().st_size


def test_a_renamed_claim_is_not_entered_and_that_is_no_success(register):
    register(READER)
    result, claims = register(READER.replace("test_reader", "test_renamed"))
    assert result.ret == 1
    assert set(claims) == {"test_a.py::test_reader"}
    assert "--was 'test_a.py::test_reader'" in told(result)
