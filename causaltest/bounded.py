"""Files read within a bound: what a stranger put there may be endless, or no file at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_plain(file: Path) -> BinaryIO:
    """A plain file to read.

    Raises FileNotFoundError where there is none, and OSError for what cannot be read or is no plain file: a pipe has
    no end to wait for, and neither has a device that a link leads to.
    """
    # Opening a pipe that nobody writes would wait for ever.
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(file))
        raise OSError(errno.EINVAL, "it is no plain file", str(file))
    return os.fdopen(handle, "rb")


def read_bounded(file: Path, most_bytes: int) -> bytes:
    """A plain file. Raises TooLarge where it has more than `most_bytes`, and OSError as `open_plain` does."""
    with open_plain(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most_bytes:
            raise TooLarge(most_bytes, file, size)
        # No more than it has: Python makes room for what it is asked to read, and a file can grow while it is read.
        return stream.read(size)


class TooLarge(OSError):
    """A file beyond its bound."""

    def __init__(self, most_bytes: int, file: Path, size: int) -> None:
        super().__init__(errno.EFBIG, f"it has {size:,} bytes, and more than {most_bytes:,} are not read", str(file))
        self.size = size
