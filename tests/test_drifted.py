"""Drift between two runs of a claim: rounding, the finding or the experiment; and which way is against the claim."""

import dataclasses
import math

import numpy as np
import pytest
from saved_claims import effect, noise, saved

from causaltest.asking.orderings import monotone, top
from causaltest.asking.predictions import at_least, at_most, between, greater_than, negligible
from causaltest.drifted import drifted
from causaltest.effect import Exclusion, SelfPatch
from causaltest.effects import Effects
from causaltest.errors import JudgementError


def moved_by(change, prediction, *, at=0.5, n=200, margin=0.1):
    """A claim whose effect has changed on average by so much, from `at`."""
    before = at + noise(n, seed=1)
    return drifted(
        saved(effect(before), prediction), saved(effect(before + noise(n, change)), prediction), margin=margin
    )


# Which way is against the claim


@pytest.mark.parametrize(
    ("prediction", "at", "falls", "rises"),
    [
        (at_least(0.3), 0.5, "REGRESSED", "IMPROVED"),
        (at_least(-0.9), -0.5, "REGRESSED", "IMPROVED"),
        (greater_than(0.1), 0.5, "REGRESSED", "IMPROVED"),
        (at_most(0.8), 0.5, "IMPROVED", "REGRESSED"),
        (at_most(-0.3), -0.5, "IMPROVED", "REGRESSED"),
        (negligible(within=0.4), 0.0, "REGRESSED", "REGRESSED"),
        (negligible(within=0.4), 0.3, "IMPROVED", "REGRESSED"),
        (negligible(within=0.4), -0.3, "REGRESSED", "IMPROVED"),
        (between(0.2, 0.8), 0.8, "IMPROVED", "REGRESSED"),
        (between(0.2, 0.8), 0.5, "REGRESSED", "REGRESSED"),
        (between(-0.8, -0.2), -0.8, "REGRESSED", "IMPROVED"),
    ],
)
def test_a_change_against_the_claim_is_a_regression(prediction, at, falls, rises):
    for change, word in ((-0.2, falls), (0.2, rises), (0.0, "HOLDS")):
        drift = moved_by(change, prediction, at=at)
        assert (drift.word, drift.cause) == (word, "finding"), (change, drift.sentence)
        assert drift.estimate == pytest.approx(change, abs=0.02)
        assert drift.lower < drift.estimate < drift.upper
        assert drift.n == 200 and drift.margin == 0.1 and drift.fields == {}
    # at the margin nothing is said; the other way it is no harm
    at_margin = [moved_by(change, prediction, at=at).word for change in (-0.1, 0.1)]
    assert sorted(at_margin) in (["HOLDS", "INCONCLUSIVE"], ["INCONCLUSIVE", "INCONCLUSIVE"])
    assert len(set(at_margin)) == (1 if prediction.is_two_sided else 2)


def test_the_sentence_says_what_was_seen_and_what_it_means():
    fell = moved_by(-0.2, at_least(0.3)).sentence
    assert fell == (
        "0.496 before, 0.297 after: a change of -0.199 [-0.205, -0.193] in 200 pairs. "
        "It has fallen by more than the margin of 0.1."
    )
    assert "Whether it has risen by more than the margin of 0.1 is open." in moved_by(0.1, at_most(0.8)).sentence
    assert "It has not moved by more than the margin" in moved_by(0.0, negligible(within=0.4), at=0.0).sentence
    assert "It is further from 0.5, by more than the margin" in moved_by(0.2, between(0.2, 0.8)).sentence


@pytest.mark.parametrize("word", ["REGRESSED", "IMPROVED"])
def test_turning_a_claim_round_turns_its_drift_round(word):
    change = -0.2 if word == "REGRESSED" else 0.2
    up, down = moved_by(change, at_least(0.3)), moved_by(-change, at_most(-0.3), at=-0.5)
    assert up.word == down.word == word


# Rounding


