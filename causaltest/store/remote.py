"""Remote: entries at an address, from which several machines take what one of them has measured.

The folder of this machine is the first level, and the address the second. What is found there is verified like what
lies here, and kept here; what is measured here is put there in the background, small answers before clean runs, and
is there when its plan is at its end. A file there is named by a kind and a key alone, and nothing that an address
says becomes a path on this machine. Journals, parts and locks are each machine's own.

An address never makes a run fail, and never makes it wait for long: what does not answer is told once, and left.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from causaltest.store.address import shown, without_secrets
from causaltest.store.entry import Entry, entry_from_bytes, entry_to_pieces
from causaltest.store.lane import Lane, Task
from causaltest.store.layout import SUFFIX, file_of, largest
from causaltest.writing.raw_tensors import Damaged, TooLarge

SHARED = {"effects": 0, "answers": 0, "runs": 1}
"""Kinds that others can use, and which of them goes first."""
PATIENCE_S = 10.0
"""How long a run waits for an address at one time."""
WHOLE = frozenset("abfs abfss adl az gcs gs memory oci oss r2 s3 s3a webdav webdavs dav davs".split())
"""Kinds of address where a file is there whole or not at all, by itself."""
READ_ONLY = frozenset({"http", "https"})
"""Kinds of address where to write means to post, and nobody knows what that does."""


class Gone(Exception):
    """A file of this machine is there no more: no fault of the address."""


class Link:
    """An address, and what is known of it by now."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.reads, self.writes = set(SHARED), set(SHARED)
        """The kinds that are still read from there, and put there."""
        self.lacks: set[tuple[str, str]] = set()
        """What it did not have: it is not asked twice."""
        # Two clients: a small answer is not read behind the clean runs that are being sent.
        self.reading, self.writing = Lane(address), Lane(address)


class Remote:
    """Entries at an address. What goes wrong there is told by `tell`, once, and never raised."""

    def __init__(self, link: Link, tell: Callable[[str], None], *, patience_s: float = PATIENCE_S) -> None:
        """`link` may be that of others, too: what one has given up, all have."""
        self.link = link
        self.told = shown(link.address)
        self._tell, self._patience = tell, patience_s
        self._waiting: list[tuple[str, Task]] = []

    def get(self, kind: str, key: str) -> Entry | None:
        """The entry of a key; None where there is none, where it is damaged, and where nothing answers in time."""
        task = self._asked(kind, key)
        return None if task is None else self._taken(kind, key, task)

    def several(self, kind: str, keys: Iterable[str]) -> Iterator[tuple[str, Entry]]:
        """Those entries of many keys that are there, asked for at once."""
        tasks = [(key, task) for key in keys if (task := self._asked(kind, key)) is not None]
        for key, task in tasks:
            if kind in self.link.reads and (found := self._taken(kind, key, task)) is not None:
                yield key, found

    def _asked(self, kind: str, key: str) -> Task | None:
        if kind not in self.link.reads or (kind, key) in self.link.lacks:
            return None
        return self.link.reading.ask(lambda filesystem, base: read(filesystem, base, kind, key))

    def _taken(self, kind: str, key: str, task: Task) -> Entry | None:
        """What an answer holds, when it has come."""
        if not task.done.wait(self._patience):
            given_up = behind(kind)
            self._give_up(given_up, given_up, f"does not answer within {self._patience:g} seconds")
            self.link.reading = Lane(self.link.address)
            return None
        if task.error is not None:
            self._refused_to_read(kind, task.error)
        found = task.result
        if found is None:
            self.link.lacks.add((kind, key))
            return None
        try:
            # Torch takes tensors from memory that can be written alone.
            return entry_from_bytes(bytearray(found), kind, key)
        except (Damaged, TooLarge) as damaged:
            self.link.lacks.add((kind, key))
            self._tell(f"{kind}/{key[:2]}/{key}{SUFFIX} at {self.told} is damaged ({damaged}): it is measured anew")
        except MemoryError:
            self._no_memory(kind)
        return None

    def pass_over(self, kind: str, key: str) -> None:
        """Asks for an entry no more."""
        self.link.lacks.add((kind, key))

    def put(self, kind: str, key: str, entry: Entry, file: Path | None) -> None:
        """Has an entry put there, in the background; from its `file` on this machine, where it has one."""
        what = None if kind not in self.link.writes else to_send(kind, key, entry, file)
        if what is None:
            return

        def do(filesystem: Any, base: str) -> None:
            if kind in self.link.writes:
                with suppress(Gone):
                    write(filesystem, path_of(base, kind, key), what)

        self._waiting.append((kind, self.link.writing.ask(do, urgency=SHARED[kind])))

    def flush(self) -> None:
        """Waits until what was put is there, as long as something arrives there now and then."""
        waiting, self._waiting = self._waiting, []
        for kind, task in sorted(waiting, key=lambda one: one[1]):
            if kind not in self.link.writes:
                continue
            if not task.done.wait(self._patience):
                given_up = behind(kind)
                self._give_up(set() if kind == "runs" else given_up, given_up, "takes too long to write to")
            elif task.error is not None:
                self._refused_to_write(task.error)

    def _refused_to_read(self, kind: str, error: Exception) -> None:
        if isinstance(error, MemoryError):
            self._no_memory(kind)
            return
        if isinstance(error, PermissionError):
            # Some say so of what they do not have.
            self._tell(f"{self.told} does not let everything be read ({self._why(error)})")
            return
        self._give_up(set(SHARED), set(SHARED), f"cannot be reached ({self._why(error)})")

    def _no_memory(self, kind: str) -> None:
        self._tell(f"there is not enough memory for some {kind} at {self.told}: they are measured anew")

    def _refused_to_write(self, error: Exception) -> None:
        self._give_up(set(), set(SHARED), f"cannot be written ({self._why(error)})")

    def _give_up(self, reads: set[str], writes: set[str], why: str) -> None:
        """Leaves an address alone, for some kinds, to the end of the process."""
        if not (reads & self.link.reads or writes & self.link.writes):
            return
        self.link.reads -= reads
        self.link.writes -= writes
        if self.link.reads == set(SHARED):
            left = "what is measured is kept here alone"
        elif self.link.reads:
            left = "clean runs are kept here alone"
        else:
            left = "this run goes on without it"
        self._tell(f"{self.told} {why}: {left}")

    def _why(self, error: Exception) -> str:
        text = without_secrets(str(error), self.link.address)
        return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def behind(kind: str) -> set[str]:
    """The kinds that are left where one of them takes too long: large runs that are slow say nothing of small answers,
    which do not wait behind them."""
    return {"runs"} if kind == "runs" else set(SHARED)


