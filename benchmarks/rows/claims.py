"""What claims cost beside a sweep of the same sites, and `pytest claims` from nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import claims_cold
from benchmarks.beside import filled
from benchmarks.row import Options, Row
from benchmarks.timing import Timed, median, paired

PAIRS = 8

CONFTEST = """
import pytest

@pytest.fixture(scope="module")
def lab(given):
    return given.lab

@pytest.fixture(scope="module")
def pairs(given):
    return given.pairs
"""
SWEEP = """
from causaltest import index, logit, resid_post

def test_sweep(lab, pairs, given):
    given.map = lab.sweep(pairs, at=resid_post(range(12), index(9, 18, 27))).change(logit).estimate
"""
CLAIMS = """
import pytest
from causaltest import Effect, at_least, claim, index, logit, resid_post

@claim("The stream carries the answer here.", at_least(0.5))
@pytest.mark.parametrize("t", (9, 18, 27))
@pytest.mark.parametrize("layer", range(12))
def test_site(lab, pairs, layer, t) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, index(t))).change(logit, placebo={placebo})
"""


class Given:
    """What the generated suites measure with: a plugin that hands itself to their fixtures."""

    def __init__(self, lab: Any, pairs: Any) -> None:
        self.lab, self.pairs, self.map = lab, pairs, None

    @pytest.fixture(scope="session")
    def given(self) -> Given:
        return self


def without_placebo(options: Options) -> list[Row]:
    """36 claims beside one sweep of their 36 sites; self-patch and positive control cannot be left out."""
    return [beside(options, placebo=False)]


def with_every_control(options: Options) -> list[Row]:
    return [beside(options, placebo=True)]


def beside(options: Options, *, placebo: bool) -> Row:
    from benchmarks.compare import Same
    from benchmarks.models import gpt2_small, problem, random_pairs
    from benchmarks.ours import opened

    given, pairs = problem(gpt2_small()), random_pairs(PAIRS)
    runs: dict[str, int] = {}

    def suite(folder: Path, name: str) -> Timed:
        """A pytest run of one file, the lab opened and nothing measured."""
        plugin = Given(opened(given.model, given.tokenizer), pairs)
        start = time.perf_counter()
        seen = run_pytest(folder, name, plugin)
        took = time.perf_counter() - start
        runs[name] = plugin.lab.counts["patched_runs"]
        return Timed(took, seen if plugin.map is None else plugin.map.ravel())

    same = Same()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_sweep.py").write_text(SWEEP)
        (folder / "test_claims.py").write_text(CLAIMS.format(placebo=placebo))
        both = paired(
            lambda: suite(folder, "test_sweep.py"),
            lambda: suite(folder, "test_claims.py"),
            repeats=max(1, options.repeats - 1),
            check=same,
        )
    per_run = median(both.ratios) * runs["test_sweep.py"] / runs["test_claims.py"]
    row = Row(
        f"36 claims over sites, {'every control' if placebo else 'no placebo'}, {PAIRS} pairs, GPT-2 small",
        "a sweep of the 36 sites",
        unit="x its time",
        better="less",
        at_least=None if placebo else 1.3,
        aim=None if placebo else 1.1,
        notes=(
            f"Two pytest runs. The claims made {runs['test_claims.py']} patched runs, the sweep "
            f"{runs['test_sweep.py']}: {per_run:.2f} x the time per patched run."
        ),
    )
    row = filled(row, both, same.worst)
    # The claims are what is looked at here, so they stand under "ours".
    return dataclasses.replace(row, ours=row.theirs, theirs=row.ours)


def run_pytest(folder: Path, name: str, plugin: Given) -> list[float]:
    """The estimates of the claims, by layer and position; none for a suite without claims."""
    out, path = io.StringIO(), folder / f"{name}.json"
    with contextlib.redirect_stdout(out):
        code = pytest.main(
            [
                "-q",
                "--import-mode=importlib",
                "-p",
                "no:cacheprovider",
                f"--causal-json={path}",
                f"--rootdir={folder}",
                str(folder / name),
            ],
            plugins=[plugin],
        )
    # 1: claims that are not supported, which is no matter here.
    if code not in (0, 1) or not path.exists():
        raise RuntimeError(f"pytest ended with {code}:\n{out.getvalue()}")
    return [c["estimate"] for c in sorted(json.loads(path.read_text()), key=place)]


def place(result: dict[str, Any]) -> tuple[int, ...]:
    """Layer and position of a claim, from the parameters in its id."""
    return tuple(map(int, result["nodeid"].rpartition("[")[2].rstrip("]").split("-")))


def cold(_: Options) -> list[Row]:
    """`pytest claims` in a process of its own, once."""
    ran = claims_cold.measured()
    # 1: claims that are not supported; anything else is no run of them.
    if ran.code not in (0, 1):
        raise RuntimeError(f"pytest claims ended with {ran.code}: {ran.said}")
    row = Row("pytest claims, cold", "", unit="s", better="less", at_least=90.0, aim=45.0, figure=ran.seconds)
    note = f"Once, one thread, {ran.peak_gib:.2f} GiB: {ran.said}"
    return [dataclasses.replace(row, ours=f"{ran.seconds:.0f} s", notes=note)]
