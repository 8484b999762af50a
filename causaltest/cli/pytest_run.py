"""Commands that pytest carries out, with what pytest takes."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

OBJECTS_BEFORE_LOOKING = 2_000_000


class OneCommand:
    """Tells the garbage collector that the process ends with the command.

    Ten thousand claims are millions of objects, and to look through them for garbage takes as long as all else.
    """

    def pytest_configure(self) -> None:
        """While objects are made."""
        gc.set_threshold(OBJECTS_BEFORE_LOOKING, 50, 50)

    def pytest_unconfigure(self) -> None:
        """Before pytest and Python collect all that is left."""
        gc.freeze()


def run_pytest(*arguments: str) -> NoReturn:
    import pytest

    # this very command has imported the package before pytest could rewrite its asserts, of which there are none
    quiet = ("-q", "--no-summary", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    sys.exit(pytest.main([*quiet, *arguments], plugins=[OneCommand()]))
