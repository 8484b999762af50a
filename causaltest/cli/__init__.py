"""The command line. A command's file is read when it is called, so that each is as light as what it does."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from causaltest import __version__
from causaltest.printable import printable

COMMANDS = (
    "bundle",
    "cache",
    "compare",
    "drift",
    "export",
    "init",
    "ledger",
    "model",
    "plan",
    "power",
    "register",
    "verify",
)
"""Each stands in the file of its name, as a function of its name."""


class LateGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def invoke(self, ctx: click.Context) -> Any:
        """What the command gives back; what it says of an error may quote a stranger's file."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # click has no other place where what all commands raise can be changed
            error.message = printable(error.message)  # type: ignore[misc]
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in alphabetical order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"causaltest.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LateGroup)
@click.version_option(__version__, prog_name="causaltest")
def main() -> None:
    """Causal claims about transformers, measured and judged by pytest."""
