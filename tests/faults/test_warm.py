"""A warm run answers from the store: the same report, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CLAIMS = """
import pytest
from causaltest import Pairs, at_least, accuracy, claim, resid_post, thought
from causaltest.organisms import ducks

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:ducks")

@claim("The first thought carries the total.", at_least(0.30, expecting=0.60))
@pytest.mark.parametrize("layer", [6, 7])
def test_total(lab, layer):
    pairs = ducks.twins(sentence=1, clusters=12, per_cluster=2, seed=7)
    return lab.denoise(pairs, at=resid_post(layer, thought(0))).recovery(accuracy)
"""
WATCHED = "import sys, pytest; s = pytest.main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(s)"


def run(folder: Path, store: Path) -> tuple[str, dict]:
    report = folder / "report.json"
    words = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    words += [f"--causal-cache-dir={store}", f"--causal-json={report}", str(folder)]
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment["CAUSALTEST_CACHE_DIR"] = str(folder / "cache")
    ran = subprocess.run([sys.executable, "-c", WATCHED, *words], capture_output=True, text=True, env=environment)
    return ran.stdout, json.loads(report.read_text())


def test_a_warm_run_imports_no_torch_and_reports_the_same(tmp_path):
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "test_ducks.py").write_text(CLAIMS)
    cold, first = run(folder, tmp_path / "store")
    warm, second = run(folder, tmp_path / "store")
    assert cold.splitlines()[-1] == "True" and warm.splitlines()[-1] == "False"
    for report in (first, second):
        for one in report:
            one.pop("runs")
            one.pop("seen"), one.pop("status_reason")
    assert first == second
