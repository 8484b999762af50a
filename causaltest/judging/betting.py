"""Betting bounds for the mean of a bounded quantity: right at every n, and without any spread.

Waudby-Smith and Ramdas (2024, J. R. Stat. Soc. B 86:1, "Estimating means of bounded random
variables by betting"). A gambler bets, unit after unit, that the mean is above X. If it is not,
the wealth is a supermartingale, and ever reaching 1/alpha has probability alpha at most.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from causaltest.judging.bounds import Bound, Thresholds, agreed
from causaltest.judging.recalculated import LARGEST_LOG, Pace, recalculated_wealth
from causaltest.judging.sample import Floats, Sample

BETTING = "betting"

# a lost bet costs at most this share of the wealth, unless the binomial optimum stakes more; a half
# is usual, but metrics seldom reach the ends of a wide range, and there a half gives looser bounds
LARGEST_STAKE = 0.9
# points of each grid, and how many grids follow the first: four millionths of the way are told apart
GRID = 9
REFINEMENTS = 5
LARGEST_WEALTH = 1e304
DOUBLINGS = 40
NEWTON_STEPS = 20
LARGEST_SHARE = 1 - 1e-12


@dataclass(frozen=True, eq=False)
class Spread:
    """Running sums of squares about running means, from which those of any threshold's payoffs follow."""

    totals: Floats
    both: Floats
    weights: Floats

    def at(self, thresholds: Floats) -> Floats:
        """[threshold, unit] sums of squares of `total - threshold * weight`, each about the mean so far."""
        if not self.weights.any():
            return self.totals[None, :]
        x = thresholds[:, None]
        # Rounding must not make a square negative.
        return np.maximum(self.totals + x * (x * self.weights - 2 * self.both), 0.0)


@dataclass(frozen=True, eq=False)
class Game:
    """Units in the order of play: what each pays per unit staked that the effect is above X."""

    totals: Floats
    weights: Floats
    largest: float
    """Pairs in the largest unit, by which all units are scaled."""
    low: float
    high: float
    """The range of each pair's value."""
    is_ratio: bool
    alpha: float
    """At which the stakes are tuned: the claim's own, so that a larger family can never help."""
    pace: Pace | None = None
    """Where more units may follow: stakes are then set anew before each. None: all are given."""

    @cached_property
    def scaled(self) -> tuple[Floats, Floats]:
        """Totals and weights by the largest unit's size."""
        return self.totals / self.largest, self.weights / self.largest

    @cached_property
    def spread(self) -> Spread:
        """How the units spread about the mean of those up to each: of `totals`, of both, of `weights`."""
        seen = np.arange(1, len(self.totals) + 1)
        paid, staked = self.scaled
        paid, staked = paid - np.cumsum(paid) / seen, staked - np.cumsum(staked) / seen
        return Spread(np.cumsum(paid * paid), np.cumsum(paid * staked), np.cumsum(staked * staked))

    def mirrored(self) -> Game:
        """The same game for "the effect is below X", played as "minus the effect is above -X"."""
        return dataclasses.replace(self, totals=-self.totals, low=-self.high, high=-self.low)

    def lowered(self, sizes: Floats, rounding: float) -> Game:
        """The same game for the least that each pair ([unit] of `sizes`) can have paid before it was rounded."""
        if not rounding:
            return self
        return dataclasses.replace(self, totals=np.maximum(self.totals - rounding * sizes, self.low * sizes))


def betting(sample: Sample, thresholds: Thresholds, *, tuned_at: float, seed: int) -> Bound:
    """Lower and upper betting bounds; the order of play is drawn from the seed."""
    assert sample.range is not None  # the judge asks only where a range is declared
    order = np.random.default_rng((seed, 2)).permutation(sample.units)
    game = Game(
        totals=sample.totals[order],
        weights=sample.weights[order],
        largest=float(sample.sizes.max()),
        low=sample.range[0],
        high=sample.range[1],
        is_ratio=sample.kind == "ratio",
        alpha=tuned_at,
    )
    sizes, rounding = sample.sizes[order], sample.measured_rounding
    above, below = game.lowered(sizes, rounding), game.mirrored().lowered(sizes, rounding)
    lower, p_above = lower_bound(above, sample.estimate, thresholds.alpha, thresholds.floor)
    upper, p_below = lower_bound(below, -sample.estimate, thresholds.alpha, -thresholds.ceiling)
    return agreed(BETTING, thresholds, lower=lower, upper=-upper, above=p_above, below=p_below)


def payoffs(game: Game, thresholds: Floats) -> tuple[Floats, Floats, Floats]:
    """[threshold, unit] payoffs, and per threshold the most that a unit can lose and win.

    Each payoff is `sum(value - X * denominator)` over the unit's pairs, by the largest unit's
    size. Cluster sizes are part of the design, so the bound on a payoff may use them.
    """
    totals, weights = game.scaled
    paid = thresholds[:, None] * weights
    np.subtract(totals, paid, out=paid)
    if not game.is_ratio:
        return paid, thresholds - game.low, game.high - thresholds
    # a denominator is the difference clean - corrupt of the same metric: within the same range, or its mirror
    reach = np.abs(thresholds) * max(abs(game.low), abs(game.high))
    return paid, reach - game.low, reach + game.high


