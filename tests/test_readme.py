"""The README's claim prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pages import block


def test_the_readmes_claim_prints_the_readmes_output(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run = [sys.executable, "-m"]
    subprocess.run([*run, "causaltest.cli", "init"], cwd=tmp_path, check=True, capture_output=True)
    written = (tmp_path / "claims" / "test_first_claim.py").read_text()
    assert block("README.md", "claim").strip() in written
    done = subprocess.run([*run, "pytest", "-v", "claims"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert block("README.md", "output") in done.stdout


def test_init_never_overwrites(tmp_path):
    run = [sys.executable, "-m", "causaltest.cli", "init"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    again = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "exists already; name another folder" in again.stderr


def test_every_link_of_the_readme_and_docs_leads_somewhere():
    root = Path(__file__).parent.parent
    for page in (root / "README.md", *root.glob("docs/**/*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_test_that_the_reliability_page_names_exists():
    root = Path(__file__).parent
    page = (root.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) > 50
    for file, test in named:
        assert f"def {test}(" in (root / file).read_text(encoding="utf-8"), f"{file}::{test}"
