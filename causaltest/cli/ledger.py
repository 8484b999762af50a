"""`causaltest ledger`: what was looked at, when, and what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from causaltest.recording.record import Record


@click.command()
@click.argument("claim", required=False)
@click.option("--folder", type=click.Path(path_type=Path, exists=True), default="claims")
def ledger(claim: str | None, folder: Path) -> None:
    """List all looks of a folder's ledger, or those at one CLAIM."""
    for line in Record(folder).ledger.lines:
        if claim in (None, line["claim"]):
            click.echo(f"{line['at']}  {line['claim']}  {line['verdict']}  {line['status']}")
