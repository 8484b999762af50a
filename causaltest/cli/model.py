"""`causaltest model`: what a model offers."""

from __future__ import annotations

import click

from causaltest import Lab
from causaltest.asking.settings import Dtype, Settings
from causaltest.errors import CausaltestError
from causaltest.printable import printable


@click.command()
@click.argument("name")
@click.option("--text", default=None, help="a text to show as tokens")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16", "float64"]), default="float32")
@click.option("--trust-remote-code", is_flag=True, help="let code that comes with the checkpoint run")
def model(name: str, text: str | None, dtype: Dtype, trust_remote_code: bool) -> None:
    """Show a model's shape, which of its sites are proven, and how it reads a text.

    NAME is organism:NAME, the folder of a checkpoint, or org/name@revision.
    """
    lab = Lab.load(name, settings=Settings(dtype=dtype, trust_remote_code=trust_remote_code))
    try:
        click.echo(printable(str(lab.card(text))))
    except CausaltestError as error:
        raise click.ClickException(str(error)) from error
