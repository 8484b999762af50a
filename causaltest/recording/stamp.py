"""Stamp: what a proof says of the file that it was made of, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass

from causaltest.printable import printable

LONGEST_NAME = 200


@dataclass(frozen=True)
class Stamp:
    """One proof, read."""

    algorithm: str
    """The hash's name, as hashlib knows it."""
    digest: bytes
    """Of the file that was stamped."""
    shows: tuple[str, ...]
    """What it shows, a sentence each."""
    unchecked: tuple[str, ...] = ()
    """What nobody has checked yet, without which it shows nothing, and how to; empty where it stands."""


def shown(text: str) -> str:
    """A stranger's text, such that it can be printed: in one line, of sensible length."""
    plain = printable(text).replace("\n", "?")
    return plain if len(plain) <= LONGEST_NAME else f"{plain[:LONGEST_NAME]}..."
