"""Sequential claims: portion by portion, until the verdict is in, and never a pair twice."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from causaltest.asking.claims import Claim
from causaltest.asking.experiment import Experiment
from causaltest.asking.lab import Lab
from causaltest.asking.metrics import Metric, accuracy, logit_diff
from causaltest.asking.pairs import Pair, Pairs
from causaltest.asking.positions import last
from causaltest.asking.predictions import Prediction, at_least, at_most, greater_than, negligible
from causaltest.asking.sites import resid_post
from causaltest.asking.stopping import stopping_of
from causaltest.effect import Controls, Effect, Exclusion, Numbers, PositiveControl, SelfPatch
from causaltest.errors import ClaimError, MeasurementError, NothingEligible
from causaltest.judging.judge import judge
from causaltest.judging.sequential import nominal_alpha, overall_alpha
from causaltest.looks import plan_of
from causaltest.once import judging_seed
from causaltest.results import NOT_REGISTERED, ClaimResult, Family, Known
from causaltest.session import decide

PAIRS = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", id=f"p{i:03d}") for i in range(160)], iid=True)
CLUSTERED = Pairs([Pair(clean=f"{i} a", corrupt="b", answer="c", cluster=f"c{i // 3}") for i in range(240)])


class Simulated:
    """A backend in which every pair has a value of its own, the same in whatever portion it is measured."""

    model = "simulated"

    def __init__(self, rate: float = 0.9, *, seed: str = "", left_out: Callable[[str], bool] = lambda _: False) -> None:
        self.rate, self.seed, self.left_out = rate, seed, left_out
        self.asked: list[Experiment] = []
        self.expected: list[Experiment] = []
        self.runs = 0
        self.controls: dict[str, Any] = {}

    def value(self, experiment: Experiment, pair: str) -> float:
        layer = experiment.patching.sites[0].layers[0]
        draw = random.Random(f"{self.seed} {layer} {pair}").random()
        if experiment.metric.kind == "binary":
            return float(draw < self.rate / (1 + 2 * (layer == 0)))
        return self.rate + 0.2 * (draw - 0.5)

    def measure(self, experiment: Experiment) -> Effect:
        pairs, binary = experiment.patching.pairs, experiment.metric.kind == "binary"
        self.asked.append(experiment)
        self.runs += 9 * len(pairs)
        kept = [i for i, pair in enumerate(pairs) if not self.left_out(str(pair.id))]
        out = tuple(Exclusion(str(p.id), "wrong") for p in pairs if self.left_out(str(p.id)))
        if not kept:
            raise NothingEligible(
                f"None of the {len(pairs)} pairs is eligible", tuple((e.pair_id, "wrong") for e in out)
            )
        ids = tuple(pairs.ids[i] for i in kept)
        controls = {
            "self_patch": SelfPatch(0.0, 0.0),
            "placebo": (0.0,) * len(kept),
            "positive": PositiveControl(1.0, 0.5, "everywhere"),
            "distance": (2.0,) * len(kept),
            **self.controls,
        }
        numbers = Numbers(
            values=tuple(self.value(experiment, pair) for pair in ids),
            pair_ids=ids,
            clusters=None if pairs.clusters is None else tuple(pairs.clusters[i] for i in kept),
            kind="binary" if binary else "continuous",
            range=(0.0, 1.0) if binary else experiment.metric.range,
            controls=Controls(**controls),
            pairs_total=len(pairs),
            excluded=out,
            provenance={"model": "simulated"},
        )
        return Effect(experiment, numbers)

    def patched_runs(self, experiments: list[Experiment]) -> int:
        return sum(9 * len(e.patching.pairs) for e in experiments)

    def expect(self, experiments) -> None:
        self.expected += experiments

    def counted(self) -> dict[str, int]:
        return {"patched_runs": self.runs}


def recovery(lab: Lab, pairs: Pairs = PAIRS, metric: Metric = accuracy, layer: int = 3) -> Effect:
    return lab.denoise(pairs, at=resid_post(layer, last())).recovery(metric)


def decided(
    backend: Simulated,
    prediction: Prediction,
    *,
    body: Callable[..., Any] = recovery,
    rule: Any = "obrien-fleming",
    looks: int | None = None,
    size: int = 1,
    seed: str = "7",
    **more: Any,
) -> ClaimResult:
    claim = Claim("It matters.", prediction, body, stopping=stopping_of(rule, looks) if rule else None)
    lab = Lab(backend=backend, seed=seed)  # type: ignore[arg-type]
    return decide(claim, {"lab": lab, **more}, Known("t.py::a", "a", Family("t.py", size), seed))


def test_a_seed_of_the_bodys_own_leaves_the_order_of_play_alone() -> None:
    """The game is played in the order in which units were measured, or looking again would be a new game."""

    def reseeded(lab: Lab) -> Effect:
        return recovery(lab.with_seed("another"))

    backend = Simulated(0.95)
    assert decided(backend, at_least(0.5), body=reseeded, rule="anytime").verdict == "SUPPORTED"
    claim = Claim("It matters.", at_least(0.5), reseeded, stopping=stopping_of("anytime", None))
    lab = Lab(backend=Simulated(0.95), seed="7")  # type: ignore[arg-type]
    plan = plan_of(claim, {"lab": lab}, Known("t.py::a", "a", Family("t.py", 1), "7"))
    measured = [pair for e in backend.asked for pair in e.patching.pairs.ids]
    assert sorted(measured) == sorted(plan.order[: len(measured)])
    assert [e.patching.pairs for e in backend.asked] == list(plan.portions[: len(backend.asked)])


# stopping


@pytest.mark.parametrize("rule", ["obrien-fleming", "anytime"])
@pytest.mark.parametrize(("rate", "verdict"), [(0.95, "SUPPORTED"), (0.05, "REFUTED")])
def test_a_clear_effect_is_decided_early_and_the_rest_is_never_measured(rule, rate, verdict) -> None:
    backend = Simulated(rate)
    result = decided(backend, at_least(0.5), rule=rule)
    whole = decided(Simulated(rate), at_least(0.5), rule=None)
    assert result.verdict == whole.verdict == verdict
    looks = result.looks
    assert looks["rule"] == rule and 1 <= looks["taken"] < looks["planned"]
    measured = [pair for e in backend.asked for pair in e.patching.pairs.ids]
    assert len(measured) == len(set(measured)) == result.n < 160
    assert looks["planned_runs"] == 9 * 160 == whole.runs["patched_runs"]
    assert looks["saved_runs"] == 9 * (160 - len(measured)) == 9 * 160 - result.runs["patched_runs"]
    assert (result.pairs_total, result.status_reason) == (result.n, NOT_REGISTERED)


def test_a_null_at_the_border_goes_to_the_last_look_and_stays_open() -> None:
    backend = Simulated(0.5, seed="border")
    result = decided(backend, at_least(0.5))
    assert result.verdict == "INCONCLUSIVE"
    assert (result.looks["taken"], result.looks["saved_runs"], result.n) == (4, 0, 160)
    assert result.p_adjusted is not None and result.p_adjusted > 0.05


@pytest.mark.parametrize("look", [1, 2, 3, 4])
def test_what_a_look_says_is_the_judge_on_the_pairs_so_far_at_its_own_alpha(look: int) -> None:
    """The verdict of each look, against the fixed judge on the same pairs at the boundary's alpha."""
    rate = {1: 1.0, 2: 0.72, 3: 0.66, 4: 0.6}[look]
    backend = Simulated(rate, seed="a")
    result = decided(backend, at_least(0.5))
    taken = result.looks["taken"]
    units = {k: 40 * k for k in range(1, taken + 1)}
    so_far = Pairs([p for e in backend.asked for p in e.patching.pairs], iid=True)
    effect = recovery(Lab(backend=Simulated(rate, seed="a"), seed="7"), so_far)  # type: ignore[arg-type]
    alpha = nominal_alpha(0.05, 4, units)
    fixed = judge(
        effect, at_least(0.5, alpha=alpha), seed=judging_seed("7"), resamples=max(10_000, math.ceil(50 / alpha))
    )
    assert (result.verdict, result.lower, result.upper) == (fixed.outcome, fixed.lower, fixed.upper)
    assert result.alpha == result.looks["alpha_here"] == pytest.approx(alpha)
    assert result.p_adjusted == pytest.approx(overall_alpha(fixed.p_value, 4, units))


