"""Portions: the pairs of a sequential claim, cut by whole clusters in an order that is drawn before anything runs."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from causaltest.asking.costs import Cost
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import Intervention
from causaltest.asking.metrics import Metric, accuracy
from causaltest.asking.pairs import Pairs
from causaltest.asking.sites import Site
from causaltest.asking.stopping import Stopping
from causaltest.effect import Effect, Numbers, SelfPatch
from causaltest.errors import ClaimError
from causaltest.sweep import SweepMap

if TYPE_CHECKING:
    from causaltest.asking.lab import Lab

FEWEST_CLUSTERS = 2
"""In a portion: a placebo takes its difference from another cluster."""


def play_order(pairs: Pairs, seed: str) -> list[str]:
    """The clusters, or the pairs declared independent, in the order in which a sequential claim comes to them.

    Drawn from the suite's seed and the pairs, so that it is the same for every claim about them, and for none that
    has seen a number.
    """
    names = list(dict.fromkeys(pairs.clusters or pairs.ids))
    random.Random(f"looks {seed} {pairs.digest}").shuffle(names)
    return names


def portions_of(pairs: Pairs, stopping: Stopping, seed: str) -> tuple[Pairs, ...]:
    """What each look adds: whole clusters, as many in each portion as in any other, or one more.

    Raises ClaimError when there are fewer than two clusters for each look.
    """
    names, looks = play_order(pairs, seed), stopping.looks
    if len(names) < FEWEST_CLUSTERS * looks:
        unit = "independent pairs" if pairs.iid else "clusters"
        most = len(names) // FEWEST_CLUSTERS
        advice = f"Write looks={most} or fewer" if most > 1 else "Leave stopping= out"
        raise ClaimError(
            f"looks={looks} needs {FEWEST_CLUSTERS * looks} {unit}, {FEWEST_CLUSTERS} for each look (a placebo takes "
            f"its difference from another one), and these {len(pairs)} pairs have {len(names)}. {advice}, or add "
            f"{unit}."
        )
    look_of = {name: i * looks // len(names) for i, name in enumerate(names)}
    parts: list[list[int]] = [[] for _ in range(looks)]
    for i, name in enumerate(pairs.clusters or pairs.ids):
        parts[look_of[name]].append(i)
    given = list(pairs)
    return tuple(Pairs([given[i] for i in part], iid=pairs.iid) for part in parts)


def put_to(experiment: Experiment, portion: Pairs) -> Experiment:
    """The same experiment on a portion of its pairs; a mean over its pairs stays one over all of them."""
    patching = experiment.patching
    by = patching.intervention
    if by.kind == "mean" and by.over is None:
        by = Intervention("mean", over=patching.pairs)
    return dataclasses.replace(experiment, patching=dataclasses.replace(patching, pairs=portion, intervention=by))


class Portioned:
    """A backend that answers every experiment about pairs with the numbers of one portion of them."""

    def __init__(self, lab: Lab, stopping: Stopping, look: int) -> None:
        self._lab = lab
        self._stopping = stopping
        self._look = look
        self._portions: dict[str, Pairs] = {}
        """By the digest of all pairs: cut once for all experiments of the body."""

    @property
    def model(self) -> str:
        return self._lab.name

    def measure(self, experiment: Experiment) -> Effect:
        """The effect whose question is the whole experiment, and whose numbers are those of the portion."""
        measured = self._lab.backend.measure(self._part(experiment))
        if measured.numbers is None:
            return Effect(experiment, None)
        provenance = {**measured.numbers.provenance, "experiment": experiment.digest}
        numbers: Numbers = dataclasses.replace(measured.numbers, provenance=provenance)
        return Effect(experiment, numbers)

    def expect(self, experiments: Iterable[Experiment]) -> None:
        try:
            parts = [self._part(experiment) for experiment in experiments]
        except ClaimError:
            return  # told when the claim itself is measured
        self._lab.expect(parts)

    def _part(self, experiment: Experiment) -> Experiment:
        pairs = experiment.patching.pairs
        if pairs.digest not in self._portions:
            self._portions[pairs.digest] = portions_of(pairs, self._stopping, self._lab.seed)[self._look]
        return put_to(experiment, self._portions[pairs.digest])

    def cost(self) -> Cost:
        return self._lab.cost()

    def patched_runs(self, experiments: Sequence[Experiment]) -> int:
        return self._lab.backend.patched_runs([self._part(experiment) for experiment in experiments])

    def sweep(self, cells: Sequence[Experiment], rows: Sequence[str], columns: Sequence[str]) -> SweepMap:
        return self._lab.backend.sweep(cells, rows, columns)

    def spread(self, site: Site, pairs: Pairs) -> Site:
        return self._lab.backend.spread(site, pairs)

    def moved(self, patching: Patching) -> SelfPatch:
        return self._lab.backend.moved(patching)

    def clean(self, pairs: Pairs, rule: Metric = accuracy, both_right: bool = False) -> Any:
        return self._lab.backend.clean(pairs, rule, both_right)

    def card(self, text: str | None) -> Any:
        return self._lab.backend.card(text)

    def counted(self) -> dict[str, int]:
        return self._lab.counts


def in_portion(arguments: Mapping[str, Any], stopping: Stopping, look: int) -> dict[str, Any]:
    """A body's arguments, with every lab in them measuring the portion of a look, counted from 0."""
    return {name: a.in_portion(stopping, look) if hasattr(a, "in_portion") else a for name, a in arguments.items()}
