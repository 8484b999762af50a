"""Which sites of a sweep survive: from a map's values per pair to a table with marks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.errors import JudgementError
from causaltest.judging.sample import Floats
from causaltest.sweep import PerPair, SweepMap


def sweep(values: Floats, per_cluster: int = 1, **more: Any) -> SweepMap:
    """[site, pair] as a map of one column; `per_cluster` neighbouring pairs share a cluster."""
    sites, pairs = values.shape
    rounding, denominators = more.pop("rounding", 0.0), more.pop("denominators", None)
    per_pair = PerPair(
        np.asarray(values, dtype=float),
        tuple(f"p{i:04}" for i in range(pairs)),
        tuple(f"c{i // per_cluster:04}" for i in range(pairs)),
        denominators,
        rounding,
    )
    return SweepMap(
        **{
            "summary": "change(logit), denoise resid_post",
            "rows": tuple(f"L{r}" for r in range(sites)),
            "columns": ("last()",),
            "estimates": tuple(values.mean(axis=1).tolist()),
            "distances": (1.0,) * sites,
            "n": pairs,
            "pairs_total": pairs,
            "sites": tuple(range(sites)),
            "per_pair": per_pair,
            **more,
        }
    )


def planted(seed: int = 0, pairs: int = 40, true: float = 1.5) -> Floats:
    """Ten sites that share noise, of which the fourth has an effect."""
    rng = np.random.default_rng(seed)
    values = 0.7 * rng.normal(size=(1, pairs)) + rng.normal(size=(10, pairs))
    values[3] += true
    return values


def test_the_site_with_an_effect_survives_and_the_table_marks_it() -> None:
    found = sweep(planted()).survivors()
    assert found.table[:, 0].tolist() == [i == 3 for i in range(10)]
    assert (found.sites, len(found)) == ((3,), 1)
    text = str(found)
    marked = [line.split()[0] for line in text.splitlines()[1:] if line.endswith("*")]
    assert marked == ["L3"] and text.count("*") == 2
    assert (
        "* 1 of 10 sites survive: family-wise by max-T, larger than 0, at 0.05; 10000 sign-flips of 40 clusters, seed 0"
        in text
    )


def test_one_side_is_not_the_other() -> None:
    lower = sweep(-planted())
    assert not len(lower.survivors())
    assert lower.survivors(two_sided=True).sites == (3,)
    assert "two-sided" in str(lower.survivors(two_sided=True))


def test_pairs_of_a_cluster_count_together() -> None:
    """Ten copies of four prompts are four, and four cannot reach .05."""
    values = np.repeat(np.array([[1.0, 1.1, 0.9, 1.2]]), 10, axis=1)
    alone = sweep(values).survivors()
    assert len(alone) == 1 and not alone.note
    together = sweep(values, per_cluster=10).survivors()
    assert together.units == 4 and not len(together)
    assert together.p_adjusted == (2**-4,)
    assert "4 clusters cannot reach 0.05" in together.note and "Give at least 5 clusters" in str(together)
    assert not sweep(values[:, ::8], per_cluster=1).survivors().note


def test_with_two_sides_it_takes_a_cluster_more() -> None:
    five = np.array([[1.0, 1.1, 0.9, 1.2, 1.3]])
    assert len(sweep(five).survivors()) == 1
    two = sweep(five).survivors(two_sided=True)
    assert not len(two) and "Give at least 6" in two.note


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_the_pairs_decides_nothing(order: list[int]) -> None:
    values = planted(pairs=12, true=1.0)
    one = sweep(values, per_cluster=2)
    assert one.per_pair is not None and one.per_pair.clusters is not None
    ids, clusters = one.per_pair.pair_ids, one.per_pair.clusters
    shuffled = PerPair(values[:, order], tuple(ids[i] for i in order), tuple(clusters[i] for i in order))
    other = dataclasses.replace(one, per_pair=shuffled)
    assert one.survivors().p_adjusted == pytest.approx(other.survivors().p_adjusted)


def test_a_patch_that_moved_nothing_has_no_effect_whatever_its_values() -> None:
    values = np.full((2, 8), 1.0)
    found = sweep(values, distances=(1.0, 0.0)).survivors()
    assert found.p_adjusted == (2**-8, 1.0)


def test_rounding_that_was_measured_is_no_effect() -> None:
    noise = np.full((1, 8), 1e-6)
    assert len(sweep(noise).survivors()) == 1
    assert not len(sweep(noise, rounding=1e-5).survivors())


def test_discoveries_are_scipys_on_the_same_flips() -> None:
    """Benjamini-Hochberg and Benjamini-Yekutieli by hand: the p of rank k times m / k, and what is smaller above it."""
    made = sweep(planted(1))
    for method, factor in (("bh", 1.0), ("by", sum(1 / k for k in range(1, 11)))):
        found = made.discoveries(0.1, method=method)  # type: ignore[arg-type]
        p = sorted(found.p_values)
        by_hand = [min(1.0, min(factor * q * 10 / (k + 1) for k, q in enumerate(p) if k >= rank)) for rank in range(10)]
        assert sorted(found.p_adjusted) == pytest.approx(by_hand)
        assert 3 in found.sites
    assert "false discovery rate by Benjamini-Yekutieli" in str(made.discoveries(method="by"))


def test_a_discovery_draws_as_many_flips_as_it_needs() -> None:
    many = sweep(np.random.default_rng(0).normal(size=(192, 40)))
    assert many.discoveries().flips == 38_400
    few = many.discoveries(flips=100)
    assert "100 flips cannot reach 0.05: ask for flips=38400" in few.note


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"estimated_by": "attribution"}, "an estimate by attribution, for screening only.*Sweep without method="),
        ({"per_pair": None}, "holds no values per pair"),
    ],
)
def test_a_map_that_was_not_measured_has_no_survivors(made: dict[str, Any], message: str) -> None:
    estimated = dataclasses.replace(sweep(planted()), **made)
    for ask in (estimated.survivors, estimated.discoveries):
        with pytest.raises(JudgementError, match=message):
            ask()


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5, -0.1, float("nan")])
def test_an_alpha_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(JudgementError, match=r"alpha=.* must lie between 0 and 1"):
        sweep(planted()).survivors(alpha)
    with pytest.raises(JudgementError, match=r"rate=.* must lie between 0 and 1"):
        sweep(planted()).discoveries(alpha)


def test_other_wrong_uses_are_refused() -> None:
    with pytest.raises(JudgementError, match="'bh' or 'by'"):
        sweep(planted()).discoveries(method="holm")  # type: ignore[arg-type]
    with pytest.raises(JudgementError, match="flips=0: at least one"):
        sweep(planted()).survivors(flips=0)
    broken = planted()
    broken[0, 0] = np.nan
    with pytest.raises(JudgementError, match="not finite"):
        sweep(broken).survivors()


def test_a_ratio_whose_denominators_are_not_above_zero_is_refused() -> None:
    values = planted()
    weak = tuple(np.random.default_rng(0).normal(size=40).tolist())
    with pytest.raises(JudgementError, match=r"The denominators .* are not clearly above zero"):
        sweep(values, denominators=weak).survivors()
    assert sweep(values, denominators=(2.0,) * 40).survivors().sites == (3,)


def test_one_pair_is_judged_and_never_survives() -> None:
    found = sweep(np.ones((3, 1))).survivors()
    assert not len(found) and "1 cluster cannot reach" in found.note


def test_what_survives_is_gone_through_as_sites() -> None:
    found = sweep(np.array([[1.0] * 12, [0.0] * 6 + [0.1] * 6])).survivors()
    assert len(found) >= 1 and [*found] == [*found.sites]
