"""Commands that pytest carries out, with what pytest takes."""

from __future__ import annotations

import sys
from typing import NoReturn


def run_pytest(*arguments: str) -> NoReturn:
    import pytest

    # this very command has imported the package before pytest could rewrite its asserts, of which there are none
    quiet = ("-q", "--no-summary", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    sys.exit(pytest.main([*quiet, *arguments]))
