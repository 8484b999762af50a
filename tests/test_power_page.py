"""The page about power prints what the command prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pages import block

ROOT = Path(__file__).parent.parent


def test_the_pages_claims_need_what_the_page_says(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_total.py").write_text(block("docs/power.md", "claims"))
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "causaltest.cli", "power", "."]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert block("docs/power.md", "power").strip() in done.stdout
