"""Part 2: claims that are just not true (A/A). How often is each kind SUPPORTED all the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf

import numpy as np
from scipy import stats

from calibration.draws import DESIGNS, SOME, Design, coins, effects, informative, normal, ratios, uniform
from calibration.row import Row, at_fault, level
from calibration.verdicts import Said, effect_of, said_of, said_of_proportions
from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible
from causaltest.effect import Effect, Kind
from causaltest.judging.sample import Floats

REPEATS, LONG = 800, 10_000
PAIRS = Design(60, 1, 0.0)
TEMPLATES = Design(10, 10, 0.3)
RANGE = (-1.0, 1.0)


def rows() -> list[Row]:
    return [*kinds(SOME, REPEATS), *naive()]


def long_rows() -> list[Row]:
    return kinds(DESIGNS, LONG)


def kinds(designs: Sequence[Design], repeats: int) -> list[Row]:
    return [
        *means(designs, repeats),
        *with_a_range(designs, repeats),
        *proportions(designs, repeats),
        *two_sided(repeats),
        *differences(repeats),
        *orderings(repeats // 4),
        *recoveries(designs, repeats),
        *sizes(repeats),
    ]


def both(what: str, said: Said) -> list[Row]:
    """At the threshold itself a claim is wrongly SUPPORTED, and its opposite wrongly REFUTED, alpha of the time."""
    return [
        level(2, f"{what}: false SUPPORTED", said.supported, said.repeats),
        level(2, f"{what}: false REFUTED", said.refuted, said.repeats),
    ]


def means(designs: Sequence[Design], repeats: int) -> list[Row]:
    found = []
    for seed, design in enumerate(designs):
        said = said_of(effects(normal(design, repeats, seed=seed), design), at_least(0))
        found += both(f"mean, no range, {design}", said)
    return found


def with_a_range(designs: Sequence[Design], repeats: int) -> list[Row]:
    found = []
    for seed, design in enumerate((PAIRS, designs[-1]), start=20):
        prediction = at_most(0) if design is PAIRS else at_least(0)
        said = said_of(effects(uniform(design, repeats, seed=seed), design, range=RANGE), prediction)
        found += both(f"mean, range -1..1, effect {prediction}, {design}", said)
    return found


def proportions(designs: Sequence[Design], repeats: int) -> list[Row]:
    found = []
    for seed, design in enumerate(designs, start=30):
        share = 0.8 if design.clusters == 30 else 0.5
        samples = effects(coins(design, share, repeats, seed=seed), design, kind="binary")
        said = said_of_proportions(samples, at_least(share))
        found += both(f"proportion, X = {share:g}, {design}", said)
    return found


def two_sided(repeats: int) -> list[Row]:
    """The effect lies exactly on the margin, so that it is not within."""
    many, few = DESIGNS[7], DESIGNS[5]
    edge = said_of(effects(normal(PAIRS, repeats, seed=40), plus=0.5), negligible(within=0.5))
    inside = said_of(effects(normal(PAIRS, repeats, seed=43), plus=0.5), between(0.5, 1.5))
    below = said_of(effects(normal(few, repeats, seed=41), few, plus=-0.8), negligible(within=0.8))
    coin = said_of_proportions(effects(coins(many, 0.2, repeats, seed=42), many, kind="binary"), negligible(within=0.2))
    return [
        level(2, f"negligible, effect at the upper margin, {PAIRS}: false SUPPORTED", edge.supported, repeats),
        level(2, f"between, effect at the lower end, {PAIRS}: false SUPPORTED", inside.supported, repeats),
        level(2, f"negligible, effect at the lower margin, {few}: false SUPPORTED", below.supported, repeats),
        level(2, f"negligible, proportion at the margin, {many}: false SUPPORTED", coin.supported, repeats),
    ]


def differences(repeats: int) -> list[Row]:
    """Two arms that are alike, or that differ by exactly the margin."""
    alike = said_of(arms(partial(normal, TEMPLATES, repeats), TEMPLATES, seed=50), greater_than(0))
    coin = said_of(arms(partial(coins, TEMPLATES, 0.6, repeats), TEMPLATES, seed=52, kind="binary"), greater_than(0))
    apart = said_of(arms(partial(normal, TEMPLATES, repeats), TEMPLATES, seed=54, plus=0.3), greater_than(0.3))
    single = said_of(arms(partial(normal, PAIRS, repeats), PAIRS, seed=56), greater_than(0))
    return [
        *both(f"difference, first > second, {TEMPLATES}", alike),
        *both(f"difference of proportions, first > second, {TEMPLATES}", coin),
        *both(f"difference, first > second by 0.3, {TEMPLATES}", apart),
        *both(f"difference, first > second, {PAIRS}", single),
    ]


def orderings(repeats: int) -> list[Row]:
    """Effects that do not rise, and a lead that is none. They cost more to judge, so there are fewer."""
    flat = [0.0, 0.0, 0.0, 0.0]
    even = [0.5, 0.5, 0.0, -0.5]
    rising = said_of(members(partial(normal, PAIRS, repeats), PAIRS, flat, seed=200), monotone(range(4)))
    coin = partial(coins, TEMPLATES, 0.5, repeats)
    clustered = said_of(members(coin, TEMPLATES, flat, seed=210, kind="binary"), monotone(range(4)))
    ahead = said_of(members(partial(normal, PAIRS, repeats), PAIRS, even, seed=220), top(1, 0))
    shared = said_of(members(partial(normal, TEMPLATES, repeats), TEMPLATES, even, seed=230), top(1, 0))
    return [
        *both(f"monotone, four effects that are alike, {PAIRS}", rising),
        *both(f"monotone, four proportions that are alike, {TEMPLATES}", clustered),
        *both(f"top 1 of four, the two best alike, {PAIRS}", ahead),
        *both(f"top 1 of four, the two best alike, {TEMPLATES}", shared),
    ]


def members(
    draw: Callable[..., Iterator[Floats]],
    design: Design,
    means: Sequence[float],
    *,
    seed: int,
    kind: Kind = "continuous",
) -> Iterator[Mapping[int, Effect]]:
    """Effects on the same pairs, by number."""
    every = [effects(draw(seed=seed + n), design, plus=mean, kind=kind) for n, mean in enumerate(means)]
    for together in zip(*every, strict=True):
        yield dict(enumerate(together))


def arms(
    draw: Callable[..., Iterator[Floats]], design: Design, *, seed: int, plus: float = 0.0, kind: Kind = "continuous"
) -> Iterator[Effect]:
    first = effects(draw(seed=seed), design, plus=plus, kind=kind)
    second = effects(draw(seed=seed + 1), design, kind=kind)
    for one, other in zip(first, second, strict=True):
        yield one - other


def recoveries(designs: Sequence[Design], repeats: int) -> list[Row]:
    found = []
    for seed, design in enumerate((PAIRS, *designs[1:]), start=60):
        said = said_of(recovered(design, repeats, seed=seed), at_least(0.5))
        found += both(f"ratio of sums, {design}", said)
    said = said_of(recovered(TEMPLATES, repeats, seed=79, range=(-4.0, 4.0)), at_most(0.5))
    return [*found, *both(f"ratio of sums, range -4..4, {TEMPLATES}", said)]


def recovered(design: Design, repeats: int, *, seed: int, range: tuple[float, float] | None = None) -> Iterator[Effect]:
    for above, below in ratios(design, 0.5, repeats, seed=seed):
        kept = above if range is None else np.clip(above, *range)
        yield effect_of(kept, kind="ratio", clusters=design.shared, denominators=below, range=range)


def sizes(repeats: int) -> list[Row]:
    """Clusters whose totals are skewed. Without a range that costs some coverage, which is published as it is."""
    samples = list(informative(repeats, clusters=30, slope=-0.04, seed=90))
    what = "mean, {}, 30 clusters of 2 to 20 whose sizes carry information"
    wide = (-6.0, 6.0)
    bounded = (effect_of(np.clip(values, *wide), clusters=labels, range=wide) for values, labels in samples[:2000])
    said = said_of((effect_of(values, clusters=labels) for values, labels in samples), at_least(0))
    on_means = np.mean([t_test(by_cluster(values, labels), 0) for values, labels in samples])
    return [
        *both(what.format("range -6..6"), said_of(bounded, at_least(0))),
        *(replace(row, low=-inf, high=inf, kind="published") for row in both(what.format("no range"), said)),
        at_fault(2, "the same, by t on cluster means", float(on_means), above=0.15, repeats=repeats),
    ]


def naive() -> list[Row]:
    """What is wrong about pairs that share templates is seen to be wrong."""
    means = [t_test(values, 0) for values in normal(TEMPLATES, REPEATS, seed=91)]
    shares = [
        stats.binom.sf(values.sum() - 1, len(values), 0.5) <= 0.05 for values in coins(TEMPLATES, 0.5, REPEATS, seed=92)
    ]
    return [
        at_fault(2, f"t on pairs, {TEMPLATES}", float(np.mean(means)), above=0.15, repeats=REPEATS),
        at_fault(2, f"exact binomial on pairs, {TEMPLATES}", float(np.mean(shares)), above=0.15, repeats=REPEATS),
    ]


def by_cluster(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels, weights=values) / np.bincount(labels)


def t_test(values: np.ndarray, threshold: float) -> bool:
    return bool(stats.ttest_1samp(values, threshold, alternative="greater").pvalue <= 0.05)
