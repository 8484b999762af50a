"""Numbers: what an experiment's arms gave, as the values of an effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from causaltest.asking.experiment import Experiment
from causaltest.asking.metrics import Metric
from causaltest.effect import Controls, Exclusion, Kind, Numbers
from causaltest.errors import NothingEligible
from causaltest.measuring.prompts import TokenPair
from causaltest.measuring.scores import Floats, within_range
from causaltest.measuring.vectors import patched_side

T = TypeVar("T")


@dataclass(frozen=True)
class Compared:
    """The metric of every pair in the three runs, and why a pair does not count."""

    clean: list[float]
    corrupt: list[float]
    patched: list[float]
    excluded: list[str | None]
    clipped: list[bool]
    """Whether any of the three lay outside the metric's range."""

    @classmethod
    def of(
        cls, metric: Metric, clean: Floats, corrupt: Floats, patched: Floats, excluded: Sequence[str | None]
    ) -> Compared:
        """`excluded` is decided before, from the unpatched runs alone."""
        columns = [within_range(metric, raw) for raw in (clean, corrupt, patched)]
        clipped = np.logical_or.reduce([a != b for a, b in zip(columns, (clean, corrupt, patched), strict=True)])
        ours, theirs, changed = (column.tolist() for column in columns)
        return cls(ours, theirs, changed, list(excluded), clipped.tolist())

    @property
    def keep(self) -> list[int]:
        return [i for i, why in enumerate(self.excluded) if why is None]

    def eligible(self, column: Sequence[T]) -> list[T]:
        return [column[i] for i in self.keep]


def numbers_of(
    experiment: Experiment,
    pairs: Sequence[TokenPair],
    compared: Compared,
    controls: Controls,
    *,
    rounding: float,
    provenance: dict[str, str],
) -> Numbers:
    """An effect's numbers. Raises NothingEligible when no pair is eligible."""
    if not compared.keep:
        counts = {why: compared.excluded.count(why) for why in dict.fromkeys(compared.excluded) if why}
        told = "; ".join(f"{count} because {why}" for why, count in counts.items())
        raise NothingEligible(
            f"None of the {len(pairs)} pairs is eligible: {told}. lab.clean(pairs) shows what each run gave.",
            tuple((str(p.pair.id), why) for p, why in zip(pairs, compared.excluded, strict=True) if why),
        )
    ids = [str(p.pair.id) for p in pairs]
    clusters = None
    if not experiment.patching.pairs.iid:
        clusters = tuple(compared.eligible([p.pair.cluster or str(p.pair.id) for p in pairs]))
    ratio = experiment.metric.kind == "continuous" and experiment.quantity != "change"
    baseline = compared.corrupt if patched_side(experiment.patching) == "corrupt" else compared.clean
    return Numbers(
        values=tuple(quantities(experiment, compared)),
        pair_ids=tuple(compared.eligible(ids)),
        clusters=clusters,
        kind="ratio" if ratio else effect_kind(experiment),
        range=effect_range(experiment),
        denominators=tuple(compared.clean[i] - compared.corrupt[i] for i in compared.keep) if ratio else None,
        controls=controls,
        clipped=sum(compared.clipped[i] for i in compared.keep) / len(compared.keep),
        pairs_total=len(pairs),
        excluded=tuple(Exclusion(i, why) for i, why in zip(ids, compared.excluded, strict=True) if why),
        references={
            "clean": tuple(compared.eligible(compared.clean)),
            "corrupt": tuple(compared.eligible(compared.corrupt)),
            "patched": tuple(compared.eligible(compared.patched)),
            "baseline": tuple(compared.eligible(baseline)),
        },
        provenance=provenance,
        rounding=rounding,
        estimated_by=str(experiment.patching.method) if experiment.patching.method.estimates else None,
    )


def quantities(experiment: Experiment, compared: Compared) -> list[float]:
    """The values per eligible pair of an effect; a ratio's numerators.

    recovery: binary, 1 where the patched run gives the clean answer; else patched - corrupt.
    drop: binary, 1 where it no longer does; else clean - patched. change: patched - unpatched.
    """
    keep, binary = compared.keep, experiment.metric.kind == "binary"
    patched, base = compared.patched, compared.clean
    if experiment.patching.direction == "denoise":
        base = compared.corrupt
    if experiment.quantity == "change":
        return [patched[i] - base[i] for i in keep]
    if experiment.quantity == "recovery":
        return [patched[i] - (0.0 if binary else compared.corrupt[i]) for i in keep]
    return [(1.0 if binary else compared.clean[i]) - patched[i] for i in keep]


def effect_kind(experiment: Experiment) -> Kind:
    binary = experiment.metric.kind == "binary" and experiment.quantity != "change"
    return "binary" if binary else "continuous"


def effect_range(experiment: Experiment) -> tuple[float, float] | None:
    """The range of a per-pair value: a difference of two values of the metric."""
    if experiment.metric.kind == "binary":
        return (-1.0, 1.0) if experiment.quantity == "change" else (0.0, 1.0)
    if experiment.metric.range is None:
        return None
    low, high = experiment.metric.range
    return (low - high, high - low)