def test_the_looks_share_what_the_family_leaves_of_alpha() -> None:
    alone, among = (decided(Simulated(1.0), at_least(0.5), size=size) for size in (1, 20))
    assert alone.alpha is not None and among.alpha is not None
    assert among.alpha == pytest.approx(
        nominal_alpha(0.05 / 20, 4, {k: 40 * k for k in range(1, among.looks["taken"] + 1)})
    )
    assert among.looks["taken"] >= alone.looks["taken"]
    assert "/20" in among.reason


def test_whatever_else_ran_the_portions_and_the_numbers_are_the_same() -> None:
    first = decided(Simulated(0.7), at_least(0.5))
    backend = Simulated(0.7)
    decided(backend, at_least(0.9))
    again = decided(backend, at_least(0.5))
    assert dataclasses.replace(again, runs={}) == dataclasses.replace(first, runs={})
    other = Simulated(0.7)
    decided(other, at_least(0.5), seed="8")
    assert other.asked[0].patching.pairs != backend.asked[0].patching.pairs, "another seed, another order"


def test_all_arms_of_a_portion_are_announced_before_the_first_is_measured() -> None:
    backend = Simulated(0.9)

    def body(lab: Lab) -> Effect:
        late = recovery(lab, layer=3)
        if late.numbers is not None:
            portion = backend.asked[-1].patching.pairs
            assert sum(e.patching.pairs == portion for e in backend.expected) >= 2
        return late - recovery(lab, layer=0)

    result = decided(backend, greater_than(0.45), body=body)
    assert result.verdict == "SUPPORTED"
    assert 1 < result.looks["taken"]
    assert result.looks["planned_runs"] == 2 * 9 * 160
    assert PAIRS not in [e.patching.pairs for e in backend.expected], "all pairs at once are never announced"


