"""SweepMap: the effects of many sites, one number per site; exploratory by nature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SweepMap:
    """Estimates over the axes of a sweep, row-major: layer (and head), then position.

    `distances` are mean patch distances: a null at distance 0 is a patch of nothing.
    """

    summary: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    estimates: tuple[float, ...]
    distances: tuple[float, ...]
    n: int
    pairs_total: int
    sites: tuple[Any, ...] = ()
    estimated_by: str | None = None
    """The method, where no patched run was made: such a map screens, and a patched run confirms."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    @property
    def estimate(self) -> NDArray[np.float64]:
        """[layer, position], or [layer x head, position]."""
        return self._table(self.estimates)

    @property
    def distance(self) -> NDArray[np.float64]:
        """[layer, position]: the mean Euclidean distance of the patch."""
        return self._table(self.distances)

    @property
    def best(self) -> Any:
        """The site with the largest estimate, found by looking: claim it on other pairs."""
        ranked = [-math.inf if math.isnan(e) else e for e in self.estimates]
        return self.sites[ranked.index(max(ranked))]

    def __str__(self) -> str:
        """The estimates as a table of plain text; `.` marks a patch that moved nothing."""
        how = "exploratory" if self.estimated_by is None else f"estimated by {self.estimated_by}, for screening only"
        head = f"{self.summary}, {self.n} of {self.pairs_total} pairs, {how}"
        width = max(6, *(len(c) + 1 for c in self.columns))
        lines = ["      " + "".join(c.rjust(width) for c in self.columns)]
        for r, name in enumerate(self.rows):
            at = range(r * len(self.columns), (r + 1) * len(self.columns))
            cells = ["." if self.distances[i] == 0 else f"{self.estimates[i]:.2f}" for i in at]
            lines.append(f"{name:<6}" + "".join(c.rjust(width) for c in cells))
        return "\n".join([head, *lines])

    def _table(self, numbers: tuple[float, ...]) -> NDArray[np.float64]:
        import numpy

        return numpy.array(numbers, dtype=float).reshape(self.shape)
