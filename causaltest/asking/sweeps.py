"""Sweeps and searches: every layer, part and position of a site, each alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

from causaltest.asking.checks import Counting, checks_of, refuse_unknown
from causaltest.asking.experiment import Experiment, Patching, Quantity
from causaltest.asking.metrics import Metric
from causaltest.asking.sites import Site
from causaltest.errors import ClaimError, MeasurementError, SiteError
from causaltest.seen import Kind
from causaltest.sweep import SweepMap

if TYPE_CHECKING:
    from causaltest.asking.lab import Lab


@dataclass(frozen=True)
class Sweep:
    """One patched run per site and pair, waiting to be read by a metric."""

    lab: Lab
    patching: Patching

    def recovery(self, metric: Metric, **counting: Unpack[Counting]) -> SweepMap:
        """`Run.recovery` of each site alone."""
        return swept(self.lab, self.patching, "recovery", metric, counting)

    def drop(self, metric: Metric, **counting: Unpack[Counting]) -> SweepMap:
        """`Run.drop` of each site alone."""
        return swept(self.lab, self.patching, "drop", metric, counting)

    def change(self, metric: Metric, **counting: Unpack[Counting]) -> SweepMap:
        """`Run.change` of each site alone, as the mean over pairs."""
        return swept(self.lab, self.patching, "change", metric, counting)


@dataclass(frozen=True)
class Search:
    """One patched run per site and pair, of which a metric finds the best site.

    Raises MeasurementError when no patch moved anything.
    """

    lab: Lab
    patching: Patching

    def recovery(self, metric: Metric, **counting: Unpack[Counting]) -> Site:
        """The site with the largest `Run.recovery`."""
        return best_of(self.lab, self.patching, "recovery", metric, counting)

    def drop(self, metric: Metric, **counting: Unpack[Counting]) -> Site:
        """The site with the largest `Run.drop`."""
        return best_of(self.lab, self.patching, "drop", metric, counting)

    def change(self, metric: Metric, **counting: Unpack[Counting]) -> Site:
        """The site with the largest `Run.change`, as the mean over pairs."""
        return best_of(self.lab, self.patching, "change", metric, counting)


def swept(
    lab: Lab, patching: Patching, quantity: Quantity, metric: Metric, counting: Counting, kind: Kind = "sweep"
) -> SweepMap:
    """Every site of a patching alone. Raises SiteError for several sites in place of one with axes."""
    if len(patching.sites) != 1:
        raise SiteError(f"A {kind} takes one site with ranges as its axes, and got {len(patching.sites)}.")
    if not isinstance(metric, Metric):
        raise ClaimError(f"A {kind} reads a metric such as accuracy or logit_diff, without quotes, and got {metric!r}.")
    refuse_unknown(quantity, counting, Counting.__optional_keys__)
    checks = checks_of(patching.sites, (), metric, **counting)
    site = lab.backend.spread(patching.sites[0], patching.pairs)
    table = [cells for by_part in site.cells() for cells in by_part]
    experiments = [
        Experiment(replace(patching, sites=(cell,)), quantity, metric, False, 0, lab.seed, checks)
        for cells in table
        for cell in cells
    ]
    rows = [row_label(cells[0]) for cells in table]
    return lab._map(experiments, rows, [str(cell.position) for cell in table[0]], kind)


def best_of(lab: Lab, patching: Patching, quantity: Quantity, metric: Metric, counting: Counting) -> Site:
    """The site with the largest effect. Raises MeasurementError when no patch moved anything."""
    found = swept(lab, patching, quantity, metric, counting, "search")
    if not any(found.distances) or all(math.isnan(e) for e in found.estimates):
        raise MeasurementError(
            f"The search {found.summary} found nothing: at none of its {len(found.sites)} sites did the patch move "
            "anything that can be compared. Choose pairs whose activations differ there."
        )
    site: Site = found.best
    return site


def row_label(site: Site) -> str:
    layer = f"L{site.layers[0]}" if site.layers else site.component
    return f"{layer}{site.letter}{site.parts[0]}" if site.parts else layer
