"""Printable: what comes from a stranger's file, such that it can be printed to a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a question mark for each character that would steer a terminal; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
