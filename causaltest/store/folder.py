"""Store: a folder in which what was measured lies under keys that name everything that could change it.

<kind>/<first two digits>/<key>.safetensors   an entry
locks/<kind>-<first three digits>             held while an entry of these digits is computed
damaged/                                      entries that were not as they were written, set aside

An entry is written to a temporary file and renamed, so that it is there whole or not at all; it is verified whenever
it is read. A store never makes a run fail: what cannot be read is measured, and what cannot be written is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from causaltest.store.entry import Entry, entry_from_stream, entry_to_pieces
from causaltest.store.files import NOFOLLOW, make_folder, opened, refuse_links, write_pieces
from causaltest.store.layout import DAMAGED, LOCKS, SUFFIX, file_of, largest
from causaltest.store.room import PARTS, RUNS, Room
from causaltest.store.waiting import LONG_S, patiently, work_of
from causaltest.writing.raw_tensors import Damaged, TooLarge
from causaltest.writing.sizes import shown_bytes

MOST_BYTES = 10 << 30
LOCK_DIGITS = 3
"""Digits of the keys that share a lock: few files, and who computes something else seldom waits."""
MOST_ASIDE = 100
"""Names that are tried for an entry that is set aside."""


class Store:
    """Entries in a folder of this machine."""

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = MOST_BYTES,
        room: Room | None = None,
        hear: Callable[[str], None] | None = None,
    ) -> None:
        """`most_bytes`: beyond this, what was used longest ago goes; `room`: what others that write there know of it.
        `hear` is called with whatever is to be told."""
        self.folder = folder
        self.room = room or Room(folder, most_bytes)
        self.damaged: list[str] = []
        """A sentence for each entry that was set aside."""
        self.problems: list[str] = []
        """A sentence for each kind of thing that could not be kept."""
        self.notice: Callable[[str], None] = lambda _: None
        """Hears what is waited for, while it is."""
        self._hear = hear

    def get(self, kind: str, key: str) -> Entry | None:
        """The entry of a key; None where there is none, or one that is damaged, which is set aside."""
        entry = self.look_at(kind, key)
        return None if entry is None else replace(entry, read=self._used(kind, key, entry.read))

    def look_at(self, kind: str, key: str) -> Entry | None:
        """The same, without noting that it was used."""
        file = self.file(kind, key)
        status = None
        try:
            refuse_links(file.parent, self.folder)
            stream, status = opened(file)
            with stream:
                if status.st_size > self.room.most_bytes:
                    # Such a file is no larger than its reader's memory only by chance.
                    self.tell(f"some {kind} in {self.folder} are larger than {self._bound}, so they are not read")
                    return None
                if status.st_size > largest(kind):
                    raise Damaged(f"it is larger than any of the {kind}")
                return replace(entry_from_stream(stream, status.st_size, kind, key), read=status)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:
            self.tell(f"{self.folder} cannot be read ({why(error)}), so what it may hold is measured again")
            return None
        except Damaged as damaged:
            self.set_aside(kind, key, str(damaged), status)
            return None

    def put(self, kind: str, key: str, entry: Entry, *, lasting: bool = True) -> bool:
        """Keeps an entry in place of any other of its key; False where it is not kept, which is told.

        It is on the disk when this returns; unless `lasting` is False, for what is quickly measured again.
        """
        file = self.file(kind, key)
        try:
            pieces = entry_to_pieces(entry, kind, key)
            nbytes = sum(memoryview(piece).nbytes for piece in pieces)
            if nbytes > largest(kind):
                raise TooLarge(f"they are larger than {shown_bytes(largest(kind))}")
            if not self._has_room(kind, nbytes):
                return False
            make_folder(file.parent, self.folder)
            write_pieces(file, pieces, lasting=lasting)
        except TooLarge as large:
            self.tell(f"some {kind} are not kept: {large}")
            return False
        except (OSError, MemoryError) as error:
            self.tell(f"{self.folder} cannot be written ({why(error)}), so what is measured is not kept")
            return False
        self.room.used(key)
        return True

    def drop(self, kind: str, key: str) -> None:
        """Lets an entry go."""
        file = self.file(kind, key)
        with suppress(OSError):
            refuse_links(file.parent, self.folder)
            file.unlink(missing_ok=True)

    @contextmanager
    def alone(self, kind: str, key: str) -> Iterator[None]:
        """Holds the right to compute an entry, of all processes; waits for whoever holds it. A process that dies lets
        go. Where nothing can be locked, as in a folder that cannot be written, nobody waits."""
        from filelock import FileLock  # late: nobody who only reads waits for its import

        place = self.folder / LOCKS
        file = place / f"{kind}-{key[:LOCK_DIGITS]}"
        lock = None
        with suppress(OSError, NotImplementedError):
            make_folder(place, self.folder)
            # Made here, with the permissions that the umask says: a lock that others cannot open locks nobody out.
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o666))
            # Two keys may share a file: who holds it already does not wait for themselves.
            wanted = FileLock(file, is_singleton=True)
            waited_s = patiently(wanted, kind, self.notice)
            lock = wanted
            if waited_s >= LONG_S:
                self._say(f"waited {waited_s:.0f} s for another process, which {work_of(kind)}")
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def file(self, kind: str, key: str) -> Path:
        """Where an entry lies. Raises ValueError for what is no kind or key: no name leads out of the folder."""
        return file_of(self.folder, kind, key)

    def set_aside(self, kind: str, key: str, why: str, read: os.stat_result | None = None) -> None:
        """Moves an entry out of the way, where a person can look at it; but not if it is another than was `read`."""
        file = self.file(kind, key)
        told = f"{kind}/{key[:2]}/{file.name} in {self.folder} was damaged ({why}): it is measured again"
        with suppress(OSError):
            refuse_links(file.parent, self.folder)
            now = file.lstat()
            if read is not None and (now.st_ino, now.st_mtime_ns) != (read.st_ino, read.st_mtime_ns):
                # Another process has found the same, and has measured it by now.
                return
            told += f", and set aside as {DAMAGED}/{self._moved(file, kind, key).name}"
        self.damaged.append(told)
        self._say(told)

    def _moved(self, file: Path, kind: str, key: str) -> Path:
        """Moves a file to those that were set aside. Raises OSError where it cannot be moved."""
        folder, name = self.folder / DAMAGED, f"{kind}-{key}{SUFFIX}"
        make_folder(folder, self.folder)
        for aside in (folder / name, *(folder / f"{name}.{n}" for n in range(1, MOST_ASIDE))):
            # A folder may have stood in the place of a file, and nothing can be written over one.
            if not os.path.lexists(aside) or not (file.is_dir() or aside.is_dir()):
                os.replace(file, aside)
                return aside
        raise FileExistsError(f"{folder} has {MOST_ASIDE} of {name}")

    def _used(self, kind: str, key: str, read: os.stat_result | None) -> os.stat_result | None:
        """Notes that an entry was used, so that it goes last; what the system says of the file that was read now."""
        self.room.used(key)
        file = self.file(kind, key)
        with suppress(OSError, NotImplementedError):
            os.utime(file, follow_symlinks=os.utime not in os.supports_follow_symlinks)
            now = file.lstat()
            if read is not None and now.st_ino == read.st_ino:
                return now
        return read

    def tell(self, problem: str) -> None:
        """Says once what could not be done."""
        if problem not in self.problems:
            self.problems.append(problem)
            self._say(problem)

    def _has_room(self, kind: str, nbytes: int) -> bool:
        """Whether an entry may be written. What has taken long is, also where the rest cannot be made smaller."""
        if nbytes > self.room.most_bytes:
            self.tell(f"some {kind} are larger than {self._bound}, so they are not kept")
            return False
        if self.room.make(nbytes) or kind not in (RUNS, PARTS):
            return True
        self.tell(f"{self.folder} is full of what is being measured, so some {kind} are not kept: it has {self._bound}")
        return False

    @property
    def _bound(self) -> str:
        return f"the {shown_bytes(self.room.most_bytes)} of --causal-cache-size"

    def _say(self, sentence: str) -> None:
        if self._hear is not None:
            self._hear(sentence)


def why(error: OSError | MemoryError) -> str:
    return "there is not enough memory" if isinstance(error, MemoryError) else str(error.strerror or error)
