"""Survivors: the sites of a sweep that are left when it is counted how many were looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from causaltest.sweep import SweepMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

FalseDiscovery = Literal["bh", "by"]
Correction = Literal["max-t", "bh", "by"]

NAMES: dict[str, str] = {
    "max-t": "family-wise by max-T",
    "bh": "false discovery rate by Benjamini-Hochberg",
    "by": "false discovery rate by Benjamini-Yekutieli",
}


@dataclass(frozen=True)
class Survivors:
    """A sweep's sites with their corrected p-values, in the order of its cells.

    Family-wise (`sweep.survivors()`): in at most `level` of all sweeps without any effect does any site survive. By
    false discovery (`sweep.discoveries()`): of the sites named, an expected share of at most `level` is null. Either
    speaks of the pairs that were swept; a claim about a site that was found so is made on other pairs.
    """

    sweep: SweepMap
    method: Correction
    level: float
    two_sided: bool
    p_values: tuple[float, ...]
    """Of each site for itself."""
    p_adjusted: tuple[float, ...]
    """Of each site among all of them."""
    units: int
    """Clusters, or pairs that were declared independent."""
    flips: int
    enumerated: bool
    """Whether these were all sign-flips that there are."""
    seed: int
    note: str = ""
    """Why no site could survive, where none could."""

    @property
    def table(self) -> NDArray[np.bool_]:
        """[layer, position], or [layer x head, position]: whether the site survives."""
        return self.adjusted <= self.level

    @property
    def adjusted(self) -> NDArray[np.float64]:
        """[layer, position]: the corrected p-values."""
        import numpy

        return numpy.array(self.p_adjusted, dtype=float).reshape(self.sweep.shape)

    @property
    def sites(self) -> tuple[Any, ...]:
        """The sites that survive, the smallest p-value first; each remembers where it was found."""
        kept = [i for i, p in enumerate(self.p_adjusted) if p <= self.level]
        kept.sort(key=lambda i: (self.p_adjusted[i], self.p_values[i], -abs(self.sweep.estimates[i])))
        return tuple(self.sweep.site(i) for i in kept)

    def __iter__(self) -> Iterator[Any]:
        """The sites that survive."""
        return iter(self.sites)

    def __len__(self) -> int:
        """How many sites survive."""
        return sum(p <= self.level for p in self.p_adjusted)

    def __str__(self) -> str:
        """The sweep's table with `*` at what survives, and by which correction."""
        flips = f"all {self.flips + 1}" if self.enumerated else f"{self.flips}"
        sides = "two-sided" if self.two_sided else "larger than 0"
        how = (
            f"* {len(self)} of {len(self.p_adjusted)} sites survive: {NAMES[self.method]}, {sides}, at {self.level:g}; "
            f"{flips} sign-flips of {self.units} clusters, seed {self.seed}"
        )
        table = self.sweep.table(lambda i: "*" if self.p_adjusted[i] <= self.level else " ")
        return "\n".join([table, how, *([self.note] if self.note else [])])
