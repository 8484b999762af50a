"""Files of a store as the system has them: opened without following links, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from causaltest.writing.raw_tensors import Bytes, Damaged

# Windows has none of these, and opens files as text unless it is told.
NOFOLLOW, NONBLOCK = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
BINARY, FOLDER = getattr(os, "O_BINARY", 0), getattr(os, "O_DIRECTORY", 0)
LINKS = (errno.ELOOP, errno.EMLINK)
"""What systems answer where a link was not to be followed."""


def opened(file: Path) -> tuple[BinaryIO, os.stat_result]:
    """A file to read, and what the system says of it.

    Raises Damaged for what is no plain file: a link, a folder, a pipe that would be waited for. Raises OSError.
    """
    try:
        handle = os.open(file, os.O_RDONLY | NOFOLLOW | NONBLOCK | BINARY)
    except OSError as error:
        if error.errno in LINKS:
            raise Damaged("it is a link") from None
        raise
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise Damaged("it is no file")
    return os.fdopen(handle, "rb"), status


def write_pieces(file: Path, pieces: Iterable[Bytes], *, lasting: bool) -> None:
    """Puts pieces in the place of a file, whole or not at all; `lasting`: they are on the disk when this returns.

    Who may read it is what the umask says, so that a group can share a store. Raises OSError; then all is as it was.
    """
    # A name that nobody else has chosen; nothing that is measured depends on it.
    partial = file.with_name(f".{secrets.token_hex(8)}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW | BINARY, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(partial, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise
    if lasting:
        sync_folder(file.parent)


def make_folder(folder: Path, within: Path) -> None:
    """Makes the folders on the way from a store's folder, which is the user's choice and may be a link, to one in it.

    Raises OSError where one of them is a link: it may lead out of the store.
    """
    within.mkdir(parents=True, exist_ok=True)
    for place in [*reversed(folder.relative_to(within).parents), folder.relative_to(within)]:
        step = within / place
        if step != within and not step.is_dir():
            step.mkdir(exist_ok=True)
            sync_folder(step.parent)
    refuse_links(folder, within)


def refuse_links(folder: Path, within: Path) -> None:
    """Raises OSError where a folder in the store, or one on the way to it, is a link."""
    while folder != within:
        if folder.is_symlink():
            raise OSError(errno.ELOOP, f"{folder} is a link, and links in a store are not followed")
        folder = folder.parent


def sync_folder(folder: Path) -> None:
    """Puts a folder's names on the disk, where the system can: a file that was renamed is there after a power cut."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | FOLDER)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
