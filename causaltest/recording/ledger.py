"""Ledger: every look at a claim, and every sweep and search, one line each, in a file beside the lock that only grows.

    look            a claim that was measured: its spec, data and seed, the verdict, and its standing then
    sweep, search   what else has looked at pairs in a run of this folder
    mended          a line that a crash had cut was taken out; its text is kept here

Each line has the hash of the line before, so that none can be taken out or changed without a trace. Where two
branches were merged, two lines follow the same one, and the next line names both ends.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from causaltest.bounded import open_plain
from causaltest.errors import RecordError
from causaltest.recording.alone import alone
from causaltest.recording.clock import now
from causaltest.recording.lock_text import DEEPEST, depth_of
from causaltest.recording.wording import counted
from causaltest.writing.canonical import canonical, once_each, sha256_of, written
from causaltest.writing.exact import refused

NAME = "claims.ledger"
KINDS = {
    "look": ("claim", "spec", "data", "seed", "status", "verdict"),
    "sweep": ("sightings",),
    "search": ("sightings",),
    "mended": ("torn",),
}
"""The kinds of lines, and what each must have besides a date and its place in the chain."""
NOUNS = {"mended": "mended line"}
"""What a line of a kind is called, where the kind is no noun."""
CHAIN = ("kind", "at", "previous", "hash")
TEXTS = ("claim", "lock")
LISTS = {"sightings": dict, "also": str}
"""What fields hold that lines are found by, where a line has them; in the others a change is told by the hash."""
LARGEST = 512 << 20
"""Bytes of the file, beyond which it is neither read nor written."""
LONGEST = 64 << 20
"""Bytes of one line: the hashes of four million pairs."""
TORN_KEPT = 4096
"""Characters of a torn line that are kept."""

DECODER = json.JSONDecoder(object_pairs_hook=once_each, parse_constant=refused)

Line = Mapping[str, Any]


class Ledger:
    """The lines of a file, those that other processes write too. Each is read once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._forget()

    def _forget(self) -> None:
        self._lines: list[Line] = []
        self._looks: dict[str, list[Line]] = {}
        self._ends: dict[str, None] = {}
        self._read_to = 0
        self._inode = -1

    @property
    def lines(self) -> list[Line]:
        """All lines, in order; one that is still being written is left out.

        Raises RecordError for what is no ledger, and for one that a newer version has written.
        """
        self._read()
        return self._lines

    @property
    def head(self) -> str:
        """The hash of the last line; empty before the first."""
        lines = self.lines
        return str(lines[-1]["hash"]) if lines else ""

    def looks_at(self, claim: str) -> list[Line]:
        """The looks at one claim, in order."""
        self._read()
        return self._looks.get(claim, [])

    def append(self, make: Callable[[list[Line]], Line | None]) -> None:
        """Adds the line that `make` returns, if any, given all lines so far; nobody else writes in between.

        The line is on the disk, whole, when this returns. Raises OSError where it cannot be written, and RecordError
        where the file is no ledger.
        """
        with alone(self.file.parent):
            self._mend()
            made = make(self.lines)
            if made is not None:
                self._write(made)

    def _read(self) -> None:
        """Takes up the lines that were written since."""
        try:
            with open_plain(self.file) as stream:
                status = os.fstat(stream.fileno())
                if status.st_size < self._read_to or status.st_ino != self._inode:
                    self._forget()  # shortened, or another file in its place, as after a checkout
                    self._inode = status.st_ino
                if status.st_size > LARGEST:
                    raise RecordError(
                        f"{self.file} has {status.st_size >> 20} MB, and a ledger may have {LARGEST >> 20}: is it one?"
                    )
                stream.seek(self._read_to)
                new = stream.read()
        except FileNotFoundError:
            self._forget()
            return
        except OSError as error:
            raise RecordError(f"{self.file} cannot be read: {error.strerror or error}.") from error
        ended = new[: new.rfind(b"\n") + 1]
        for line in parsed_lines(ended, named=str(self.file), first=len(self._lines) + 1):
            self._take(line)
        self._read_to += len(ended)

    def _take(self, line: Line) -> None:
        self._lines.append(line)
        if line["kind"] == "look":
            self._looks.setdefault(str(line["claim"]), []).append(line)
        for name in before(line):
            self._ends.pop(name, None)
        self._ends[str(line["hash"])] = None

    def _mend(self) -> None:
        """Takes out what a writer that died has left of its line, and says so in a line of its own."""
        self._read()
        try:
            with self.file.open("r+b") as stream:
                stream.seek(self._read_to)
                torn = stream.read()
                if not torn:
                    return
                if whole(torn):
                    stream.write(b"\n")  # an editor has taken the end of the last line
                    return
                stream.truncate(self._read_to)
        except FileNotFoundError:
            return
        self._write(
            {
                "kind": "mended",
                "at": now(),
                "bytes": len(torn),
                "torn": torn.decode(errors="replace")[:TORN_KEPT],
            }
        )

    def _write(self, made: Line) -> None:
        head, *others = [*reversed(self._ends), ""]
        also = sorted(name for name in others if name)
        said = {**made, "previous": head, **({"also": also} if also else {})}
        line = f"{canonical({**said, 'hash': sha256_of(canonical(said))})}\n".encode()
        if self._read_to + len(line) > LARGEST:
            raise OSError(f"{self.file} is full: it has {LARGEST >> 20} MB")
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            if os.write(handle, line) < len(line):
                os.ftruncate(handle, self._read_to)
                raise OSError(f"the disk of {self.file} is full")
            os.fsync(handle)
        finally:
            os.close(handle)
        self._read()


