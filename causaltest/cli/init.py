"""`causaltest init` starts a folder of claims."""

from __future__ import annotations

from pathlib import Path

import click

CONFTEST = '''"""The lab and the pairs that the claims of this folder share."""

import pytest

from causaltest import Lab, Pairs
from causaltest.organisms import ducks


@pytest.fixture(scope="module")
def lab(make_lab) -> Lab:
    return make_lab("organism:ducks")  # or a checkpoint folder, or "org/name@revision"


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    return ducks.twins(sentence=1)  # or Pairs.from_jsonl("pairs.jsonl")
'''

CLAIM = '''"""A first claim. Run it with `pytest` in this folder."""

from causaltest import Effect, Lab, Pairs, accuracy, at_least, claim, resid_post, thought


@claim("The first [THINK] at layer 6 carries the running total.", at_least(0.30, expecting=0.60))
def test_first_thought(lab: Lab, pairs: Pairs) -> Effect:
    return lab.denoise(pairs, at=resid_post(6, thought(0))).recovery(accuracy)
'''


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="claims")
def init(folder: Path) -> None:
    """Write a first claim and its fixtures to FOLDER (claims by default)."""
    files = {folder / "conftest.py": CONFTEST, folder / "test_first_claim.py": CLAIM}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise click.ClickException(f"{', '.join(there)} exists already; name another folder or move it away.")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo(f"Run it: pytest {folder}")