def in_two_runs(before, after, *, margin=0.1, then=(), now=(), **how):
    """The same claim before and after; `then` and `now` are what their specs have of their own."""
    claims = [
        saved(effect(values, **how), at_least(0.3), **dict(spec)) for values, spec in ((before, then), (after, now))
    ]
    return drifted(*claims, margin=margin, across_models=True)


OTHER_WEIGHTS = {"models": [{"name": "m", "weights": "bb"}]}


@pytest.mark.parametrize("margin", [0.1, None])
@pytest.mark.parametrize("n", [1, 5, 200])
def test_within_rounding_nothing_is_inferred(n, margin):
    before = 0.5 + noise(n, seed=1)
    drift = in_two_runs(before, before + noise(n, sd=1e-6).clip(-2e-6, 2e-6), margin=margin, now=OTHER_WEIGHTS)
    assert (drift.word, drift.cause) == ("HOLDS", "rounding")
    assert "rounding may move it by" in drift.sentence
    same = in_two_runs(before, before, margin=margin)
    assert (same.word, same.cause, same.lower <= 0 <= same.upper) == ("HOLDS", "rounding", True)
    assert same.sentence.startswith("Every number is the same in ")


def test_one_pair_that_moved_by_more_than_rounding_makes_it_a_sample():
    before = 0.5 + noise(200, seed=1)
    after = before + noise(200, sd=1e-6)
    after[3] += 0.01
    drift = in_two_runs(before, after)
    assert (drift.word, drift.cause) == ("HOLDS", "finding")
    assert in_two_runs(before[:5], after[:5]).word == "INCONCLUSIVE"
    without = in_two_runs(before, after, margin=None)
    assert (without.word, without.lower) == ("INCONCLUSIVE", None) and "declare a margin" in without.sentence


def test_an_unpatched_run_that_moved_is_no_rounding():
    values = 0.5 + noise(200, seed=1)
    clean = np.full(200, 3.0)
    how = [{"scores": {"clean": tuple(c)}} for c in (clean, clean + 0.1)]
    claims = [saved(effect(values, **h), at_least(0.3)) for h in how]
    assert drifted(*claims, margin=0.1).cause == "finding"
    assert drifted(claims[0], claims[0], margin=0.1).cause == "rounding"


@pytest.mark.parametrize(
    ("moves", "dtype", "cause"),
    [
        (1e-4, "float32", "rounding"),
        (5e-4, "float32", "finding"),
        (1e-12, "float64", "rounding"),
        (1e-8, "float64", "finding"),
        (8e-4, "bfloat16", "rounding"),
        (2e-3, "bfloat16", "finding"),
        (1e-8, "", "finding"),
    ],
)
def test_how_far_rounding_goes_is_a_matter_of_the_dtype(moves, dtype, cause):
    before = np.linspace(0.5, 1.0, 60)
    drift = in_two_runs(before, before - moves * np.linspace(0.5, 1, 60), provenance={"dtype": dtype})
    assert (drift.word, drift.cause) == ("HOLDS", cause)


def test_the_rounding_that_was_measured_counts_too_and_so_does_the_self_patch():
    before = np.linspace(0.5, 1.0, 60)
    assert in_two_runs(before, before + 0.005).cause == "finding"
    assert in_two_runs(before, before + 0.005, rounding=0.003).cause == "rounding"
    tolerant = effect(before).measured.controls
    tolerant = dataclasses.replace(tolerant, self_patch=SelfPatch(0.0, 0.003))
    assert in_two_runs(before, before + 0.005, controls=tolerant).cause == "rounding"


def test_rounding_that_is_no_small_part_of_the_margin_is_not_taken_for_the_same():
    before = np.linspace(0.5, 1.0, 5)
    assert in_two_runs(before, before, rounding=0.02).word == "INCONCLUSIVE"
    assert in_two_runs(before, before, rounding=0.002).cause == "rounding"


