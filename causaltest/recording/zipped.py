"""Zipped: a few files in one, written so that the same files give the same bytes, and read as data within bounds.

Nothing is written to disk, so no name can point out of a folder; a name that is not expected is refused all the same.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path

from causaltest.errors import RecordError

LARGEST = 1 << 30
"""Bytes of all files together, unpacked; and of the ZIP."""
CHUNK = 1 << 20
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first moment that a ZIP can name. No file has another, as bytes must not depend on when they were written."""
ENCRYPTED = 0x1
MOST_TO_ONE = 100
"""How many bytes one may unpack to. A record packs to about a tenth; what is made to burst, to a thousandth."""
LARGEST_DIRECTORY = 1 << 16
"""Bytes of the list of files, each of whose entries takes many times its size in memory."""
END, END_BYTES, LONGEST_COMMENT = b"PK\x05\x06", 22, 1 << 16
LOCATOR, LOCATOR_BYTES = b"PK\x06\x07", 20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a ZIP. Nothing is compressed, since compressed bytes differ between builds of zlib."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name])
    return made.getvalue()


def unzipped(file: Path, expected: Collection[str]) -> dict[str, bytes]:
    """The files of a ZIP by name, all of them expected.

    Raises RecordError for what is no ZIP, is damaged or too large, and for an entry that is encrypted, a link, a
    folder, there twice, or not expected.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise RecordError(f"{file} has {file.stat().st_size >> 20} MB, and a bundle has at most {LARGEST >> 20}.")
        check_directory(file)
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            check(file, entries, expected)
            return {entry.filename: contents(archive, entry) for entry in entries}
    except RecordError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        ArithmeticError,
    ) as error:
        raise RecordError(f"{file} cannot be read as a ZIP: {error or type(error).__name__}. {AGAIN}") from error


AGAIN = "Get it again from whoever made it."


def check_directory(file: Path) -> None:
    """Raises RecordError for a list of files that is longer than a bundle's: zipfile reads it whole."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - END_BYTES - LONGEST_COMMENT))
        tail = stream.read()
    # Where zipfile looks: at the very end, or before a comment.
    bare = tail[-END_BYTES:].startswith(END) and tail.endswith(b"\0\0")
    at = len(tail) - END_BYTES if bare else tail.rfind(END)
    length = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if length > LARGEST_DIRECTORY:
        refuse(file, f"its list of files has {length >> 10} kB")
    if at >= LOCATOR_BYTES and tail[at - LOCATOR_BYTES :].startswith(LOCATOR):
        refuse(file, "it is written as files of 4 GB and more are")


def check(file: Path, entries: list[zipfile.ZipInfo], expected: Collection[str]) -> None:
    """Raises RecordError for an entry that no bundle has."""
    names = [entry.filename for entry in entries]
    for entry in entries:
        named = repr(entry.orig_filename)[:80]
        if entry.orig_filename not in expected:
            refuse(file, f"it holds {named}, and a bundle holds {', '.join(sorted(expected))}")
        if names.count(entry.filename) > 1:
            refuse(file, f"it holds {named} twice")
        if entry.flag_bits & ENCRYPTED:
            refuse(file, f"{named} is encrypted")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            refuse(file, f"{named} is a link or no plain file")
        if entry.compress_type not in METHODS:
            refuse(file, f"{named} is compressed in a way that only some programs read")
        if entry.file_size > MOST_TO_ONE * (entry.compress_size + CHUNK):
            refuse(file, f"{named} unpacks to {entry.file_size >> 20} MB out of {entry.compress_size >> 10} kB")
    if sum(entry.file_size for entry in entries) > LARGEST:
        refuse(file, f"its files have more than {LARGEST >> 20} MB")


def contents(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of one file, no more than it says that it has."""
    parts, left = list[bytes](), entry.file_size
    with archive.open(entry) as stream:
        while left > 0 and (part := stream.read(min(CHUNK, left))):
            parts.append(part)
            left -= len(part)
        # read to its end, where its checksum is held against it
        if left or stream.read(1):
            raise zipfile.BadZipFile(f"{entry.filename} is not as long as it says")
    return b"".join(parts)


def refuse(file: Path, what: str) -> None:
    raise RecordError(f"{file} is no bundle as causaltest makes them: {what}. {AGAIN}")
