"""`causaltest export`: the registered claims as the answers to a pre-registration form."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path

import click

from causaltest.errors import CausaltestError
from causaltest.printable import printable
from causaltest.recording.lock import Lock
from causaltest.recording.record import Record
from causaltest.recording.verification import broken_lock
from causaltest.reporting.export.filled import FORMS, filled
from causaltest.reporting.export.forms import Form
from causaltest.reporting.export.study import stem


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default="claims")
@click.option(
    "--format", "form", type=click.Choice(list(FORMS)), required=True, help="the form whose questions it fills"
)
@click.option(
    "--claim", "claims", metavar="ID", multiple=True, help="only this claim, or all of a test; may be repeated"
)
@click.option("-o", "output", type=click.Path(path_type=Path, dir_okay=False), help="write to FILE, which must be new")
def export(folder: Path, form: str, claims: tuple[str, ...], output: Path | None) -> None:
    """Fill a pre-registration form from the claims.lock of FOLDER (claims by default).

    What the claims say is filled in. What a person has to write stands in [TO WRITE: ...].
    """
    try:
        made = form_of(Record(folder), form, claims)
    except CausaltestError as error:
        raise click.ClickException(str(error)) from error
    if output is None:
        click.echo(made.text(), nl=False)
    else:
        written(made.text(), output)
    gaps = f"{made.gaps} places are left to write, each marked [TO WRITE: ...]."
    for line in (*made.warnings, gaps):
        click.echo(printable(line), err=True)


def form_of(record: Record, form: str, claims: tuple[str, ...]) -> Form:
    lock = record.lock
    if not lock.entries:
        raise click.ClickException(
            f"{record.lock_file} has no claims: register them first, with `causaltest register {record.folder}`."
        )
    broken = broken_lock(lock)
    if broken:
        raise click.ClickException(
            f"{record.lock_file} does not hold, so nothing is filled in from it: {broken[0]}. `causaltest verify "
            f"{record.folder}` says all of it."
        )
    ids = chosen(lock, claims) if claims else lock.entries
    lock_hash = hashlib.sha256(record.lock_file.read_bytes()).hexdigest()
    return filled(form, lock, ids=ids, looks=record.ledger.lines, lock_hash=lock_hash)


def chosen(lock: Lock, claims: Iterable[str]) -> list[str]:
    """The ids that were asked for; the name of a parametrised test is all of its claims."""
    found: list[str] = []
    for claim in claims:
        matching = [id for id in lock.entries if claim in (id, stem(id))]
        if not matching:
            near = difflib.get_close_matches(claim, lock.entries, n=3, cutoff=0.4)
            hint = f" Near it: {', '.join(near)}." if near else ""
            raise click.ClickException(f"{claim} is not registered.{hint}")
        found += matching
    return list(dict.fromkeys(found))


def written(text: str, output: Path) -> None:
    """Writes the form to a new file: one that is there may have been filled in by hand."""
    try:
        with output.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(
            f"{output} exists, and may have been filled in by hand: name another file, or move it away."
        ) from None
    click.echo(printable(f"wrote {output}"), err=True)
