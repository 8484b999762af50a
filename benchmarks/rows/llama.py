"""The residual stream at the shape of Llama 3.2 1B, 16 layers x 28 positions, one pair."""

from __future__ import annotations

from benchmarks.beside import sweep_beside
from benchmarks.models import llama_1b, problem
from benchmarks.peers.plain import Plain
from benchmarks.row import Options, Row
from causaltest import every, resid_post

SLOWER = 8
"""A full forward takes most of a second here: plain hooks run on two of the 16 layers."""


def plain(options: Options) -> list[Row]:
    given = problem(llama_1b())
    what = "residual stream, 16 layers x 28 positions, Llama 3.2 1B, one pair"
    row = Row(what, Plain.name, at_least=7.0, aim=10.0)
    at = resid_post(range(given.layers), every())
    return [sweep_beside(given, at, Plain(given), options, row, every=max(SLOWER, options.every))]
