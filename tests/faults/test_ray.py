"""A real Ray cluster: no clean run is computed twice, and a node that is killed takes no number with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed")
ROOT = Path(__file__).parents[2]


def test_a_node_that_is_killed_halfway_takes_nothing_with_it():
    """In a process of its own, for which a cluster of two nodes is begun."""
    script = (
        "import dataclasses, json\n"
        "from benchmarks.faults.ray_kill import killed\n"
        "print(json.dumps(dataclasses.asdict(killed(times=1))))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found == {"kills": found["replaced"], "halfway": 1, "replaced": found["kills"], "wrong": 0, "twice": 0}
