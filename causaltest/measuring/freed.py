"""Freed memory, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any


def give_back() -> None:
    """Has the allocator give back what was freed.

    glibc keeps what lies between pieces that are in use. Where tensors of many sizes come and go, that becomes more
    than all that is held.
    """
    trim = trimming()
    if trim is not None:
        trim(0)


@cache
def trimming() -> Any:
    """The malloc_trim of glibc; None where there is none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
