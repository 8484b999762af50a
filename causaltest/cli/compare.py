"""`causaltest compare`: two baselines beside each other, without a model."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from causaltest.errors import CausaltestError
from causaltest.printable import printable
from causaltest.recording.baseline import FOLDER, SUFFIX, USUAL, Baseline, baseline_file, read_baseline
from causaltest.reporting.beside import Beside, beside, beside_lines, models_of

F = TypeVar("F", bound=Callable[..., Any])

CHANGED = 1
"""The exit status where --fail is given and a finding is not what it was."""


class CannotCompare(click.ClickException):
    """There is nothing to compare, which is no word on any finding."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {self.format_message()}", err=True)


def beside_options(command: F) -> F:
    """The options of whatever compares claims in two runs."""
    for option in reversed(
        (
            click.option(
                "--margin", type=float, help="the largest change that counts as none, in place of each claim's own"
            ),
            click.option(
                "--fail", is_flag=True, help="exit with status 1 where a claim has regressed or has no numbers any more"
            ),
            click.option(
                "--every", is_flag=True, help="say of every claim what was seen, of those that hold to rounding too"
            ),
            click.option("--json", "as_json", is_flag=True, help="print it for programs"),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default="claims",
    help="whose baselines are meant where a name is given (default: claims)",
)
@click.option("--across-models", is_flag=True, help="compare although the two were measured on two models")
@beside_options
def compare(
    before: str,
    after: str,
    folder: Path,
    margin: float | None,
    across_models: bool,
    fail: bool,
    every: bool,
    as_json: bool,
) -> None:
    """Compare two baselines claim by claim, paired by pair: HOLDS, REGRESSED, IMPROVED or INCONCLUSIVE.

    BEFORE and AFTER are baseline files, folders with a baselines/ in them, or names in --folder.
    """
    check_margin(margin)
    files = [found(name, folder) for name in (before, after)]
    then, now = (opened(file) for file in files)
    told = compared(then, now, margin=margin, across_models=across_models)
    if as_json:
        click.echo(json.dumps(as_plain(told), indent=2))
    else:
        for when, file, baseline in zip(("before", "after"), files, (then, now), strict=True):
            click.echo(printable(f"{when:<8}{file}  on {models_of(baseline.claims.values())}"))
        write(told, every=every)
    if fail and told.fails:
        sys.exit(CHANGED)


def check_margin(margin: float | None) -> None:
    if margin is not None and not 0 < margin < math.inf:
        raise click.UsageError(f"--margin {margin:g}: give the largest change that still counts as none, above 0.")


def compared(before: Baseline, after: Baseline, *, margin: float | None, across_models: bool) -> Beside:
    try:
        return beside(before.claims, after.claims, margin=margin, across_models=across_models)
    except CausaltestError as error:
        raise CannotCompare(str(error)) from error


def write(told: Beside, *, every: bool) -> None:
    click.echo()
    for line in beside_lines(told, every=every):
        click.echo(printable(line))


def found(name: str, folder: Path) -> Path:
    """The file of a path, of a folder, or of a name among the folder's baselines."""
    path = Path(name)
    if path.is_dir():
        return baseline_file(path, USUAL)
    named = baseline_file(folder, name)
    return path if path.is_file() or not named.is_file() else named


def opened(file: Path) -> Baseline:
    try:
        return read_baseline(file)
    except FileNotFoundError:
        there = sorted(str(path) for path in file.parent.glob(f"*{SUFFIX}")) if file.parent.is_dir() else []
        near = f" There are {', '.join(there)}." if there else ""
        raise CannotCompare(
            f"There is no baseline {file}.{near} `pytest claims/ --causal-save=NAME` writes {FOLDER}/NAME{SUFFIX} "
            "beside the claims."
        ) from None
    except CausaltestError as error:
        raise CannotCompare(str(error)) from error


def as_plain(told: Beside) -> dict[str, Any]:
    """The same for programs."""
    return {
        "claims": {id: {**asdict(drift), "verdicts": told.verdicts[id]} for id, drift in told.drifts.items()},
        "only_before": list(told.only_before),
        "only_after": list(told.only_after),
        "fails": told.fails,
    }
