"""Plain numbers: what a user gives as a scalar of numpy is kept as Python's own.

A scalar of numpy is equal to the number, and is no part of JSON, of a hash, or of what pytest-xdist can send.
"""

from __future__ import annotations

from typing import Any


def make_plain(frozen: object, *names: str) -> None:
    """Puts Python's own numbers in place of others in the fields of a frozen dataclass that is being made."""
    for name in names:
        object.__setattr__(frozen, name, plain_number(getattr(frozen, name)))


def plain_number(number: Any) -> Any:
    """A number as Python's own, to the last bit of what it was; None stays None."""
    return number if number is None or type(number) in (int, float) else float(number)


def plain_whole(number: Any) -> Any:
    """A whole number as Python's own; whatever is none stays what it is, for others to refuse."""
    return number if type(number) is int or not hasattr(number, "__index__") else number.__index__()


def plain_scalar(scalar: Any) -> Any:
    """What JSON asks of a scalar that it does not know. Raises TypeError for what is none of numpy's."""
    if getattr(scalar, "shape", None) != () or not hasattr(scalar, "item"):
        raise TypeError(f"{scalar!r} is no number")
    return scalar.item()