def read(filesystem: Any, base: str, kind: str, key: str) -> bytes | None:
    """An entry's bytes; None where there is none, or more than any entry has."""
    most = largest(kind)
    try:
        found: bytes = filesystem.cat_file(path_of(base, kind, key), start=0, end=most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if len(found) <= most else None


def to_send(kind: str, key: str, entry: Entry, file: Path | None) -> bytes | Path | None:
    """What is sent of an entry; None for more than is read again, and for what is large and lies nowhere here: that
    waits on the disk, or not at all."""
    try:
        if file is not None:
            return file if file.stat().st_size <= largest(kind) else None
        if SHARED[kind]:
            return None
        pieces = entry_to_pieces(entry, kind, key)
        fits = sum(memoryview(piece).nbytes for piece in pieces) <= largest(kind)
        return b"".join(pieces) if fits else None
    except (OSError, TooLarge, MemoryError):
        return None


def write(filesystem: Any, path: str, what: bytes | Path) -> None:
    """Puts bytes, or a file of this machine, under a path, whole or not at all."""
    if not READ_ONLY.isdisjoint(protocols(filesystem)):
        raise PermissionError("it is of a kind that is only read")
    if not WHOLE.isdisjoint(protocols(filesystem)):
        send(filesystem, path, what)
        return
    parent = path.rpartition("/")[0]
    partial = f"{parent}/.{uuid.uuid4().hex[:16]}.partial"
    filesystem.makedirs(parent, exist_ok=True)
    try:
        send(filesystem, partial, what)
        filesystem.mv(partial, path)
    except BaseException:
        with suppress(Exception):
            filesystem.rm_file(partial)
        raise


def send(filesystem: Any, path: str, what: bytes | Path) -> None:
    """Raises Gone for a file that had to make room meanwhile; else whatever the file system raises."""
    if not isinstance(what, Path):
        filesystem.pipe_file(path, what)
        return
    try:
        filesystem.put_file(str(what), path)
    except FileNotFoundError:
        if what.is_file():
            raise
        raise Gone from None


def path_of(base: str, kind: str, key: str) -> str:
    """Where an entry lies there. Raises ValueError for what is no kind or key."""
    return f"{base}/{file_of(Path(), kind, key).as_posix()}"


def protocols(filesystem: Any) -> set[str]:
    given = filesystem.protocol
    return {given} if isinstance(given, str) else set(given)