def test_equal_outcomes_are_equal_runs_of_one_model_alone():
    few, many = np.ones(5), np.ones(60)
    same = in_two_runs(few, few, kind="binary")
    assert (same.word, same.cause) == ("HOLDS", "rounding")
    other = in_two_runs(few, few, kind="binary", now=OTHER_WEIGHTS)
    assert (other.word, other.cause) == ("INCONCLUSIVE", "finding")
    assert other.sentence.endswith("no pair changed. 29 pairs without a change would show that it holds.")
    enough = in_two_runs(many, many, kind="binary", now=OTHER_WEIGHTS)
    assert (enough.word, enough.cause) == ("HOLDS", "rounding") and "no pair changed" in enough.sentence
    assert in_two_runs(many, many, margin=None, kind="binary", now=OTHER_WEIGHTS).word == "INCONCLUSIVE"


@pytest.mark.parametrize("n", [28, 29])
def test_outcomes_that_all_stayed_hold_from_as_many_on_as_a_change_would_have_shown_in(n):
    """A fall by the margin changes a tenth of the pairs: .9^29 < .05 < .9^28 is the chance to see none."""
    drift = in_two_runs(np.ones(n), np.ones(n), kind="binary", now=OTHER_WEIGHTS)
    assert drift.word == ("HOLDS" if 0.9**n <= 0.05 else "INCONCLUSIVE")
    assert 0.05 == pytest.approx((1 - drift.upper) ** n) and drift.lower == -drift.upper
    # a difference of outcomes moves by up to two where a pair changes
    both = in_two_runs(np.ones(2 * n), np.ones(2 * n), range=(-1.0, 1.0), now=OTHER_WEIGHTS)
    assert both.upper == pytest.approx(2 * (1 - 0.05 ** (1 / (2 * n))))
    # and without a range nobody knows how far
    unbounded = in_two_runs(np.ones(2 * n), np.ones(2 * n), now=OTHER_WEIGHTS)
    assert unbounded.word == "INCONCLUSIVE" and "Every pair moved alike" in unbounded.sentence


def test_a_site_that_moves_nothing_is_known_by_its_unpatched_scores():
    """Zeros look like outcomes; scores that agree to the last digits do not."""
    zeros, scores = np.zeros(5), {"clean": (3.1, 4.2, 5.3, 6.4, 7.5)}
    assert in_two_runs(zeros, zeros, scores=scores, now=OTHER_WEIGHTS).cause == "rounding"
    assert in_two_runs(zeros, zeros, now=OTHER_WEIGHTS).word == "INCONCLUSIVE"


def test_a_cluster_without_a_change_counts_once_and_as_large_as_the_largest():
    even, odd = np.repeat(np.arange(40), 5), np.array([0] * 20 + list(range(1, 21)))
    ones = np.ones(200)
    drift = in_two_runs(ones, ones, kind="binary", clusters=list(even), now=OTHER_WEIGHTS)
    assert (drift.word, drift.upper) == ("HOLDS", pytest.approx(1 - 0.05 ** (1 / 40)))
    drift = in_two_runs(ones[:40], ones[:40], kind="binary", clusters=list(odd), now=OTHER_WEIGHTS)
    assert (drift.word, drift.upper) == ("INCONCLUSIVE", pytest.approx(20 / (40 / 21) * (1 - 0.05 ** (1 / 21))))


# The experiment


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"pairs": [{"hash": "other"}]}, "pairs[0].hash"),
        ({"sentence": "It does not."}, "sentence"),
        ({"body": "other"}, "body"),
        (OTHER_WEIGHTS, "models[0].weights"),
        ({"settings": {"dtype": "float32", "quantize": "nf4"}}, "settings.quantize"),
    ],
)
def test_another_experiment_is_shown_and_not_compared(spec, named):
    before = saved(effect(noise(60)), at_least(0.3))
    drift = drifted(before, saved(effect(noise(60)), at_least(0.3), **spec), margin=0.1)
    assert (drift.word, drift.cause, drift.estimate) == ("INCONCLUSIVE", "experiment", None)
    assert list(drift.fields) == [named] and named in drift.sentence