def test_clusters_are_never_cut_and_count_as_units() -> None:
    backend = Simulated(0.9)
    result = decided(backend, at_least(0.5), pairs=CLUSTERED)
    assert result.verdict == "SUPPORTED"
    portions = [set(e.patching.pairs.clusters or ()) for e in backend.asked]
    assert all(len(p) == 20 for p in portions) and len(set().union(*portions)) == 20 * len(portions)
    assert result.clusters == 20 * len(portions)


def test_two_sided_claims_stop_when_both_sides_are_in() -> None:
    metric = logit_diff(range=(-1, 1))
    for rule in ("obrien-fleming", "anytime"):
        nothing = decided(Simulated(0.0), negligible(within=0.3), rule=rule, metric=metric)
        assert (nothing.verdict, nothing.looks["taken"] < nothing.looks["planned"]) == ("SUPPORTED", True)
    assert decided(Simulated(0.6), at_most(0.2), metric=metric).verdict == "REFUTED"


# what stands in the way of a look


def test_looks_that_cannot_decide_are_passed_and_said() -> None:
    result = decided(Simulated(0.9), at_least(0.2), metric=logit_diff(range=(-1, 1)), looks=10)
    passed = result.looks["passed"]
    assert passed["1"] == "16 pairs, where 20 are needed"
    assert "resamples" in passed["2"]
    assert str(result.looks["taken"]) not in passed
    assert result.verdict == "SUPPORTED"


@pytest.mark.parametrize("rule", ["obrien-fleming", "anytime"])
def test_a_portion_without_placebo_supports_nothing_and_says_what_to_do(rule: str) -> None:
    backend = Simulated(0.95)
    backend.controls = {"placebo": None}
    result = decided(backend, at_least(0.5), rule=rule, looks=4)
    assert result.verdict == "INCONCLUSIVE"
    assert "plan fewer looks" in result.looks["passed"]["4"]
    assert decided(backend, at_most(0.98), rule=rule).looks["passed"] == {}, "not every claim needs one"


def test_a_portion_in_which_no_pair_counts_is_no_failure() -> None:
    portions = [set(e.patching.pairs.ids) for e in asked_by(Simulated(0.5, seed="border"))]
    result = decided(Simulated(0.5, seed="border", left_out=lambda p: p in portions[0] | portions[3]), at_least(0.5))
    assert result.verdict == "INCONCLUSIVE"
    assert (result.n, result.pairs_total, result.excluded) == (80, 160, {"wrong": 80})
    # What the first look would have spent went to the second; the last has nothing new, and spends nothing.
    assert result.alpha == pytest.approx(nominal_alpha(0.05, 4, {2: 40, 3: 80}))
    assert result.looks["taken"] == 4


