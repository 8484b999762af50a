"""A sweep of ours beside a peer's: paired, compared, and made into a row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from benchmarks import ours, peers
from benchmarks.compare import Same
from benchmarks.models import Problem
from benchmarks.row import Options, Row
from benchmarks.timing import Paired, Timed, median, paired
from causaltest.asking.sites import Site


def sweep_beside(problem: Problem, at: Site, peer: peers.Peer, options: Options, row: Row, *, every: int) -> Row:
    """The row with its figure: how many times as long the peer takes."""
    layers = list(range(every // 2, problem.layers, every))

    def their_sweep(some: Sequence[int] = layers) -> Timed:
        return peers.sweep(peer, some, of=problem.layers)

    def our_sweep() -> Timed:
        whole = ours.sweep(problem, at)
        # The whole map is timed; on the layers that the peer ran it is compared.
        return Timed(whole.seconds, whole.gave.reshape(problem.layers, -1)[layers])

    warm_up(problem, at, lambda: their_sweep(layers[:1]))
    same = Same()
    both = paired(our_sweep, their_sweep, repeats=options.repeats, check=same)
    return filled(row, both, same.worst, scaled=scaling(layers, problem.layers))


def warm_up(problem: Problem, at: Site, theirs: Callable[[], object]) -> None:
    """What only a first run pays: pages of the weights, kernels, thread pools."""
    ours.sweep(problem, dataclasses.replace(at, layers=at.layers[:1]))
    theirs()


def scaling(layers: Sequence[int], of: int) -> str:
    if len(layers) == of:
        return ""
    return f"Theirs was run on layers {', '.join(map(str, layers))} and scaled to {of}."


def filled(row: Row, both: Paired, worst: float | None, *, scaled: str = "") -> Row:
    return dataclasses.replace(
        row,
        ours=f"{median(both.ours):.2f} s",
        theirs=f"{median(both.theirs):.2f} s",
        figure=median(both.ratios),
        lowest=min(both.ratios),
        highest=max(both.ratios),
        worst_difference=worst,
        notes=" ".join(filter(None, [scaled, row.notes])),
    )
