"""`causaltest ledger`: what was looked at, when, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from causaltest.errors import RecordError
from causaltest.printable import printable
from causaltest.recording.ledger import NAME, Ledger, Line, counted_kinds
from causaltest.recording.wording import as_number, counted
from causaltest.reporting.columns import aligned

NUMBERS = ("estimate", "lower", "upper", "alpha")


@click.command()
@click.argument("claim", required=False)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default="claims",
    help="the folder of claims.ledger (default: claims)",
)
@click.option("--json", "as_json", is_flag=True, help="print the lines as a JSON array")
def ledger(claim: str | None, folder: Path, as_json: bool) -> None:
    """List the ledger of a folder of claims, or the history of one CLAIM.

    CLAIM is an id as the list prints it, or the end of one that only it has. A folder in its place is that folder.
    """
    if claim is not None and Path(claim).is_dir():
        folder, claim = Path(claim), None
    try:
        lines = Ledger(folder / NAME).lines
    except RecordError as error:
        raise click.ClickException(str(error)) from error
    if claim is not None:
        name = named(claim, lines)
        lines = [line for line in lines if line.get("claim") == name]
    if as_json:
        click.echo(json.dumps([with_numbers(line) for line in lines], indent=2))
        return
    if not lines:
        click.echo(f"{folder / NAME}: nobody has looked yet")
        return
    click.echo(printable("\n".join(listed(lines) if claim is None else history(lines))))


def named(claim: str, lines: Sequence[Line]) -> str:
    """The id that is meant. Raises ClickException with what comes near where there is none, or there are several."""
    ids = list(dict.fromkeys(str(line["claim"]) for line in lines if line["kind"] == "look"))
    if claim in ids:
        return claim
    ends = [id for id in ids if id.endswith(f"::{claim}") or claim.endswith(f"/{id}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise click.ClickException(f"{claim} may be any of these, give one of them whole:\n  " + "\n  ".join(ends))
    by_name = {id.rpartition("::")[2]: id for id in ids} | {id: id for id in ids}
    near = dict.fromkeys(by_name[name] for name in get_close_matches(claim, by_name))
    told = f" Did you mean {' or '.join(near)}?" if near else ""
    raise click.ClickException(
        f"no look at {claim} stands in the ledger, which has looks at {counted(len(ids), 'claim')}.{told}"
    )


def listed(lines: Sequence[Line]) -> Iterator[str]:
    """A line for each line, the oldest first; and their counts."""
    table = [cells(line) for line in lines]
    yield from aligned(table, wide=[row for row in table if row[-1]])
    looks = [line for line in lines if line["kind"] == "look"]
    claims = len({line["claim"] for line in looks})
    others = counted_kinds(line for line in lines if line["kind"] != "look")
    yield ""
    yield ", ".join([f"{counted(len(looks), 'look')} at {counted(claims, 'claim')}", *others])


def history(looks: Sequence[Line]) -> Iterator[str]:
    """All looks at one claim, and what alpha was spent on."""
    yield str(looks[0]["claim"])
    yield from (f"  {line}" for line in aligned([cells(look)[:1] + cells(look)[2:] for look in looks]))
    yield ""
    yield from spent(looks)


def spent(looks: Sequence[Line]) -> Iterator[str]:
    """How many looks alpha was spent on: those at the same data add up; a reproduction is no new look."""
    by_data: dict[str, list[Line]] = {}
    for look in looks:
        by_data.setdefault(str(look["data"]), []).append(look)
    yield f"alpha was spent on {counted(len(looks), 'look')}, at {counted(len(by_data), 'set')} of data:"
    for data, same in by_data.items():
        alphas = [alpha for look in same if (alpha := as_number(look.get("alpha"))) is not None]
        told = f"  {data[:12]}: {counted(len(same), 'look')}"
        if len(alphas) > 1:
            told += f", so that a false claim is called SUPPORTED with a chance of up to {min(1.0, sum(alphas)):.3g}"
        elif alphas:
            told += f", at alpha {alphas[0]:.3g}"
        yield told


def cells(line: Line) -> list[str]:
    """When, of which claim, what was seen, and how it stood."""
    kind, at = str(line["kind"]), str(line["at"])
    if kind == "look":
        said = "" if line.get("n") is None else f"n {line['n']}"
        status = str(line["status"]) + (f": {line['reason']}" if line.get("reason") else "")
        return [at, str(line["claim"]), str(line["verdict"]), shown(line), said, f"seed {line['seed']}", status]
    if kind == "mended":
        return [at, "(mended)", f"a line of {line.get('bytes', '?')} bytes was cut by a crash", "", "", "", ""]
    what = "; ".join(str(seen.get("what", "")) for seen in line["sightings"])
    return [at, f"({kind})", what, "", "", "", ""]


def shown(line: Line) -> str:
    numbers = [as_number(line.get(name)) for name in NUMBERS[:3]]
    estimate, lower, upper = ("?" if value is None else f"{value:.3f}" for value in numbers)
    return "-" if numbers[0] is None else f"{estimate} [{lower}, {upper}]"


def with_numbers(line: Line) -> dict[str, Any]:
    """A line whose decimals are numbers again."""
    return {**line, **{name: as_number(line[name]) for name in NUMBERS if name in line}}
