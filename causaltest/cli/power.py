"""`causaltest power`: the pairs that claims need."""

from __future__ import annotations

import click

from causaltest.cli.pytest_run import run_pytest


@click.command(context_settings={"ignore_unknown_options": True})
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
