"""`causaltest plan`: what measuring takes."""

from __future__ import annotations

import click

from causaltest.cli.pytest_run import run_pytest


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plan(arguments: tuple[str, ...]) -> None:
    """Print what measuring the claims takes, before any of it runs: `causaltest plan claims/`.

    Takes what pytest takes: paths, -k, --causal-model, --causal-memory.
    """
    run_pytest("--causal-plan", *arguments)
