"""`causaltest verify`: whether a record still is what it was."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from causaltest.cli.exit_status import HOLDS, TAMPERED, UNCHECKED
from causaltest.cli.proofs import proof_options, tried_proofs
from causaltest.errors import RecordError
from causaltest.printable import printable
from causaltest.recording import lock
from causaltest.recording.verified import Verified, verified


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True), default="claims")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@proof_options
def verify(
    path: Path, as_json: bool, proofs: tuple[Path, ...], roots: Path | None, merkle_roots: dict[int, str]
) -> None:
    """Say whether a folder's claims.lock and claims.ledger are what they were; of a bundle, judge it again too.

    Exit status 0 where all holds, 3 where something was changed by hand, 1 where it cannot be read, a time stamp does
    not hold, or a part of a bundle could not be checked.
    """
    if path.is_file() and path.name != lock.NAME:
        refuse_what_is_no_zip(path)
        from causaltest.cli.bundle_review import verify_bundle  # late: a folder is verified without scipy

        tried = partial(tried_proofs, proofs, roots=roots, merkle_roots=merkle_roots)
        asked = bool(proofs or roots or merkle_roots)
        sys.exit(verify_bundle(path, as_json=as_json, stamps=tried if asked else None))
    folder = path.parent if path.is_file() else path
    try:
        found = to_the_end(verified, folder)
    except RecordError as error:
        if as_json:
            click.echo(json.dumps({"holds": False, "unreadable": str(error)}))
            sys.exit(UNCHECKED)
        raise click.ClickException(str(error)) from error
    stamps = tried_proofs(proofs, folder / lock.NAME, roots=roots, merkle_roots=merkle_roots)
    if as_json:
        told = {"proofs": [stamp.as_dict() for stamp in stamps]} if stamps else {}
        click.echo(json.dumps({"holds": not found.problems, "problems": found.problems, **told}))
    else:
        for line in (*lines(folder, found), *(line for stamp in stamps for line in stamp.lines())):
            click.echo(printable(line))
    sys.exit(TAMPERED if found.problems else HOLDS if all(stamp.holds for stamp in stamps) else UNCHECKED)


def to_the_end(read: Callable[[Path], Verified], folder: Path) -> Verified:
    """What is read, and kept until the process ends with the command: nobody need look through it for garbage."""
    gc.disable()
    try:
        return read(folder)
    finally:
        gc.freeze()
        gc.enable()


def refuse_what_is_no_zip(path: Path) -> None:
    """Raises a usage error; one that is damaged may have any bytes, and only its name."""
    with path.open("rb") as stream:
        if path.suffix != ".zip" and stream.read(2) != b"PK":
            raise click.UsageError(
                f"{path} is neither a {lock.NAME} nor a bundle: name the folder of a record, or a bundle."
            )


def lines(folder: Path, found: Verified) -> Iterator[str]:
    """What a person reads."""
    if not found.problems:
        yield from found.sentences()
        return
    yield f"TAMPERED: the record in {folder} is not what it was."
    for problem in found.problems:
        yield f"  {problem.rstrip('.')}."
