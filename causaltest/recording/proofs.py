"""Proofs: whether a time stamp that somebody else made is one of the lock, and what it shows.

A time stamp says that a file with this hash existed at a time. It is made outside of causaltest, of `claims.lock`, by
an authority (RFC 3161) or in the Bitcoin chain (OpenTimestamps). Nothing is looked up here: what would need the network
is left for a person to check, and said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from causaltest.bounded import open_plain, read_bounded
from causaltest.errors import RecordError
from causaltest.recording import authority, chain
from causaltest.recording.committed_versions import blob, most_read, versions
from causaltest.recording.lock_text import LARGEST
from causaltest.recording.stamp import Stamp

LARGEST_BYTES = 1 << 20
"""A proof takes some thousand bytes, also with its authority's certificates."""


MOST_COMMITS = 1000
"""Of the file, in which the stamped one is looked for."""


def stamp_of(
    proof: Path, file: Path, *, roots: Path | None = None, merkle_roots: Mapping[int, str] | None = None
) -> tuple[str, Stamp]:
    """Which state of `file` a proof was made of, as a sentence, and the proof.

    `roots` is a PEM file with the certificates of authorities that are trusted; `merkle_roots` are those of Bitcoin
    blocks, by height, that the caller has looked up, in hexadecimal as block explorers print them.

    Raises RecordError for a file that is no proof, for a proof that does not hold, and for one of another file.
    """
    data = limited(proof)
    if data.startswith(chain.MAGIC):
        stamp = chain.read(data, name=str(proof), merkle_roots=merkle_roots or {})
    elif data.startswith(b"\x30"):
        stamp = authority.read(data, name=str(proof), roots=None if roots is None else limited(roots))
    else:
        raise RecordError(
            f"{proof} is neither an RFC 3161 response (.tsr, in DER) nor an OpenTimestamps proof (.ots). "
            "docs/timestamps.md tells how to get one."
        )
    return stamped_state(proof, file, stamp), stamp


def stamped_state(proof: Path, file: Path, stamp: Stamp) -> str:
    """The state of the file that has the stamped hash: as it is now, or as it was committed earlier."""
    try:
        present = read_bounded(file, LARGEST)
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror or error}.") from error
    if is_of(stamp, present):
        return f"It is of {file.name} as it is."
    for commit, content in earlier_contents(file, most=most_read(present)):
        if is_of(stamp, content):
            return f"It is of {file.name} as committed in {commit[:8]}, and not of what was added to it since."
    raise RecordError(
        f"{proof} is no proof of {file}: it was made of a file with the {stamp.algorithm} {stamp.digest.hex()}, and "
        f"that of {file.name} is {hashlib.new(stamp.algorithm, present).hexdigest()}; no commit of it that is here "
        "has the other. Look for the file that was stamped; other line ends or a shallow clone can be why."
    )


def earlier_contents(file: Path, *, most: int) -> Iterator[tuple[str, bytes]]:
    """The file as it stands in the commits that changed it, the latest first, where it has no more than `most` bytes;
    none where there is no git."""
    for version in reversed(versions(file.parent, file.name)[-MOST_COMMITS:]):
        content = blob(file.parent, version, most=most)
        if content is not None:
            yield version.commit, content


def is_of(stamp: Stamp, content: bytes) -> bool:
    return hashlib.new(stamp.algorithm, content).digest() == stamp.digest


def limited(file: Path) -> bytes:
    """The file's bytes. Raises RecordError where it is too large, or cannot be read."""
    try:
        with open_plain(file) as open_file:
            data = open_file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise RecordError(f"{file} cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST_BYTES:
        raise RecordError(f"{file} is larger than {LARGEST_BYTES} bytes, and a proof takes some thousand.")
    return data
