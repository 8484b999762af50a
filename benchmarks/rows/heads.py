"""All 12 x 12 heads of GPT-2 small at the last position."""

from __future__ import annotations

from benchmarks.beside import sweep_beside
from benchmarks.models import gpt2_small, problem
from benchmarks.peers.plain import PlainHeads
from benchmarks.row import Options, Row
from causaltest import head, last


def plain(options: Options) -> list[Row]:
    given = problem(gpt2_small())
    row = Row("all 12 x 12 heads at the last position, GPT-2 small, one pair", PlainHeads.name, at_least=20.0, aim=40.0)
    at = head(range(12), range(12), last())
    return [sweep_beside(given, at, PlainHeads(given), options, row, every=options.every)]
