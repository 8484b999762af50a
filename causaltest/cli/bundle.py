"""`causaltest bundle`: a record in one file, for a reviewer."""

from __future__ import annotations

import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import click

from causaltest.cli.bundle_review import status_of, told
from causaltest.cli.exit_status import TAMPERED
from causaltest.errors import MISREAD, RecordError
from causaltest.printable import printable
from causaltest.recording.baseline import USUAL
from causaltest.recording.bundle import bundle_of, packed
from causaltest.reporting.bundle_page import page
from causaltest.reviewed import Review, reviewed
from causaltest.writing.whole_file import write_whole


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default="claims")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="the file (default: FOLDER.zip)")
@click.option("--from", "name", default=USUAL, help=f"what --causal-save=NAME has saved (default: {USUAL})")
def bundle(folder: Path, output: Path | None, name: str) -> None:
    """Pack the record of FOLDER for a reviewer, and judge it again: `causaltest bundle claims/ -o claims.zip`.

    No prompt is packed, and no model. Exit status 0 where all stands; 1 where some effects were not saved, and the file
    lacks them; 3 where the record was changed by hand, and no file is written.
    """
    target = output or Path(f"{folder.resolve().name}.zip")
    try:
        made = bundle_of(folder, baseline=name)
        review = reviewed(made)
        data = b"" if review.tampered else packed(replace(made, page=page(made).encode()))
        if data:
            write_whole(target, data)
    except RecordError as error:
        raise click.ClickException(str(error)) from error
    except MISREAD as error:
        raise click.ClickException(
            f"A spec in {folder} is not as this causaltest writes them ({error!r:.200}): it was written by another "
            "version, or by hand."
        ) from error
    except OSError as error:
        raise click.ClickException(f"{target} could not be written: {error.strerror or error}.") from error
    for line in told(str(target), review, digest=sha256(made.lock_text).hexdigest()):
        click.echo(printable(line))
    if review.tampered:
        click.echo(f"{target} was not written: see `causaltest verify {folder}`.")
        sys.exit(TAMPERED)
    for line in what_to_do(folder, name, review):
        click.echo(line)
    click.echo(f"wrote {target}, {len(data):,} bytes, SHA-256 {sha256(data).hexdigest()}")
    sys.exit(status_of(review))


def what_to_do(folder: Path, name: str, review: Review) -> list[str]:
    """How the effects that lack come into the bundle."""
    if review.complete:
        return []
    option = "--causal-save" if name == USUAL else f"--causal-save={name}"
    return [
        f"Effects are saved with the look that they are of: `pytest {folder} {option}`. A later run saves the same",
        "ones where its numbers are the same to the last bit: run what was run then, with the same store, or else on",
        f"the same machine, with {option}, and bundle again. What the store has is not measured again.",
    ]
