"""Ledger: every look at a claim, one line each, in a file beside the lock that only grows.

Each line has the hash of the line before, so that none can be taken out or changed without a trace.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from causaltest.recording.canonical import canonical, digest_of

NAME = "claims.ledger"


class Ledger:
    """The lines of a file, those that other processes write too."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def lines(self) -> list[Mapping[str, Any]]:
        """All lines, in order."""
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    @property
    def head(self) -> str:
        """The hash of the last line; empty before the first."""
        lines = self.lines
        return str(lines[-1]["hash"]) if lines else ""

    def append(self, make: Callable[[list[Mapping[str, Any]]], Mapping[str, Any] | None]) -> None:
        """Adds the line that `make` returns, if any, given all lines so far; nobody else writes in between.

        Raises OSError where the file cannot be written.
        """
        lines = self.lines
        made = make(lines)
        if made is None:
            return
        whole = {**made, "previous": str(lines[-1]["hash"]) if lines else ""}
        text = canonical({**whole, "hash": digest_of(whole)})
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, f"{text}\n".encode())
        finally:
            os.close(handle)


def broken(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """What shows that lines were changed, taken out or moved since they were written, a sentence each."""
    told, previous = list[str](), ""
    for number, line in enumerate(lines, 1):
        if line["previous"] != previous:
            told.append(f"line {number} of the ledger does not follow the one before it")
        if digest_of({name: value for name, value in line.items() if name != "hash"}) != line["hash"]:
            told.append(f"line {number} of the ledger was changed after it was written")
        previous = str(line["hash"])
    return told
