"""Part 8: the whole way, on a model whose truth is known. Sites of organism:planted that carry the value, and decoys.

Every seed draws pairs of its own, and all sites are one family: a claim that the site gives back at least half, and
a claim that it gives back nothing to speak of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from calibration.row import Row
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import span
from causaltest.asking.predictions import at_least, negligible
from causaltest.asking.sites import Site, resid_post
from causaltest.effect import Effect
from causaltest.judging.judge import judge_family
from causaltest.organisms import planted
from causaltest.verdict import Outcome

SHORT, LONG = 12, 200
EVERY = 3
"""The short form takes every third pair, 15 of 45."""
NOWHERE = resid_post(0, span("rest"))
"""Neither a carrier nor a decoy: nothing differs there between the runs."""
MATTERS, NULL = at_least(0.5), negligible(within=0.4)


@dataclass(frozen=True)
class Found:
    """What one seed's claims came to, as shares of the sites that it is true of."""

    exact: bool
    """Every carrier gave back exactly 1 and every decoy exactly 0."""
    carriers_supported: float
    decoys_supported: float
    decoys_null: float
    carriers_null: float
    nowhere_null: float


def rows() -> list[Row]:
    return measured(SHORT, every=EVERY)


def long_rows() -> list[Row]:
    return measured(LONG, every=1)


def measured(seeds: int, *, every: int) -> list[Row]:
    torch.set_num_threads(1)
    lab = Lab.load(planted.NAME)
    found = [judged(lab, planted.pairs(per_cluster=1, seed=seed)[::every]) for seed in range(seeds)]

    def worst(name: str) -> tuple[float, float]:
        values = [float(getattr(one, name)) for one in found]
        return min(values), max(values)

    return [
        Row(
            8,
            "seeds in which every carrier gives back exactly 1, every decoy 0",
            worst("exact")[0],
            1,
            1,
            repeats=seeds,
        ),
        Row(
            8, "carriers SUPPORTED as mattering, in the worst seed", worst("carriers_supported")[0], 1, 1, repeats=seeds
        ),
        Row(8, "decoys SUPPORTED as mattering, in the worst seed", worst("decoys_supported")[1], 0, 0, repeats=seeds),
        Row(8, "decoys SUPPORTED as null, in the worst seed", worst("decoys_null")[0], 1, 1, repeats=seeds),
        Row(8, "carriers SUPPORTED as null, in the worst seed", worst("carriers_null")[1], 0, 0, repeats=seeds),
        Row(
            8,
            "a site where nothing differs, SUPPORTED as null",
            worst("nowhere_null")[1],
            0,
            0,
            "negative control",
            repeats=seeds,
        ),
    ]


def judged(lab: Lab, pairs: Pairs) -> Found:
    carriers, decoys = planted.on_path(), planted.decoys()
    effects = measured_together(lab, pairs, [*carriers, *decoys, NOWHERE])
    matters, null = (shares_supported(effects, prediction) for prediction in (MATTERS, NULL))
    true, false = slice(0, len(carriers)), slice(len(carriers), -1)
    return Found(
        exact=[e.estimate for e in effects] == [1.0] * len(carriers) + [0.0] * (len(decoys) + 1),
        carriers_supported=mean(matters[true]),
        decoys_supported=mean(matters[false]),
        decoys_null=mean(null[false]),
        carriers_null=mean(null[true]),
        nowhere_null=float(null[-1]),
    )


def measured_together(lab: Lab, pairs: Pairs, sites: list[Site]) -> list[Effect]:
    """In one plan, as the claims of a suite are."""
    rehearsal = lab.rehearsal()
    for site in sites:
        rehearsal.denoise(pairs, at=site).recovery(accuracy)
    return [lab.denoise(pairs, at=site).recovery(accuracy) for site in sites]


def shares_supported(effects: list[Effect], prediction) -> list[bool]:
    verdicts = judge_family(effects, [prediction] * len(effects))
    return [verdict.outcome is Outcome.SUPPORTED for verdict in verdicts]


def mean(said: list[bool]) -> float:
    return sum(said) / len(said)
