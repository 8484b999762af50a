"""Files read whole within a bound: what a stranger put there may be endless, or no file at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_bounded(file: Path, most_bytes: int) -> bytes:
    """The bytes of a plain file.

    Raises FileNotFoundError where there is none, TooLarge for one of more than `most_bytes`, and OSError for what
    cannot be read or is no plain file: a pipe has no end to wait for, and neither has a device that a link leads to.
    """
    # Opening a pipe that nobody writes would wait for ever.
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "it is a folder", str(file))
        if not stat.S_ISREG(mode):
            raise OSError(22, "it is no plain file", str(file))
        # One more than is accepted: a file can grow while it is read.
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise TooLarge(most_bytes, file)
    return data


class TooLarge(OSError):
    """A file beyond its bound."""

    def __init__(self, most_bytes: int, file: Path) -> None:
        super().__init__(27, f"it has more than {most_bytes:,} bytes", str(file))