def test_a_threshold_that_moved_is_another_claim():
    drift = drifted(saved(effect(noise(60)), at_least(0.3)), saved(effect(noise(60)), at_least(0.4)), margin=0.1)
    assert drift.cause == "experiment" and drift.fields == {"prediction.threshold": ("0.3", "0.4")}


def test_what_bears_on_the_judging_alone_is_compared():
    before, after = (
        saved(effect(noise(60)), at_least(0.3), family={"size": size}, statistics=str(size)) for size in (1, 2)
    )
    drift = drifted(before, after, margin=0.1)
    assert (drift.word, drift.cause) == ("HOLDS", "rounding")
    assert set(drift.fields) == {"family.size", "statistics"}


def test_another_dtype_is_compared():
    before = 0.5 + noise(60)
    drift = drifted(
        saved(effect(before), at_least(0.3)),
        saved(effect(before + 1e-5), at_least(0.3), settings={"dtype": "float64"}),
        margin=0.1,
    )
    assert (drift.word, drift.cause) == ("HOLDS", "rounding")


def test_two_models_are_compared_where_that_is_asked():
    before, after = (
        saved(effect(np.ones(60)), at_least(0.3)),
        saved(effect(np.zeros(60)), at_least(0.3), **OTHER_WEIGHTS),
    )
    assert "--across-models" in drifted(before, after, margin=0.1).sentence
    assert drifted(before, after, margin=0.1, across_models=True).cause == "finding"
    # pairs that differ as well stay another experiment
    other = saved(effect(np.zeros(60)), at_least(0.3), pairs=[{"hash": "x"}], **OTHER_WEIGHTS)
    assert drifted(before, other, margin=0.1, across_models=True).cause == "experiment"


@pytest.mark.parametrize("broken", ["before", "after"])
def test_an_invalid_claim_is_not_compared(broken):
    claims = {"before": saved(effect(np.ones(60)), at_least(0.3)), "after": saved(effect(np.ones(60)), at_least(0.3))}
    for wrong in (
        saved(effect(np.ones(60)), at_least(0.3), verdict="INVALID"),
        saved({}, at_least(0.3)),
        saved(effect(np.full(60, math.nan)), at_least(0.3)),
        saved(effect(np.ones(60), kind="ratio", below=np.zeros(60)), at_least(0.3)),
    ):
        drift = drifted(**{**claims, broken: wrong}, margin=0.1)
        assert (drift.word, drift.cause, drift.estimate) == ("INCONCLUSIVE", "", None)
        assert drift.sentence.startswith("Not compared: ")


@pytest.mark.parametrize("margin", [0, -0.1, math.inf, math.nan, True, "0.1"])
def test_a_margin_is_a_size(margin):
    claim = saved(effect(np.ones(60)), at_least(0.3))
    with pytest.raises(JudgementError, match="margin="):
        drifted(claim, claim, margin=margin)


# Pairs


def test_only_pairs_that_count_in_both_runs_are_compared_and_it_says_so():
    names = [f"p{i}" for i in range(100)]
    then, now = [p for p in names if p != "p7"], names[:80]
    value = dict(zip(names, 0.5 + noise(100), strict=True))

    def run(ids, change, *excluded):
        made = effect(
            [value[p] + change * (1 + value[p] / 10) for p in ids], pair_ids=tuple(ids), excluded=tuple(excluded)
        )
        return saved(made, at_least(0.3))

    gone = [Exclusion(p, "the clean run is wrong") for p in names[80:]]
    drift = drifted(run(then, 0.0), run(now[::-1], -0.3, *gone), margin=0.1)
    assert (drift.word, drift.n) == ("REGRESSED", 79)
    assert drift.estimate == pytest.approx(-0.315, abs=2e-3)
    assert drift.sentence.endswith(
        " 21 pairs count in one run alone and are left out (mostly: the clean run is wrong)."
    )
    nobody = drifted(run(names[:50], 0.0), run(names[50:], 0.0), margin=0.1)
    assert (nobody.word, nobody.cause) == ("INCONCLUSIVE", "") and "no pair counts in both runs" in nobody.sentence