def parse_ledger(text: str, *, named: str = NAME) -> list[Line]:
    """The lines of a ledger. Raises RecordError for what is none, and for one that a newer version has written."""
    return parsed_lines(text.encode(errors="surrogatepass"), named=named, first=1)


def broken(lines: Iterable[Line]) -> list[str]:
    """What shows that lines were changed, taken out or moved since they were written, a sentence each."""
    told, known = list[str](), {""}
    for number, line in enumerate(lines, start=1):
        name = str(line["hash"])
        if name in known:
            told.append(f"Line {number} of the ledger stands there twice.")
        if hash_of(line) != name:
            told.append(f"Line {number} of the ledger ({about(line)}) was changed after it was written.")
        if not known.issuperset(before(line)):
            told.append(
                f"Line {number} of the ledger ({about(line)}) follows a line that is not there: one was taken out, "
                "changed or moved."
            )
        known.add(name)
    return told


def hash_of(line: Line) -> str:
    """The hash that a line must have; empty for what has none, as NaN."""
    content = {name: value for name, value in line.items() if name != "hash"}
    try:
        # as it stands, without the walk of `canonical`: a number where a string was written is a change
        return sha256_of(written(content))
    except ValueError:
        return ""


def counted_kinds(lines: Iterable[Line]) -> list[str]:
    """How many lines there are of each kind, as in "2 looks"."""
    kinds = Counter(str(line["kind"]) for line in lines)
    return [counted(kinds[kind], NOUNS.get(kind, kind)) for kind in KINDS if kinds[kind]]


def before(line: Line) -> list[str]:
    """The hashes of the lines that a line follows: one, or after a merge of branches several."""
    return [str(line["previous"]), *map(str, line.get("also", ()))]


def whole(text: bytes) -> bool:
    """Whether a text without an end is a whole line all the same."""
    try:
        line = parsed_line(text, where="")
    except RecordError:
        return False
    return hash_of(line) == str(line["hash"])


def about(line: Line) -> str:
    """A line in few words."""
    return " ".join(str(line[name]) for name in ("at", "kind", "claim") if name in line)


def parsed_lines(data: bytes, *, named: str, first: int) -> list[Line]:
    """Whole lines as mappings; `first` is the number of the first."""
    return [
        parsed_line(line.removesuffix(b"\n"), where=f"{named}, line {number}")
        for number, line in enumerate(BytesIO(data), start=first)  # one by one: millions of them may be empty
        if line.strip()
    ]


def parsed_line(text: bytes, *, where: str) -> Line:
    if text.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        raise RecordError(
            f"{where}: the ledger has the marks of a merge that git could not make. Keep the lines of both sides, "
            "delete the marks, and commit it: lines of two branches may stand one after the other."
        )
    if len(text) > LONGEST:
        raise RecordError(f"{where}: the line has {len(text) >> 20} MB, which no look has.")
    try:
        line = DECODER.decode(text.decode(errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: this is no line of a ledger ({error}). {RESTORE}") from None
    # most lines have fewer brackets than that, and are not walked through
    if text.count(b"[") + text.count(b"{") > DEEPEST and depth_of(line) > DEEPEST:
        raise RecordError(f"{where}: this is no line of a ledger (nested deeper than {DEEPEST} levels). {RESTORE}")
    if not isinstance(line, dict) or not all(isinstance(line.get(name), str) for name in CHAIN):
        raise RecordError(f"{where}: this is no line of a ledger, which has {', '.join(CHAIN)}. {RESTORE}")
    kind = line["kind"]
    if kind not in KINDS:
        raise RecordError(
            f"{where}: lines of the kind {kind!r} are not known here, only {', '.join(KINDS)}. A newer causaltest has "
            "written it: update this one."
        )
    missing = [name for name in KINDS[kind] if name not in line]
    if missing:
        raise RecordError(f"{where}: a line of the kind {kind} has {', '.join(missing)}, and this has not. {RESTORE}")
    odd = [name for name in TEXTS if not isinstance(line.get(name, ""), str)]
    odd += [name for name, kind in LISTS.items() if not is_list_of(line.get(name, []), kind)]
    if odd:
        raise RecordError(f"{where}: {odd[0]} is not what a ledger holds there. {RESTORE}")
    return line


def is_list_of(said: object, kind: type) -> bool:
    return isinstance(said, list) and all(isinstance(one, kind) for one in said)


RESTORE = "Restore the file from git: git checkout -- claims.ledger"
