"""Telling: how a script hears what a test run would print in its report."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable


class CausaltestWarning(UserWarning):
    """Something that changes no number and yet must be known, as that an entry of the store was damaged."""


def warn(sentences: Iterable[str]) -> None:
    """Warns of each sentence. Where warnings are made errors they are printed: none may cost a measurement."""
    for sentence in sentences:
        try:
            warnings.warn(sentence, CausaltestWarning, stacklevel=2)
        except CausaltestWarning:
            print(f"causaltest: {sentence}", file=sys.stderr)
