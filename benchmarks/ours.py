"""Our side, through the public names only."""

from __future__ import annotations

from typing import Any

from benchmarks.models import Problem
from benchmarks.timing import Timed, timed
from causaltest import Lab, Pair, Pairs, logit
from causaltest.asking.sites import Site

WARM_UP = Pair(clean="w1 w2 w3 w4 w5 w6 w7 w8", corrupt="w9 w2 w3 w4 w5 w6 w7 w8", answer="w10")
"""A pair that no row measures."""


def opened(model: Any, tokenizer: Any) -> Lab:
    """A lab whose model was proven, and who has kept no run of the pairs that will be measured."""
    lab = Lab(model, tokenizer, name="benchmark")
    lab.clean(WARM_UP)
    return lab


def sweep(problem: Problem, at: Site, *, pairs: Pairs | None = None) -> Timed:
    """The change of the answer's logit at each site: reference runs included, opening the lab not."""
    lab = opened(problem.model, problem.tokenizer)
    return timed(lambda: lab.sweep(pairs or problem.pair, at=at).change(logit).estimate)
