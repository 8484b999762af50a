"""Stakes that are set anew before each unit, by the wealth still to win and the units still to come.

Voracek and Orabona (2025, arXiv 2505.22422, "STaR-Bets"): a gambler who has won early bets less from then on, and one
who is behind bets more. Any stakes that are set before their unit are fair, so the wealth is an e-process whatever the
rule; this one needs far fewer units than stakes that are tuned once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from causaltest.judging.sample import Floats

SHORTEST_WAY = 0.25
LARGEST_LOG = 700.0
# a win must reach the goal, and not stop short of it by rounding
ENOUGH = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Pace:
    """What is known before each unit of how much of the game is left."""

    left: Floats
    """[unit], how many units are still to come, itself included."""
    coins: bool = False
    """Whether each unit is one right-or-wrong pair, whose variance follows from its mean."""


def recalculated_wealth(
    paid: Floats, squares: Floats, share: Floats, most: Floats, *, pace: Pace, alpha: float
) -> Floats:
    """[threshold], the largest wealth reached, of [threshold, unit] payoffs within [-share, 1 - share].

    `squares` are the running sums of squares of the payoffs about their mean so far, `most` the largest stake of each
    threshold. The stake is sqrt(2 log(1 / (alpha wealth)) / (units left * variance)), as if never less than a quarter
    of the way were left: a gambler who creeps up to the goal stops late. Against coins it is at most what a win needs.
    Once 1/alpha is reached, the gambler plays for as much again.
    """
    target = math.log(1 / alpha)
    first, seen = (share * (1 - share))[:, None], np.arange(1, paid.shape[1] + 1)
    spread = np.broadcast_to(first, paid.shape)
    if not pace.coins:
        before = np.concatenate([np.zeros_like(first), squares[:, :-1]], axis=1)
        spread = (first + before) / seen
    rates = 2 / (np.maximum(pace.left, 1.0) * np.maximum(spread, 1e-300))
    logs, goal = np.zeros(len(share)), np.full(len(share), target)
    largest = logs
    with np.errstate(divide="ignore"):
        for rate, pays in zip(rates.T.copy(), paid.T.copy(), strict=True):
            missing = goal - logs
            stakes = np.minimum(np.sqrt(np.maximum(missing, SHORTEST_WAY * target) * rate), most)
            if pace.coins:
                stakes = np.minimum(stakes, np.expm1(np.minimum(missing, LARGEST_LOG)) * ENOUGH / (1 - share))
            logs = logs + np.log(np.maximum(1 + stakes * pays, 0.0))
            largest = np.maximum(largest, logs)
            goal = np.where(logs >= goal, logs + target, goal)
    return largest