def test_pairs_that_count_no_more_are_no_rounding():
    """The unpatched runs of those pairs have changed, though nothing did in the others."""
    names = [f"p{i}" for i in range(100)]
    gone = tuple(Exclusion(p, "the clean run is wrong") for p in names[60:])
    for kind, values in (("binary", np.ones(100)), ("continuous", 0.5 + noise(100))):
        whole = saved(effect(values, kind=kind, pair_ids=tuple(names)), at_least(0.3))
        part = effect(values[:60], kind=kind, pair_ids=tuple(names[:60]), excluded=gone)
        drift = drifted(whole, saved(part, at_least(0.3)), margin=0.1)
        assert (drift.cause, drift.n) == ("finding", 60) and "40 pairs count in one run alone" in drift.sentence
        # a sequential claim that stopped sooner has lost none
        sooner = drifted(whole, saved(effect(values[:60], kind=kind, pair_ids=tuple(names[:60])), at_least(0.3)))
        assert (sooner.word, sooner.cause) == ("HOLDS", "rounding") and "not measured" in sooner.sentence


def test_pairs_that_moved_alike_say_nothing_of_others():
    values = 0.5 + noise(60)
    drift = in_two_runs(values, values - 0.25)
    assert drift.word == "INCONCLUSIVE" and "Every pair moved alike" in drift.sentence
    # right or wrong has a range
    lost = in_two_runs(np.ones(60), np.zeros(60), kind="binary")
    assert (lost.word, lost.estimate) == ("REGRESSED", -1.0)