def asked_by(backend: Simulated) -> list[Experiment]:
    decided(backend, at_least(0.5))
    return backend.asked


def test_where_no_pair_counts_at_all_the_claim_is_invalid_and_says_why() -> None:
    result = decided(Simulated(left_out=lambda _: True), at_least(0.5))
    assert result.verdict == "INVALID"
    assert "No pair of 4 portions is eligible" in result.reason


def test_a_self_patch_that_moved_the_run_ends_it_at_once() -> None:
    backend = Simulated(0.9)
    backend.controls = {"self_patch": SelfPatch(1.0, 0.1)}
    result = decided(backend, at_least(0.5))
    assert (result.verdict, result.looks["taken"], len(backend.asked)) == ("INVALID", 1, 1)


def test_a_positive_control_that_fails_in_a_portion_may_recover_with_more() -> None:
    backend = Simulated(0.0)

    def measure(experiment: Experiment, plain=backend.measure) -> Effect:
        # None of the first portion recovers, and all of the others do.
        backend.controls = {"positive": PositiveControl(float(len(backend.asked) > 0), 0.5, "everywhere")}
        return plain(experiment)

    backend.measure = measure  # type: ignore[method-assign]
    result = decided(backend, at_most(0.5))
    assert result.verdict == "SUPPORTED"
    assert result.looks["taken"] >= 2


def test_a_run_that_gives_no_number_is_invalid_and_nothing_more_is_measured() -> None:
    backend = Simulated()

    def measure(experiment: Experiment) -> Effect:
        backend.asked.append(experiment)
        raise MeasurementError("the patched run of pair 3 is NaN")

    backend.measure = measure  # type: ignore[method-assign]
    result = decided(backend, at_least(0.5))
    assert (result.verdict, len(backend.asked)) == ("INVALID", 1)
    assert "is NaN" in result.reason


# misuse


def test_a_body_that_chooses_by_a_number_cannot_be_sequential() -> None:
    def body(lab: Lab) -> Effect:
        return max((recovery(lab, layer=n) for n in (1, 2)), key=lambda effect: effect.estimate)

    with pytest.raises(ClaimError, match="does not name its experiment before it has a number"):
        decided(Simulated(), at_least(0.5), body=body)


def test_values_that_are_all_there_cannot_be_looked_at_in_portions() -> None:
    backend = Simulated()
    with pytest.raises(ClaimError, match="nothing left to stop"):
        decided(backend, at_least(0.5), body=lambda lab: Effect.from_values([1, 0], kind="binary", iid=True))
    assert backend.asked == []


def test_one_claim_is_about_one_set_of_pairs() -> None:
    def body(lab: Lab) -> Effect:
        return recovery(lab) - recovery(lab, CLUSTERED)

    with pytest.raises(ClaimError, match="about 2 different sets of pairs"):
        decided(Simulated(), greater_than(0.1), body=body)


def test_a_metric_without_a_range_is_refused_before_anything_is_measured() -> None:
    backend = Simulated()
    with pytest.raises(ClaimError, match=r"logit_diff has none\. Declare one"):
        decided(backend, at_least(0.5), rule="anytime", metric=logit_diff)
    assert backend.asked == []
    assert decided(backend, at_least(0.2), metric=logit_diff, looks=2).verdict == "SUPPORTED"


def test_more_looks_than_pairs_of_clusters_are_refused() -> None:
    backend = Simulated()
    with pytest.raises(ClaimError, match=r"looks=50 needs 100 clusters.*have 80\. Write looks=40 or fewer"):
        decided(backend, at_least(0.5), pairs=CLUSTERED, rule="anytime", looks=50)
    assert backend.asked == []


def test_a_body_that_returns_no_effect_is_refused() -> None:
    for given in (None, {"a": 1}):
        with pytest.raises(ClaimError, match="does not return one effect"):
            decided(Simulated(), at_least(0.5), body=lambda lab, given=given: given)
