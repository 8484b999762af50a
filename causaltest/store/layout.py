"""Layout: what lies in a store's folder, told by name from whatever else lies there. No link is followed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".safetensors"
LARGEST = {
    "effects": 1 << 28,
    "answers": 1 << 29,
    "shortcuts": 1 << 20,
    "runs": 1 << 32,
    "plans": 1 << 28,
    "parts": 1 << 32,
}
"""Of an entry of each kind: what a file claims to hold is read into memory to be summed up."""
KEY = re.compile(r"[0-9a-f]{64}")
KIND = re.compile(r"[a-z]{1,16}")
DIGITS = re.compile(r"[0-9a-f]{2}")
TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.partial")
ASIDE = re.compile(rf"[a-z]{{1,16}}-[0-9a-f]{{64}}{re.escape(SUFFIX)}(\.[0-9]{{1,9}})?")
DAMAGED, LOCKS, PARTIAL = "damaged", "locks", "partial"
"""Names that no kind of entry has: what was set aside, what is held, and what was not written to its end."""


@dataclass(frozen=True, slots=True)
class Lying:
    """A file of the store."""

    path: str
    kind: str
    """That of an entry; or DAMAGED, or PARTIAL."""
    key: str
    """Empty for what is no entry."""
    nbytes: int
    used: float
    """When it was last read or written, by the clock of then."""


def file_of(folder: Path, kind: str, key: str) -> Path:
    """Where an entry lies. Raises ValueError for what is no kind or key: no name leads out of the folder."""
    if not KIND.fullmatch(kind) or kind in (DAMAGED, LOCKS, PARTIAL) or not KEY.fullmatch(key):
        raise ValueError(f"{kind!r} and {key!r} name no entry")
    return folder / kind / key[:2] / f"{key}{SUFFIX}"


def largest(kind: str) -> int:
    """Bytes that an entry may have; one of a kind that only another release knows, as many as any."""
    return LARGEST.get(kind, max(LARGEST.values()))


def lying(folder: Path) -> Iterator[Lying]:
    """All files of a store, in no order; what cannot be looked at is left out."""
    for kind in inside(folder):
        if kind.name == DAMAGED and is_folder(kind):
            yield from (found for one in inside(kind) if ASIDE.fullmatch(one.name) for found in one_of(one, DAMAGED))
        elif KIND.fullmatch(kind.name) and kind.name != LOCKS and is_folder(kind):
            for digits in inside(kind):
                if DIGITS.fullmatch(digits.name) and is_folder(digits):
                    yield from entries(kind.name, digits)


def entries(kind: str, digits: os.DirEntry[str]) -> Iterator[Lying]:
    """The entries of one folder, and what was not written to its end."""
    for one in inside(digits):
        key = one.name.removesuffix(SUFFIX)
        if key != one.name and KEY.fullmatch(key) and key.startswith(digits.name):
            yield from one_of(one, kind, key)
        elif TEMPORARY.fullmatch(one.name):
            yield from one_of(one, PARTIAL)


def one_of(one: os.DirEntry[str], kind: str, key: str = "") -> Iterator[Lying]:
    """A plain file, unless it is gone by now: another process may have dropped it."""
    with suppress(OSError):
        if one.is_file(follow_symlinks=False):
            status = one.stat(follow_symlinks=False)
            yield Lying(one.path, kind, key, status.st_size, status.st_mtime)


def inside(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as there:
            return list(there)
    except OSError:
        return []


def is_folder(one: os.DirEntry[str]) -> bool:
    """Whether it is a folder, and no link to one."""
    try:
        return one.is_dir(follow_symlinks=False)
    except OSError:
        return False
