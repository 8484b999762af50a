"""A warm run answers from the store, with the same report and without torch: the short form of benchmarks/faults."""

from __future__ import annotations

import shutil

from benchmarks.faults.warm import pytest

CLAIMS = """
import pytest
from causaltest import Pairs, at_least, accuracy, claim, last, resid_post, span, thought
from causaltest.organisms import planted

@pytest.fixture(scope="module")
def lab(make_lab):
    return make_lab("organism:planted")

@claim("The reader holds the value.", at_least(0.30, expecting=0.60))
@pytest.mark.parametrize("layer", [1, 2])
def test_reader(lab, layer):
    return lab.denoise(planted.pairs(), at=resid_post(layer, last())).recovery(accuracy)

def test_map(lab, causal_report):
    swept = lab.sweep(planted.pairs(per_cluster=1), at=resid_post(range(4), last())).recovery(accuracy)
    causal_report.say(str(swept.survivors()))
    assert lab.clean(planted.pairs(per_cluster=1)).eligible == 45
"""


def test_a_warm_run_imports_no_torch_and_reports_the_same(tmp_path):
    claims, place = tmp_path / "claims", tmp_path / "place"
    claims.mkdir()
    (claims / "test_planted.py").write_text(CLAIMS)
    cold = pytest(claims, place)
    assert "torch" in cold.heavy and cold.counts["anew"] == 2 and cold.counts["patched_runs"] > 0
    # They are only on the way to an answer, and gigabytes of a large model.
    shutil.rmtree(place / "store" / "runs")
    warm = pytest(claims, place)
    assert warm.heavy == () and warm.counts == {"stored": 2, "anew": 0, "patched_runs": 0}
    assert warm.report == cold.report
    assert "measurements: 2 read from the store, none made in this run" in warm.printed
