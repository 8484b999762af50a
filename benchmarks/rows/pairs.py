"""Many pairs: whether a sweep of 64 pairs runs faster, per patched run, than that of one."""

from __future__ import annotations

import dataclasses

from benchmarks import ours
from benchmarks.beside import filled
from benchmarks.compare import Same
from benchmarks.models import Problem, gpt2_small, problem, random_pairs
from benchmarks.row import Options, Row
from benchmarks.timing import Timed, paired
from causaltest import Pairs, index, resid_post
from causaltest.asking.sites import Site

PAIRS = 64
POSITIONS = (3, 10, 17, 24)
"""Every seventh position, in the middle of its seven: 64 whole maps would take minutes."""


def sixty_four(options: Options) -> list[Row]:
    given = problem(gpt2_small())
    many = random_pairs(PAIRS)
    at = resid_post(range(given.layers), index(*POSITIONS))
    first = many[:1]

    def one() -> Timed:
        took = ours.sweep(given, at, pairs=first)
        # As many runs as 64 pairs have, at the pace of one.
        return Timed(took.seconds * PAIRS, took.gave)

    ours.sweep(given, at, pairs=first)
    both = paired(
        lambda: ours.sweep(given, at, pairs=many), one, repeats=max(2, options.repeats - 1), check=lambda _a, _b: None
    )
    row = Row(
        "runs per second at 64 pairs, 12 layers x 4 positions, GPT-2 small",
        "our own at one pair",
        at_least=1.0,
        aim=1.3,
        notes=f"Positions {', '.join(map(str, POSITIONS))} of 28. The time of one pair is multiplied by 64.",
    )
    return [dataclasses.replace(filled(row, both, None), worst_difference=checked(given, at, many))]


def checked(given: Problem, at: Site, many: Pairs) -> float:
    """The map of 64 pairs is the mean of maps of one; two pairs stand for them. Raises Differs."""
    same = Same()
    together = ours.sweep(given, at, pairs=many[:2]).gave
    alone = [ours.sweep(given, at, pairs=many[n : n + 1]).gave for n in range(2)]
    same(together, sum(alone) / 2)
    return same.worst
