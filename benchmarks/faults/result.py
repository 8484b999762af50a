"""One line of the table in docs/reliability.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a fault's script has measured."""

    figure: str
    at_least: str
    aim: str
    measured: str
    held: bool
    """Whether what is asked at least was reached."""
    how: str = ""
    """What was done, in half a sentence: how often, on what."""
