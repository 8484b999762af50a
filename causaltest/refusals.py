"""Why a claim cannot be registered, told with the line that is to blame."""

from __future__ import annotations

import os
import sysconfig
import traceback
from pathlib import Path

from causaltest.errors import CausaltestError, RehearsalRead

OWN = str(Path(__file__).parent) + os.sep
LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")})


def why_refused(error: BaseException, here: Path) -> str:
    """A sentence, and the line of the user's own code that led to the error, as seen from a folder."""
    if isinstance(error, RehearsalRead):
        reason = (
            "It reads a number before it has named its experiment, so nothing can be said of it beforehand. Choose "
            "without looking, or leave it unregistered; it can still be run."
        )
    elif isinstance(error, CausaltestError):
        reason = str(error)
    else:
        reason = f"It cannot be rehearsed without a model: {type(error).__name__}: {error}"
    line = line_of(error, here)
    return f"{line}\n{reason}" if line else reason


def line_of(error: BaseException, here: Path) -> str:
    """`FILE:LINE: in NAME`, and the text of the line; empty where no line of the user's led to the error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((OWN, *LIBRARIES, "<"))
    ]
    if not frames:
        return ""
    last = frames[-1]
    return f"{os.path.relpath(last.filename, here)}:{last.lineno}: in {last.name}\n    {last.line}"
