"""`causaltest drift`: what became of claims from one model to another."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from causaltest.cli.compare import CHANGED, CannotCompare, as_plain, beside_options, check_margin, compared, write
from causaltest.printable import printable
from causaltest.recording.baseline import SUFFIX, Baseline, read_baseline
from causaltest.reporting.beside import models_of

JUDGED = (0, 1)
"""Pytest's exit status where all claims were judged, whatever came of them."""
SEVERAL = "replaces the one model that the claims name"
TAIL = 30
"""Lines of pytest's output that are shown where it could not run."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("before")
@click.argument("after")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--in-place-of", metavar="NAME", help="the model to replace, where the claims name several")
@beside_options
def drift(
    before: str,
    after: str,
    arguments: tuple[str, ...],
    in_place_of: str | None,
    margin: float | None,
    fail: bool,
    every: bool,
    as_json: bool,
) -> None:
    """Measure claims on two models, and compare them claim by claim: `causaltest drift MODEL@rev1 MODEL@rev2 claims/`.

    BEFORE and AFTER are models by name, each put in place of the one that the claims name. All else is handed to
    pytest: paths, -k, --causal-memory. Nothing is kept but the looks in a ledger, where the claims have one.
    """
    check_margin(margin)
    with tempfile.TemporaryDirectory(prefix="causaltest-drift-") as folder:
        then, now = (
            measured(model, name, Path(folder), arguments, in_place_of=in_place_of or "*")
            for name, model in (("before", before), ("after", after))
        )
    told = compared(then.claims, now.claims, margin=margin, across_models=True)
    if as_json:
        click.echo(json.dumps(as_plain(told), indent=2))
    else:
        for when, run in (("before", then), ("after", now)):
            click.echo(printable(f"{when:<8}{models_of(run.claims.claims.values())}"))
        write(told, every=every)
    for model, run in ((before, then), (after, now)):
        for id, why in run.errors.items():
            click.echo(printable(f"not measured on {model}: {id}: {why}"), err=True)
    if in_place_of is None and any(SEVERAL in why for run in (then, now) for why in run.errors.values()):
        click.echo("say which model is meant: --in-place-of NAME", err=True)
    if fail and (told.fails or then.errors or now.errors):
        sys.exit(CHANGED)


@dataclass(frozen=True)
class Measured:
    """The claims of one run, and those that raised an error."""

    claims: Baseline
    errors: Mapping[str, str]


def measured(model: str, name: str, folder: Path, arguments: tuple[str, ...], *, in_place_of: str) -> Measured:
    """The claims as they are measured on one model, in a process of its own."""
    click.echo(f"measuring {model} ...", err=True)
    told = folder / f"{name}.json"
    options = [
        f"--causal-model={in_place_of}={model}",
        f"--causal-save={name}",
        f"--causal-baselines={folder}",
        f"--causal-json={told}",
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    tail = "\n".join(ran.stdout.splitlines()[-TAIL:])
    if ran.returncode not in JUDGED:
        raise CannotCompare(f"pytest could not measure the claims on {model} (exit status {ran.returncode}):\n{tail}")
    try:
        results = json.loads(told.read_text(encoding="utf-8"))
        errors = {r["id"]: r["reason"] for r in results if r["verdict"] == "ERROR"}
        return Measured(read_baseline(folder / f"{name}{SUFFIX}"), errors)
    except FileNotFoundError:
        raise CannotCompare(f"No claim gave a number on {model}:\n{tail}") from None