def wealth(game: Game, thresholds: Floats) -> Floats:
    """[threshold], the largest wealth reached, never below 1 (Ville's inequality makes 1/wealth a p-value)."""
    paid, losing, winning = payoffs(game, thresholds)
    losing, winning = np.maximum(losing, 0.0), np.maximum(winning, 0.0)
    reach = np.maximum(losing + winning, np.finfo(np.float64).tiny)
    # scaled so that every payoff lies within [-share, 1 - share]: a mean `share` in a unit range
    share = np.clip(losing / reach, 1e-12, LARGEST_SHARE)
    # in place from here on: all of it is spent on passes over memory
    paid *= (1 / reach)[:, None]
    if game.pace is not None:
        squares = game.spread.at(thresholds) * np.square(1 / reach)[:, None]
        most = largest_stake(share, max(1, round(float(game.pace.left[0]))), game.alpha)
        logs = recalculated_wealth(paid, squares, share, most, pace=game.pace, alpha=game.alpha)
        at_once: Floats = np.exp(np.minimum(logs, LARGEST_LOG))
        return at_once
    paid *= predictable_stakes(game.spread.at(thresholds), reach, share, game.alpha)
    paid += 1
    np.maximum(paid, 0.0, out=paid)
    with np.errstate(over="ignore"):
        grown = np.cumprod(paid, axis=1, out=paid).max(axis=1)
    largest: Floats = np.clip(grown, 1.0, LARGEST_WEALTH)
    return largest


def predictable_stakes(squares: Floats, reach: Floats, share: Floats, alpha: float) -> Floats:
    """[threshold, unit], each stake set before its unit is seen; `squares` are those of `Spread.at`.

    The predictable plug-in for a fixed number of units, sqrt(2 log(1/alpha) / (n variance)):
    Waudby-Smith and Ramdas, section 3.2 and equation 26. The variance starts from the largest
    that the mean allows. Stakes are cut off where a loss would ruin the gambler: at nine
    tenths of the wealth, or at the stake that is best against coin flips if that is more. By the
    latter, units without spread give exactly the bound of Clopper and Pearson.
    """
    units = squares.shape[1]
    stakes = np.empty((len(share), units))
    first = np.maximum(share * (1 - share), 1e-300)
    stakes[:, :1] = first[:, None]
    np.multiply(squares[:, :-1], np.square(1 / reach)[:, None], out=stakes[:, 1:])
    stakes[:, 1:] += first[:, None]
    # the variance is this by the number of units seen
    np.divide(np.arange(1, units + 1) * (2 * math.log(1 / alpha) / units), stakes, out=stakes)
    np.sqrt(stakes, out=stakes)
    np.minimum(stakes, largest_stake(share, units, alpha)[:, None], out=stakes)
    return stakes


def largest_stake(share: Floats, units: int, alpha: float) -> Floats:
    """[threshold], where a stake is cut off."""
    cut: Floats = LARGEST_STAKE / share
    # By Pinsker's bound the stake against coins is no larger elsewhere.
    larger = math.sqrt(math.log(1 / alpha) / units / 2) > LARGEST_STAKE * (1 - share)
    if larger.any():
        cut[larger] = np.maximum(cut[larger], coin_stake(share[larger], units, alpha))
    return cut


def coin_stake(share: Floats, units: int, alpha: float) -> Floats:
    """The best stake against 0-or-1 outcomes whose mean just clears `share` at this n and alpha.

    The alternative q solves n KL(q || share) = log(1/alpha), the boundary of Chernoff's bound,
    and Kelly's stake is (q - share) / (share (1 - share)). Found by Newton's method: from Pinsker's
    bound, q <= share + sqrt(KL / 2), it can only come down to the root, as KL is convex.
    """
    wanted = math.log(1 / alpha) / units
    share = np.minimum(share, LARGEST_SHARE)
    q = np.minimum(share + math.sqrt(wanted / 2), LARGEST_SHARE)
    for _ in range(NEWTON_STEPS):
        excess = kullback_leibler(q, share) - wanted
        beyond = excess > 1e-12 * wanted
        if not beyond.any():
            break
        slope = np.where(beyond, special.logit(q) - special.logit(share), 1.0)
        q = np.where(beyond, np.maximum(q - excess / slope, share), q)
    stake: Floats = np.minimum((q - share) / (share * (1 - share)), 1 / share)
    return stake


def kullback_leibler(q: Floats, p: Floats) -> Floats:
    """Between two coins, in nats."""
    nats: Floats = special.rel_entr(q, p) + special.rel_entr(1 - q, 1 - p)
    return nats


def lower_bound(game: Game, estimate: float, alpha: float, threshold: float) -> tuple[float, float]:
    """The smallest X at which the wealth stays below 1/alpha, found on ever finer grids; and p at a threshold."""
    low = far_side(game, estimate, alpha)
    searched = math.isfinite(low) and low < estimate
    grid = np.linspace(low, estimate, GRID) if searched else np.empty(0)
    reached = wealth(game, np.append(grid, threshold))
    p_value = float(1 / reached[-1])
    if not searched:
        return min(low, estimate), p_value
    first = min(first_below(reached[:-1], 1 / alpha), GRID - 1)
    if first == 0:
        return low, p_value
    for _ in range(REFINEMENTS):
        # Of the ends it is known already that the lower is excluded and the upper is not.
        grid = np.linspace(grid[first - 1], grid[first], GRID)
        first = 1 + first_below(wealth(game, grid[1:-1]), 1 / alpha)
    return float(grid[first - 1]), p_value


def first_below(reached: Floats, wanted: float) -> int:
    """The place of the first that stays below what is wanted; behind the last where none does."""
    below = reached < wanted
    return int(np.argmax(below)) if below.any() else len(below)


def far_side(game: Game, estimate: float, alpha: float) -> float:
    """An X below the estimate that is surely excluded, or the end of the range."""
    if not game.is_ratio:
        return game.low
    step = (game.high - game.low) / 8
    for _ in range(DOUBLINGS):
        if wealth(game, np.array([estimate - step]))[0] >= 1 / alpha:
            return estimate - step
        step *= 2
    return -math.inf
