"""The command line: `causaltest init` starts a folder of claims."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from causaltest import Lab, __version__
from causaltest.asking.settings import Dtype, Settings
from causaltest.errors import CausaltestError

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


@click.group()
@click.version_option(__version__, prog_name="causaltest")
def main() -> None:
    """Causal claims about transformers, measured and judged by pytest."""


@main.command()
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


@main.command()
@click.argument("name")
@click.option("--text", default=None, help="a text to show as tokens")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16", "float64"]), default="float32")
@click.option("--trust-remote-code", is_flag=True, help="let code that comes with the checkpoint run")
def model(name: str, text: str | None, dtype: Dtype, trust_remote_code: bool) -> None:
    """Show a model's shape, which of its sites are proven, and how it reads a text.

    NAME is organism:NAME, the folder of a checkpoint, or org/name@revision.
    """
    lab = Lab.load(name, settings=Settings(dtype=dtype, trust_remote_code=trust_remote_code))
    try:
        click.echo(lab.card(text))
    except CausaltestError as error:
        raise click.ClickException(str(error)) from error


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plan(arguments: tuple[str, ...]) -> None:
    """Print what measuring the claims takes, before any of it runs: `causaltest plan claims/`.

    Takes what pytest takes: paths, -k, --causal-model, --causal-memory.
    """
    run_pytest("--causal-plan", *arguments)


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--effect", type=float, help="the true effect of every claim, in place of what it expects")
@click.option("--sd", type=float, help="standard deviation of one pair's effect; of right or wrong it is known")
@click.option("--icc", type=float, help="correlation of two pairs of one cluster (default: 0.1)")
@click.option("--placebo", type=float, help="the true effect of the placebo")
@click.option(
    "--simulations", type=int, help="samples drawn for one number of pairs (default: 400, or fewer where they do)"
)
@click.option("--json", "path", metavar="FILE", help="write the numbers and power curves to this file")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def power(arguments: tuple[str, ...], path: str | None, **assumed: float | None) -> None:
    """Print the pairs that each claim needs, before anything is measured: `causaltest power claims/`.

    No model is opened. Takes what pytest takes: paths, -k, --causal-seed.
    """
    given = [f"--causal-assume={name}={value}" for name, value in assumed.items() if value is not None]
    run_pytest("--causal-power", *given, *([] if path is None else [f"--causal-json={path}"]), *arguments)


def run_pytest(*arguments: str) -> NoReturn:
    import pytest

    # this very command has imported the package before pytest could rewrite its asserts, of which there are none
    quiet = ("-q", "--no-summary", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    sys.exit(pytest.main([*quiet, *arguments]))


if __name__ == "__main__":
    main()
