"""`causaltest register`: claims enter the lock."""

from __future__ import annotations

from pathlib import Path

import click

from causaltest.cli.pytest_run import run_pytest
from causaltest.errors import RecordError
from causaltest.recording import merging
from causaltest.recording.lock import NAME
from causaltest.recording.record import Record


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--amend", multiple=True, metavar="ID", help="Put this claim's new spec in place of the one registered.")
@click.option("--why", metavar="TEXT", help="Why it is amended; this stays in the lock.")
@click.option("--was", metavar="ID", help="The id that it is registered under, where it has another now.")
@click.option("--merge", is_flag=True, help="Join the two sides of a lock that git could not merge.")
def register(arguments: tuple[str, ...], amend: tuple[str, ...], why: str | None, was: str | None, merge: bool) -> None:
    """Enter the claims of a folder in its claims.lock, before anything is measured: `causaltest register claims/`.

    Takes what pytest takes: paths, -k. What is registered already stays as it is.
    """
    if merge:
        if amend or len(arguments) > 1:
            raise click.UsageError("--merge takes a folder and nothing else.")
        merge_lock(Path(*arguments or ("claims",)))
        return
    if (why or was) and not amend:
        raise click.UsageError("--why and --was are about a claim that is amended: name it by --amend ID.")
    if amend and not (why or "").strip():
        raise click.UsageError('An amendment needs its reason, which stays beside it in the lock: --why "...".')
    if was and len(amend) > 1:
        raise click.UsageError("--was names what one claim was called: amend that claim alone.")
    asked = [f"--causal-amend={id}" for id in amend]
    asked += [f"--causal-why={why}"] if why else []
    asked += [f"--causal-was={was}"] if was else []
    # twice quiet: nothing was tested
    run_pytest("-q", "--causal-register", *asked, *arguments)


def merge_lock(folder: Path) -> None:
    try:
        done = merging.merge(Record(folder))
    except RecordError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{folder / NAME}: joined, {len(done.entries)} claims. Commit it, and the ledger.")
