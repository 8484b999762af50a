"""Our numbers against a peer's: a ratio of two different computations says nothing, so none is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

TOLERANCE = 1e-4
LEAST_CHANGE = 1e-2
"""Some patch must move the logit by this, or two wrong maps of nearly nothing would count as equal."""


class Differs(Exception):
    """The peer's numbers are not ours."""


@dataclass
class Same:
    """Compares each repetition; remembers the largest difference."""

    worst: float = 0.0

    def __call__(self, ours: Any, theirs: Any) -> None:
        """Raises Differs beyond the tolerance, and where no patch does anything."""
        a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
        if a.shape != b.shape:
            raise Differs(f"ours has the shape {a.shape}, theirs {b.shape}")
        apart, largest = float(np.abs(a - b).max()), float(np.abs(b).max())
        # Not `apart > TOLERANCE`: NaN must fail too.
        if not apart <= TOLERANCE:
            at = np.unravel_index(int(np.nanargmax(np.abs(a - b))), a.shape)
            raise Differs(f"the numbers differ by {apart:.2g} at {tuple(map(int, at))}; {TOLERANCE} is allowed")
        if not largest >= LEAST_CHANGE:
            raise Differs(f"no patch changes the logit by more than {largest:.2g}, so equal maps would prove nothing")
        print(f"    equal to {apart:.1e}; the largest change is {largest:.2g}", file=sys.stderr, flush=True)
        self.worst = max(self.worst, apart)
