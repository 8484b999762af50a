"""SweepMap: the effects of many sites, one number per site; exploratory by nature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from causaltest.seen import Found, Seen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from causaltest.survivors import FalseDiscovery, Survivors


@dataclass(frozen=True, eq=False)
class PerPair:
    """What each site of a sweep did to each pair: an effect's values, or a ratio's numerators."""

    values: NDArray[np.float64]
    """[site, pair]"""
    pair_ids: tuple[str, ...]
    clusters: tuple[str, ...] | None
    """None: the pairs were declared independent."""
    denominators: tuple[float, ...] | None = None
    """[pair]; clean - corrupt, which all sites share."""
    rounding: float = 0.0
    """How far rounding may move a value, measured on unpatched runs."""

    @property
    def units(self) -> int:
        """Clusters, or pairs that were declared independent."""
        return len(set(self.pair_ids if self.clusters is None else self.clusters))


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
    per_pair: PerPair | None = field(default=None, repr=False, compare=False)
    """None where the map is not one of patched runs."""
    seen: Seen | None = field(default=None, repr=False, compare=False)
    """The pairs that were looked at."""

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
        """The site with the largest estimate, found by looking: claim it on other pairs. It remembers these."""
        ranked = [-math.inf if math.isnan(e) else e for e in self.estimates]
        return self.site(ranked.index(max(ranked)))

    def site(self, cell: int) -> Any:
        """The site of a cell, counted row by row; it remembers where it was found."""
        if self.seen is None:
            return self.sites[cell]
        return replace(self.sites[cell], found=Found(self.seen, len(self.sites), self.estimates[cell]))

    def survivors(
        self, alpha: float = 0.05, *, two_sided: bool = False, flips: int | None = None, seed: int = 0
    ) -> Survivors:
        """The sites whose effect lies above zero, corrected for all that were looked at: print it.

        In at most `alpha` of all sweeps without any effect does any site survive: max-T over sign-flips of
        the clusters, which keeps the correlation between sites (Westfall and Young 1993). `flips` are 10000 unless
        said, or all where there are few.

        Raises JudgementError for a map that is an estimate, and where the clean and corrupt runs do not differ.
        """
        from causaltest.judging.survival import survivors_of  # a late door: docs/decisions/0002

        return survivors_of(self, alpha=alpha, two_sided=two_sided, flips=flips, seed=seed)

    def discoveries(
        self,
        rate: float = 0.05,
        *,
        method: FalseDiscovery = "bh",
        two_sided: bool = False,
        flips: int | None = None,
        seed: int = 0,
    ) -> Survivors:
        """To explore: the sites of which an expected share of at most `rate` is null.

        `method="bh"` (Benjamini and Hochberg 1995) holds for sites that are positively dependent, "by" (Benjamini and
        Yekutieli 2001) under any dependence. Raises what `survivors` raises.
        """
        from causaltest.judging.survival import discoveries_of  # a late door: docs/decisions/0002

        return discoveries_of(self, rate=rate, method=method, two_sided=two_sided, flips=flips, seed=seed)

    def __str__(self) -> str:
        return self.table()

    def table(self, mark: Callable[[int], str] = lambda _: "") -> str:
        """The estimates as a table of plain text; `.` marks a patch that moved nothing, `mark` any other cell."""
        how = "exploratory" if self.estimated_by is None else f"estimated by {self.estimated_by}, for screening only"
        head = f"{self.summary}, {self.n} of {self.pairs_total} pairs, {how}"
        width = max(6, *(len(c) + 1 for c in self.columns))
        lines = ["      " + "".join(c.rjust(width) for c in self.columns)]
        for r, name in enumerate(self.rows):
            at = range(r * len(self.columns), (r + 1) * len(self.columns))
            cells = [("." if self.distances[i] == 0 else f"{self.estimates[i]:.2f}") + mark(i) for i in at]
            lines.append(f"{name:<6}" + "".join(c.rjust(width) for c in cells))
        return "\n".join([head, *lines])

    def _table(self, numbers: tuple[float, ...]) -> NDArray[np.float64]:
        import numpy

        return numpy.array(numbers, dtype=float).reshape(self.shape)
