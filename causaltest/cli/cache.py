"""`causaltest cache`: what was kept of measurements, and how to let go of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from causaltest.kept import FOLDER_VARIABLE, cache_folder
from causaltest.printable import printable
from causaltest.recording.wording import counted
from causaltest.reporting.columns import aligned
from causaltest.store.contents import Group, groups, verified
from causaltest.store.layout import PARTIAL, Lying, lying
from causaltest.store.room import Room, removed, without_leftovers
from causaltest.writing.sizes import bytes_of_size, shown_bytes

SPOILT = 1
"""The exit status of `verify` where something was damaged."""
UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
AGE = re.compile(r"(\d{1,6})\s*([hdw])")


def in_folder(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help=f"the store, as --causal-cache-dir names it (default: $"
        f"{FOLDER_VARIABLE}/store, or that of the user's cache)",
    )(command)


@click.group(invoke_without_command=True)
@in_folder
@click.pass_context
def cache(context: click.Context, folder: Path | None) -> None:
    """Show, prune or verify what is kept of measurements, so that none is made twice.

    \b
    effects   what claims are judged by: small, and took longest to measure
    answers   sweeps, clean runs as a script asks for them, and other answers
    runs      clean runs: large, and quickly made again
    plans     what was being measured together when a run was interrupted
    parts     what such a run had measured by then
    damaged   entries that were not as they were written, set aside to look at

    Nothing that is kept decides a verdict: what is gone is measured again. Without a command it shows what is there.
    """  # noqa: D301  click reads the character, which keeps its lines apart
    context.obj = folder
    if context.invoked_subcommand is None:
        context.invoke(show, folder=folder)


@cache.command()
@in_folder
@click.pass_context
def show(context: click.Context, folder: Path | None) -> None:
    """Show what is there, by kind and model: entries, bytes, and when they were used."""
    folder = place(context, folder)
    there = list(lying(folder))
    click.echo(f"{folder}: {told(there)}")
    if there:
        click.echo()
        click.echo(printable("\n".join(table(groups(there)))))


@cache.command()
@in_folder
@click.option("--older-than", metavar="AGE", help="remove what was not used for so long: 12h, 30d, 8w")
@click.option("--to", metavar="SIZE", help="remove what was used longest ago, clean runs first, down to 800MB, 2GB")
@click.option("--all", "everything", is_flag=True, help="remove all of it")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="of these kinds only; may be given several times")
@click.option("--dry-run", is_flag=True, help="say what would be removed, and remove nothing")
@click.pass_context
def prune(
    context: click.Context,
    folder: Path | None,
    older_than: str | None,
    to: str | None,
    everything: bool,
    kinds: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Remove what is not needed; only files that are the store's own, by their place and name.

    \b
    causaltest cache prune --older-than 30d     what was not used for a month
    causaltest cache prune --to 2GB             what was used longest ago, until 2 GB are left
    causaltest cache prune --all --kind runs    all clean runs
    """  # noqa: D301  as above
    if not (older_than or to or everything):
        raise click.UsageError(
            "Say what is not needed: --older-than 30d, --to 2GB or --all; with --kind runs, of those."
        )
    folder = place(context, folder)
    limit_s, most = seconds(older_than), size(to)
    there = list(lying(folder))
    unknown = sorted(set(kinds) - {one.kind for one in there})
    if unknown and there:
        known = ", ".join(sorted({one.kind for one in there}))
        raise click.UsageError(f"There is nothing of {unknown[0]!r} in {folder}; there is {known}.")
    there = there if dry_run else without_leftovers(there)
    named = [one for one in there if one.kind != PARTIAL and (not kinds or one.kind in kinds)]
    gone = [one for one in named if everything or (limit_s is not None and time.time() - one.used > limit_s)]
    go = is_there if dry_run else removed
    gone = [one for one in gone if go(one)]
    if most is not None:
        rest = without(gone, named)
        gone += Room(folder, most).let_go(rest, sum(one.nbytes for one in rest) - most, go)
    left = without(gone, there)
    click.echo(f"{folder}: {'would remove' if dry_run else 'removed'} {told(gone)}; {told(left)} left")


@cache.command()
@in_folder
@click.pass_context
def verify(context: click.Context, folder: Path | None) -> None:
    """Read all of it, and set aside what is not as it was written; exit status 1 where something is not."""
    folder = place(context, folder)
    read, wrong = [], 0
    for checked in verified(folder):
        read.append(checked.one)
        wrong += bool(checked.told)
        for sentence in checked.told:
            click.echo(printable(sentence))
    if wrong:
        click.echo(f"{folder}: read {told(read)}, and {counted(wrong, 'entry')} not as written")
        sys.exit(SPOILT)
    whole = f"read {told(read)}, as they were written" if read else "there is no entry of a store"
    click.echo(f"{folder}: {whole}")


def place(context: click.Context, folder: Path | None) -> Path:
    """The store that is meant. Raises ClickException for an address, whose entries are not of this machine alone."""
    usual = cache_folder() / "store"
    folder = folder or context.obj or usual
    if re.match(r"[a-z][a-z0-9+]*:/", str(folder)):
        raise click.ClickException(
            "That is an address, and this command lists no entries there. What this machine keeps of them is in "
            f"{usual}: give that, or leave out --dir."
        )
    return Path(folder)


def is_there(one: Lying) -> bool:
    """In place of removing it, where nothing is to be removed."""
    return True


def without(gone: Sequence[Lying], there: Sequence[Lying]) -> list[Lying]:
    taken = set(gone)
    return [one for one in there if one not in taken]


def told(there: Sequence[Lying]) -> str:
    return f"{counted(len(there), 'entry')}, {shown_bytes(sum(one.nbytes for one in there))}" if there else "nothing"


def table(found: Sequence[Group]) -> list[str]:
    """Groups as lines, numbers flush right."""
    head = ["kind", "model", "entries", "size", "first used", "last used"]
    rows = [[g.kind, g.model or "-", f"{g.entries:,}", shown_bytes(g.nbytes), day(g.first), day(g.last)] for g in found]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return aligned([[*row[:2], row[2].rjust(widths[2]), row[3].rjust(widths[3]), *row[4:]] for row in [head, *rows]])


def day(at: float) -> str:
    """Local time, to the minute; whatever a file's times say."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return "?"


def seconds(older_than: str | None) -> float | None:
    if older_than is None:
        return None
    found = AGE.fullmatch(older_than.strip().lower())
    if found is None:
        raise click.UsageError(f"--older-than {older_than} is no age; write 12h, 30d or 8w.")
    return int(found[1]) * UNITS_S[found[2]]


def size(to: str | None) -> int | None:
    try:
        return None if to is None else bytes_of_size(to)
    except ValueError as error:
        raise click.UsageError(f"--to {error}.") from None
