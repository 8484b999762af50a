"""Store: a folder in which what was measured lies under keys that name everything that could change it.

<kind>/<first two digits>/<key>.safetensors   an entry
locks/<kind>-<first three digits>             held while an entry of these digits is computed
damaged/                                      entries that were not as they were written, set aside

An entry is written to a temporary file and renamed, so that it is there whole or not at all; it is verified whenever
it is read. A store never makes a run fail: what cannot be read is measured, and what cannot be written is told.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from causaltest.store.entry import Entry, entry_from_bytes, entry_to_pieces
from causaltest.store.waiting import LONG_S, patiently, work_of
from causaltest.writing.raw_tensors import Damaged

SUFFIX = ".safetensors"
KEY = re.compile(r"[0-9a-f]{64}")
KIND = re.compile(r"[a-z]{1,16}")
MOST_BYTES = 10 << 30
LOCK_DIGITS = 3
"""Digits of the keys that share a lock: few files, and who computes something else seldom waits."""


class Store:
    """Entries in a folder of this machine."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """`most_bytes`: beyond this, what was used longest ago goes."""
        self.folder = folder
        self.most_bytes = most_bytes
        self.damaged: list[str] = []
        """A sentence for each entry that was set aside."""
        self.problems: list[str] = []
        """A sentence for each kind of thing that could not be kept."""
        self.notice: Callable[[str], None] = lambda _: None
        """Hears what is waited for, while it is."""

    def get(self, kind: str, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or one that is damaged, which is set aside."""
        file = self.file(kind, key)
        try:
            with file.open("rb") as stream:
                data = bytearray(os.fstat(stream.fileno()).st_size)
                del data[stream.readinto(data) :]
            entry = entry_from_bytes(data, kind, key)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.tell(f"{file} cannot be read ({error.strerror or error}), so it is measured again")
            return None
        except Damaged as damaged:
            self.set_aside(kind, key, str(damaged))
            return None
        self.used(file)
        return entry

    def put(self, kind: str, key: str, entry: Entry, *, lasting: bool = True) -> bool:
        """Keeps an entry in place of any other of its key; False where it cannot be written, which is told.

        It is on the disk when this returns; unless `lasting` is False, for what is quickly measured again.
        """
        file = self.file(kind, key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=file.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    for piece in entry_to_pieces(entry, kind, key):
                        stream.write(piece)
                    if lasting:
                        stream.flush()
                        os.fsync(stream.fileno())
                os.replace(partial, file)
            except BaseException:
                os.unlink(partial)
                raise
        except OSError as error:
            self.tell(f"{self.folder} cannot be written ({error.strerror or error}), so what is measured is not kept")
            return False
        return True

    def drop(self, kind: str, key: str) -> None:
        """Lets an entry go."""
        try:
            self.file(kind, key).unlink(missing_ok=True)
        except OSError:
            return

    @contextmanager
    def alone(self, kind: str, key: str) -> Iterator[None]:
        """Holds the right to compute an entry, of all processes; waits for whoever holds it. A process that dies lets
        go. Where nothing can be locked, as in a folder that cannot be written, nobody waits."""
        from filelock import FileLock  # late: nobody who only reads waits for its import

        place = self.folder / "locks"
        try:
            place.mkdir(parents=True, exist_ok=True)
            # Two keys may share a file; who holds one of them already does not wait for themselves.
            lock = FileLock(place / f"{kind}-{key[:LOCK_DIGITS]}", is_singleton=True)
            self._waited(kind, patiently(lock, kind, self.notice))
        except (OSError, NotImplementedError):
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def file(self, kind: str, key: str) -> Path:
        """Where an entry lies. Raises ValueError for what is no kind or key: no name leads out of the folder."""
        if not KIND.fullmatch(kind) or not KEY.fullmatch(key):
            raise ValueError(f"{kind!r} and {key!r} name no entry")
        return self.folder / kind / key[:2] / f"{key}{SUFFIX}"

    def set_aside(self, kind: str, key: str, why: str) -> None:
        """Moves an entry out of the way, where a person can look at it."""
        file = self.file(kind, key)
        aside = self.folder / "damaged" / f"{kind}-{key}{SUFFIX}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, aside)
            self.damaged.append(f"{file.name} in {file.parent} is damaged ({why}): set aside as {aside}")
        except OSError:
            self.damaged.append(f"{file.name} in {file.parent} is damaged ({why}), and not read")

    def used(self, file: Path) -> None:
        """Notes that an entry was used, so that it goes last."""
        try:
            os.utime(file)
        except OSError:
            return

    def _waited(self, kind: str, seconds: float) -> None:
        if seconds >= LONG_S:
            self.tell(f"waited {seconds:.0f} s for another process, which {work_of(kind)}")

    def tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
