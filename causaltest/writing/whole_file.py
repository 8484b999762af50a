"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, data: bytes) -> None:
    """Puts the bytes in the place of the file, which keeps its permissions; a link stays a link, to the new text.

    They are on the disk when this returns. Raises OSError where they cannot be written; then all is as it was.
    """
    target = file.resolve()
    handle, partial = tempfile.mkstemp(prefix=f".{file.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes a file that others cannot read
        os.chmod(partial, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask())
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def umask() -> int:
    """The permissions that this process leaves out of new files. It can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
