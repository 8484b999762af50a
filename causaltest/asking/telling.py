"""Telling: how a script hears what a test run would print in its report, and who watches hears it at once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TextIO

from causaltest.printable import printable


class CausaltestWarning(UserWarning):
    """Something that changes no number and yet must be known, as that an entry of the store was damaged."""


def warn(sentences: Iterable[str]) -> None:
    """Warns of each sentence. Where warnings are made errors they are printed: none may cost a measurement."""
    for sentence in map(printable, sentences):
        try:
            warnings.warn(sentence, CausaltestWarning, stacklevel=2)
        except CausaltestWarning:
            print(f"causaltest: {sentence}", file=sys.stderr)


def on_terminal(progress: TextIO | bool) -> Callable[[str], None]:
    """Prints a sentence where progress is shown, and nowhere else."""

    def say(sentence: str) -> None:
        stream = sys.stderr if isinstance(progress, bool) else progress
        if progress is not False and stream.isatty():
            print(f"causaltest: {printable(sentence)}", file=stream, flush=True)

    return say
