"""`causaltest register`: claims enter the lock."""

from __future__ import annotations

import click

from causaltest.cli.pytest_run import run_pytest


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def register(arguments: tuple[str, ...]) -> None:
    """Enter the claims of a folder in its claims.lock, before anything is measured: `causaltest register claims/`."""
    run_pytest("-q", "--causal-register", *arguments)  # twice quiet: nothing was tested