def test_clusters_are_the_units():
    clusters = [i // 10 for i in range(200)]
    shared = np.repeat(noise(20, -0.02, 0.25, seed=5), 10)
    before = 0.5 + noise(200, seed=2)
    by_cluster = in_two_runs(before, before + shared, clusters=clusters)
    by_pair = in_two_runs(before, before + shared)
    assert (by_cluster.word, by_pair.word) == ("INCONCLUSIVE", "HOLDS")
    assert by_cluster.upper - by_cluster.lower > 2 * (by_pair.upper - by_pair.lower)
    assert "200 pairs in 20 clusters" in by_cluster.sentence


# Ratios


def test_a_ratio_is_compared_where_its_denominators_moved_too():
    """The reference is the definition: the ratio of sums after, minus that before."""
    rng = np.random.default_rng(3)
    below = rng.uniform(10, 30, 300)
    above = 0.6 * below + rng.normal(0, 1, 300)
    for factor, word in ((1.0, "HOLDS"), (0.6, "REGRESSED"), (1.4, "IMPROVED")):
        new_below = below * rng.uniform(0.8, 1.2, 300)
        new_above = factor * 0.6 * new_below + rng.normal(0, 1, 300)
        drift = drifted(
            saved(effect(above, kind="ratio", below=below), at_least(0.3)),
            saved(effect(new_above, kind="ratio", below=new_below), at_least(0.3)),
            margin=0.1,
        )
        assert (drift.word, drift.cause) == (word, "finding")
        assert drift.estimate == pytest.approx(new_above.sum() / new_below.sum() - above.sum() / below.sum())
        assert drift.lower < drift.estimate < drift.upper


def test_scores_that_all_double_leave_a_ratio_as_it_was():
    below = np.linspace(10, 30, 100)
    above = 0.6 * below + noise(100)
    drift = drifted(
        saved(effect(above, kind="ratio", below=below), at_least(0.3)),
        saved(effect(2 * above, kind="ratio", below=2 * below), at_least(0.3)),
        margin=0.1,
    )
    assert (drift.word, drift.cause) == ("HOLDS", "finding")
    assert drift.estimate == pytest.approx(0, abs=1e-12)


# Several


def layers(*means, n=200, seed=0, wobble=0.05):
    base = noise(n, seed=9)
    return Effects({i: effect(mean + base + noise(n, sd=wobble, seed=(seed, i))) for i, mean in enumerate(means)})


def test_an_order_regresses_where_one_step_has_shrunk():
    rising = monotone([0, 1, 2])
    before = saved(layers(0.1, 0.4, 0.7, seed=1), rising)
    shrunk = drifted(before, saved(layers(0.1, 0.4, 0.45, seed=2), rising), margin=0.1)
    assert (shrunk.word, shrunk.cause) == ("REGRESSED", "finding")
    assert shrunk.sentence.startswith("1 of 2 regressed; furthest, 2 over 1: ")
    assert [(name, word) for name, word, _ in shrunk.parts] == [("1 over 0", "HOLDS"), ("2 over 1", "REGRESSED")]
    # all of them fell, and the order is what it was
    assert drifted(before, saved(layers(-0.2, 0.1, 0.4, seed=2), rising), margin=0.1).word == "HOLDS"
    assert drifted(before, before, margin=0.1).cause == "rounding"


def test_a_place_regresses_where_its_lead_has_shrunk():
    first = top(1, 2)
    before = saved(layers(0.1, 0.4, 0.7, seed=1), first)
    assert drifted(before, saved(layers(0.1, 0.65, 0.7, seed=2), first), margin=0.1).word == "REGRESSED"
    held = drifted(before, saved(layers(0.1, 0.4, 0.7, seed=2), first), margin=0.1)
    assert held.word == "HOLDS" and held.sentence.startswith("All 2 hold; closest to the margin, 2 over ")
    # of two among the two largest, the one between them leads nobody by right
    both = top(2, [1, 2])
    assert [p[0] for p in drifted(saved(before.effects[0][1], both), saved(before.effects[0][1], both)).parts] == [
        "1 over 0",
        "2 over 0",
    ]


def test_every_variant_counts():
    base = 0.5 + noise(200)
    before = saved({"a": effect(base), "b": effect(base)}, at_least(0.3))
    after = saved({"a": effect(base + noise(200, seed=3)), "b": effect(base - 0.6 * base)}, at_least(0.3))
    drift = drifted(before, after, margin=0.1)
    assert (drift.word, drift.estimate) == ("REGRESSED", pytest.approx(-0.3, abs=0.01))
    assert "furthest, b: " in drift.sentence
    missing = drifted(before, saved({"a": effect(base)}, at_least(0.3)), margin=0.1)
    assert missing.word == "INCONCLUSIVE" and "b gave a number in one of the two runs alone" in missing.sentence


def test_one_of_many_regresses_at_its_share_of_alpha_and_all_hold_at_alpha_each():
    base = 0.5 + noise(60, seed=1)
    close = {"fell": base + noise(60, -0.15, 0.2, seed=3), "held": base + noise(60, -0.05, 0.2, seed=3)}
    kept = {str(i): base + noise(60, seed=i) for i in range(9)}

    def among(moved):
        claims = [
            saved({k: effect(v) for k, v in run.items()}, at_least(0.3)) for run in (dict.fromkeys(moved, base), moved)
        ]
        return drifted(*claims, margin=0.1)

    assert among({"fell": close["fell"]}).word == "REGRESSED"
    assert among({"fell": close["fell"], **kept}).word == "INCONCLUSIVE"
    assert among({"held": close["held"]}).word == "HOLDS"
    assert among({"held": close["held"], **kept}).word == "HOLDS"
    # the bounds shown never contradict the word
    held = among({"held": close["held"], **kept})
    assert held.lower > -0.1 and held.sentence.startswith("All 10 hold; closest to the margin, held: ")
    bounds = [among(moved) for moved in ({"fell": close["fell"]}, {"fell": close["fell"], **kept})]
    assert bounds[0].upper < -0.1 < bounds[1].upper
