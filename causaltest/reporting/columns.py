"""Rows of cells as lines of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(table: Sequence[Sequence[str]], *, wide: Sequence[Sequence[str]] = ()) -> list[str]:
    """Rows of cells as lines whose columns begin below each other.

    With `wide`, only the cells of these rows make a column wide: a row that says one thing alone moves no column.
    """
    widths = [max(map(len, column)) for column in zip(*(wide or table), strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
