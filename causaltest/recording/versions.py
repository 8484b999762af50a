"""Which versions a look was made with, without importing any of them."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("causaltest", "numpy", "scipy", "torch", "transformers")


@cache
def versions() -> dict[str, str]:
    """The packages on which numbers depend, and Python."""
    return {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}}


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
