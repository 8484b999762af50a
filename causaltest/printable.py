"""Printable: texts that a stranger may have written, for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a question mark for each character that would steer a terminal or a page; line ends stay."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
