"""Room: how large a store may become, and what goes when there is no more: what was used longest ago.

What goes first are leftovers, then clean runs, which are large and quickly made again, and then all the rest; of each,
what this process has used goes last. What is kept of plans that are being measured never goes.

The folder is not looked through on every write: a look tells how much may be written until the next. It is never more
than a part of the bound, since other processes write too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from causaltest.store.layout import DAMAGED, PARTIAL, Lying, lying

RUNS, PLANS, PARTS = "runs", "plans", "parts"
HOUR_S, DAY_S, MONTH_S = 3600.0, 86400.0, 30 * 86400.0
FILLED = 0.9
"""How full the store is after something had to go, so that not every write looks for more."""
LOOKS = 16
"""Looks while the store fills once."""
AGAIN_S = 1.0
"""How long a store that is full of what may not go is not looked through again."""


class Room:
    """What may still be written to a folder."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self._free: int | None = None
        """Bytes that may be written before the next look."""
        self._full_at = -AGAIN_S
        self._own: dict[bytes, int] = {}
        """The keys that this process has used, each with the number of its last use."""
        self._uses = 0

    def used(self, key: str) -> None:
        """Notes that this process needs an entry."""
        self._uses += 1
        self._own[bytes.fromhex(key)] = self._uses

    def make(self, nbytes: int) -> bool:
        """Whether there is room for so many bytes more, which is made where it can be."""
        if nbytes > self.most_bytes:
            return False
        if self._free is None or nbytes > self._free:
            if time.monotonic() - self._full_at < AGAIN_S:
                return False
            self._free = self._look(nbytes)
        if nbytes > self._free:
            self._full_at = time.monotonic()
            return False
        self._free -= nbytes
        return True

    def _look(self, nbytes: int) -> int:
        """Looks through the folder, and lets go what is too much; the bytes that may be written until the next look."""
        there = without_leftovers(lying(self.folder))
        total = sum(one.nbytes for one in there)
        if total + nbytes > self.most_bytes:
            gone = self.let_go(there, total + nbytes - int(FILLED * self.most_bytes))
            total -= sum(one.nbytes for one in gone)
        return min(self.most_bytes - total, max(nbytes, self.most_bytes // LOOKS))

    def let_go(self, there: Iterable[Lying], surplus: int, go: Callable[[Lying], bool] | None = None) -> list[Lying]:
        """Removes what may go until the surplus is gone; what is gone. `go` does it, and says whether it was done."""
        gone: list[Lying] = []
        for one in sorted((one for one in there if self._may_go(one)), key=self._rank):
            if surplus <= 0:
                break
            if (go or removed)(one):
                gone.append(one)
                surplus -= one.nbytes
        return gone

    def _may_go(self, one: Lying) -> bool:
        """Whether it may go: not what a plan that is being measured, here or elsewhere, goes on from."""
        running = one.kind in (PLANS, PARTS) and (self._order(one) >= 0 or age(one) < DAY_S)
        return one.kind != PARTIAL and not running

    def _rank(self, one: Lying) -> tuple[int, int, float]:
        """Those that go first have the least."""
        return (0 if one.kind == DAMAGED else 1 if one.kind == RUNS else 2), self._order(one), one.used

    def _order(self, one: Lying) -> int:
        return self._own.get(bytes.fromhex(one.key), -1) if one.key else -1


def age(one: Lying) -> float:
    """Seconds since it was used, or until then: a clock that was set back leaves files of the future."""
    return abs(time.time() - one.used)


def without_leftovers(there: Iterable[Lying]) -> list[Lying]:
    """What lies there, without leftovers, which are removed."""
    return [one for one in there if not (is_leftover(one) and removed(one))]


def is_leftover(one: Lying) -> bool:
    """Whether a process that was killed had begun to write it; or has begun a plan that nobody went on with."""
    if one.kind == PARTIAL:
        return age(one) > HOUR_S
    return one.kind in (PLANS, PARTS) and time.time() - one.used > MONTH_S


def removed(one: Lying) -> bool:
    """Removes a file, unless somebody has used it by now. What somebody else has removed is gone as well."""
    try:
        if os.stat(one.path, follow_symlinks=False).st_mtime != one.used:
            return False
        os.unlink(one.path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
