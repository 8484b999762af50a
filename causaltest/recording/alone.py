"""One writer at a time in a record's folder, whichever process or machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER, FILE = ".causaltest", "writing.lock"
PATIENCE_S = 120.0


@contextmanager
def alone(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Holds the right to write a folder's lock and ledger; waits for whoever holds it. Not to be nested.

    What is locked is a file of its own, in a folder that git does not see: nothing that is kept may be locked, as some
    systems empty what they lock. A process that dies lets go of it. Raises OSError where the folder cannot be
    written, and its TimeoutError when somebody writes for longer than `patience_s`.
    """
    from filelock import FileLock, Timeout  # late: nobody who only reads waits for its import

    hidden = folder / FOLDER
    # Opening it empties what is locked: in a stranger's folder a link could lead to any file.
    for place in (hidden, hidden / FILE, hidden / ".gitignore"):
        if place.is_symlink():
            raise OSError(f"{place} is a link, and nothing is written through it: remove it")
    hidden.mkdir(exist_ok=True)
    ignored = hidden / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    try:
        with FileLock(hidden / FILE, timeout=patience_s, poll_interval=0.005):
            yield
    except Timeout as timeout:
        raise TimeoutError(
            f"somebody has been writing {folder} for {patience_s:.0f} s: wait until that run has ended"
        ) from timeout
