"""Row: one measured figure of the calibration, and the band in which it must lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["check", "negative control", "published"]

TWO_SIDED_999 = 3.2905
"""The normal quantile of the 99.9 % band."""


@dataclass(frozen=True)
class Row:
    """A figure and its limits.

    A "check" lies within them when the judge is right. A "negative control" measures a procedure that is known to
    be wrong, or a fault put in on purpose, and lies within them when the check would have seen it. A figure that
    is "published" is written down as it is: no promise is made about it.
    """

    part: int
    what: str
    measured: float
    low: float = -math.inf
    high: float = math.inf
    kind: Kind = "check"
    repeats: int | None = None
    """None: counted exactly, without simulation."""

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high


def band(rate: float, repeats: int) -> tuple[float, float]:
    """The 99.9 % binomial band of a rate, by the normal approximation: .05 gives [.034, .066] at 2 000 repeats."""
    half = TWO_SIDED_999 * math.sqrt(rate * (1 - rate) / repeats)
    return max(0.0, rate - half), min(1.0, rate + half)


def level(part: int, what: str, measured: float, repeats: int, *, rate: float = 0.05, conservative: bool = True) -> Row:
    """A false positive rate against its level; of a conservative procedure, whose rate may be lower, the upper band."""
    low, high = band(rate, repeats)
    return Row(part, what, measured, 0.0 if conservative else low, high, repeats=repeats)


def near(part: int, what: str, measured: float, repeats: int, *, rate: float) -> Row:
    """A rate against the one that it should be."""
    return Row(part, what, measured, *band(rate, repeats), repeats=repeats)


def at_fault(part: int, what: str, measured: float, *, above: float, repeats: int | None = None) -> Row:
    """A negative control: what is wrong must be seen to be, by a rate above this one."""
    return Row(part, what, measured, above, 1.0, "negative control", repeats)
