"""Sizes in words: bytes in powers of 1024, as in 800MB or 10GB."""

from __future__ import annotations

import re

UNITS = ("B", "KB", "MB", "GB", "TB")
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]?)I?B?", re.IGNORECASE)


def bytes_of_size(size: str) -> int:
    """The bytes of a size such as 800MB, 4GB, or a plain number. Raises ValueError for what is no size."""
    found = SIZE.fullmatch(size.strip())
    if found is None:
        raise ValueError(f"{size} is no size; write 800MB, 4GB or a number of bytes")
    return int(float(found[1]) * 1024 ** ("", "K", "M", "G", "T").index(found[2].upper()))


def shown_bytes(nbytes: int) -> str:
    """Three digits and a unit."""
    size, unit = float(nbytes), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if size >= 100 or unit == 0 else f"{size:.3g} {UNITS[unit]}"
