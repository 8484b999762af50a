"""Controls on demand: the same patch elsewhere, in the same plan; and controls that are left out by name."""

import math

import pytest

from causaltest import (
    Lab,
    Pairs,
    Waived,
    accuracy,
    at_least,
    every,
    head,
    index,
    judge,
    last,
    logit_diff,
    negligible,
    resid_post,
    span,
    thought,
    zero,
)
from causaltest.effect import PositiveControl, SelfPatch
from causaltest.errors import PositionError, SiteError
from causaltest.organisms import planted
from causaltest.results import control_fields

PAIRS = planted.pairs(per_cluster=1)
VALUE, READER = span("value"), last()


@pytest.fixture
def lab():
    """One that has measured nothing yet."""
    return Lab.load(planted.NAME)


def patched_runs(lab):
    return lab.counts.get("patched_runs", 0)


@pytest.mark.parametrize("metric", [accuracy, logit_diff], ids=str)
def test_a_wrong_place_gives_what_the_same_patch_gives_there_by_itself(tiny_llama, metric, experiment):
    lab = Lab(tiny_llama.model, tiny_llama.tokenizer)
    if metric == accuracy:
        lab, pairs = Lab.load(planted.NAME), PAIRS[:9]
    else:
        pairs = tiny_llama.pairs[::2]
    run = lab.denoise(pairs, at=resid_post(1, last()))
    asked = run.recovery(metric, placebo=False, wrong_layer=[0, 2], wrong_position=index(3))
    alone = [resid_post(0, last()), resid_post(2, last()), resid_post(1, index(3))]
    assert [place.what for place in asked.measured.controls.elsewhere] == ["layer 0", "layer 2", "index 3"]
    for place, site in zip(asked.measured.controls.elsewhere, alone, strict=True):
        there = lab.denoise(pairs, at=site).recovery(metric, placebo=False).measured
        assert place.values == pytest.approx(there.values, abs=1e-5)
        assert place.distance == pytest.approx(there.controls.distance, abs=1e-5)
    assert asked.measured.values == pytest.approx(run.recovery(metric, placebo=False).measured.values, abs=1e-5)


def test_wrong_places_run_in_the_claims_own_plan(lab):
    run = lab.denoise(PAIRS, at=resid_post(1, READER))
    run.recovery(accuracy)
    plain = patched_runs(lab)
    other = Lab.load(planted.NAME)
    other.denoise(PAIRS, at=resid_post(1, READER)).recovery(accuracy, wrong_layer=[2, 3])
    assert patched_runs(other) == plain + 2 * len(PAIRS)


def test_a_claim_that_its_wrong_places_equal_is_inconclusive_and_says_where(lab):
    run = lab.denoise(PAIRS, at=resid_post(1, READER))
    alone = judge(run.recovery(accuracy), at_least(0.5))
    assert alone.outcome == "SUPPORTED"
    beside = judge(run.recovery(accuracy, wrong_layer=2), at_least(0.5))
    assert beside.outcome == "INCONCLUSIVE"
    assert "The same patch at layer 2 does as much: it gives 1, and is not beaten (p = 1" in beside.reason
    assert beside.p_value == 1.0


def test_a_wrong_place_where_nothing_differs_is_beaten_for_free_and_is_no_control(lab):
    """Before block 1 the reader's stream is the same in both runs, and at layer 0 a patch there moves nothing."""
    run = lab.denoise(PAIRS, at=resid_post(1, READER))
    verdict = judge(run.recovery(accuracy, wrong_layer=0), at_least(0.5))
    assert verdict.outcome == "INCONCLUSIVE"
    assert f"The same patch at layer 0 moves nothing in {len(PAIRS)} of {len(PAIRS)} pairs" in verdict.reason


def test_a_claim_that_beats_its_wrong_places_is_supported(lab):
    """The stream at the value's token differs after block 1 too, where head 1.0 has read it already."""
    run = lab.denoise(PAIRS, at=resid_post(1, READER))
    effect = run.recovery(accuracy, wrong_position=VALUE)
    (place,) = effect.measured.controls.elsewhere
    assert set(place.values) == {0.0} and min(place.distance) > 0
    verdict = judge(effect, at_least(0.5))
    assert verdict.outcome == "SUPPORTED"
    assert control_fields(effect.measured)["elsewhere"] == {"span('value')": 0.0}


def test_a_difference_subtracts_its_wrong_places(lab):
    first = lab.denoise(PAIRS, at=resid_post(1, READER)).recovery(accuracy, wrong_position=VALUE)
    second = lab.denoise(PAIRS, at=head(2, 1, READER)).recovery(accuracy, wrong_position=VALUE)
    (place,) = (first - second).measured.controls.elsewhere
    pairs = zip(*(e.measured.controls.elsewhere[0].values for e in (first, second)), strict=True)
    assert place.values == tuple(a - b for a, b in pairs)


@pytest.mark.parametrize(
    ("own", "wrong"), [(last(), index(-1)), (span("value"), every()), (index(2, 3), index(3)), (index(5), last())]
)
def test_a_wrong_position_that_overlaps_the_claims_own_is_refused(lab, own, wrong):
    with pytest.raises(PositionError, match=r"overlaps with the claim's own position, .* \d+ of 9 pairs"):
        lab.denoise(PAIRS[:9], at=resid_post(1, own)).recovery(accuracy, wrong_position=wrong)


def test_a_layer_that_the_model_lacks_is_refused(lab):
    with pytest.raises(SiteError, match="99"):
        lab.denoise(PAIRS[:9], at=resid_post(1, READER)).recovery(accuracy, wrong_layer=99)


def test_an_ablation_and_a_reasoner_have_wrong_places_too(ducks, twins):
    effect = ducks.ablate(twins, at=resid_post(6, thought(0)), by=zero).drop(accuracy, wrong_layer=11)
    alone = ducks.ablate(twins, at=resid_post(11, thought(0)), by=zero).drop(accuracy, placebo=False)
    assert effect.measured.controls.elsewhere[0].values == alone.measured.values
    run = ducks.denoise(twins, at=resid_post(6, thought(0)))
    denoised = run.recovery(accuracy, placebo=False, wrong_position=index(9)).measured
    there = ducks.denoise(twins, at=resid_post(6, index(9))).recovery(accuracy, placebo=False).measured
    assert denoised.controls.elsewhere[0].values == there.values != denoised.values


# left out by name


def test_a_waived_control_is_not_run_and_says_why(lab):
    """The placebo's eight draws, the self-patch of a chunk's first pair, and the positive control of a head."""
    pairs = PAIRS[:9]
    run = lab.denoise(pairs, at=head(1, 0, READER))
    run.recovery(logit_diff)
    everything, waived = patched_runs(lab), Waived("measured before")
    for name, saved in (("placebo", 8 * len(pairs)), ("self_patch", 1), ("positive", len(pairs))):
        other = Lab.load(planted.NAME)
        effect = other.denoise(pairs, at=head(1, 0, READER)).recovery(logit_diff, **{name: waived})
        assert patched_runs(other) == everything - saved
        assert getattr(effect.measured.controls, name) == waived
        assert control_fields(effect.measured)[name] == "waived: measured before"
        others = {"placebo", "self_patch", "positive"} - {name}
        assert not any(isinstance(getattr(effect.measured.controls, other), Waived) for other in others)


def test_waiving_changes_no_number(lab, tiny_llama):
    lab = Lab(tiny_llama.model, tiny_llama.tokenizer)
    run, waived = lab.denoise(tiny_llama.pairs[::2], at=head(1, 0, last())), Waived("measured before")
    one = run.recovery(logit_diff).measured
    bare = run.recovery(logit_diff, placebo=waived, self_patch=waived, positive=waived).measured
    assert bare.values == pytest.approx(one.values, abs=1e-6)
    assert bare.denominators == pytest.approx(one.denominators, abs=1e-6)
    assert bare.controls.distance == pytest.approx(one.controls.distance, abs=1e-5)
    # Rounding is measured all the same: without it a tie would not be seen to be one.
    assert math.isfinite(bare.rounding)
    assert isinstance(one.controls.self_patch, SelfPatch) and isinstance(one.controls.positive, PositiveControl)


def test_what_is_switched_off_without_a_word_cannot_be_supported_and_what_is_waived_can(lab):
    run = lab.denoise(PAIRS, at=resid_post(1, READER))
    assert judge(run.recovery(accuracy, placebo=False), at_least(0.5)).outcome == "INCONCLUSIVE"
    verdict = judge(run.recovery(accuracy, placebo=Waived("shown in another suite")), at_least(0.5))
    assert verdict.outcome == "SUPPORTED"
    assert "placebo waived: shown in another suite" in verdict.notes


def test_a_null_may_waive_its_positive_control_and_never_its_distance(lab):
    waived = Waived("the layer was seen to work")
    moved = lab.denoise(PAIRS, at=resid_post(1, VALUE)).recovery(accuracy, positive=waived)
    verdict = judge(moved, negligible(within=0.2))
    assert verdict.outcome == "SUPPORTED"
    assert "positive control waived: the layer was seen to work" in verdict.notes
    still = lab.denoise(PAIRS, at=resid_post(0, READER)).recovery(accuracy, positive=waived)
    assert "distance 0" in judge(still, negligible(within=0.2)).reason


def test_pairs_of_one_kind_only_have_wrong_places(tiny_llama):
    """Prompts of several lengths: the position is resolved in each."""
    lab = Lab(tiny_llama.model, tiny_llama.tokenizer)
    pairs = Pairs(list(tiny_llama.pairs), iid=True)
    effect = lab.denoise(pairs, at=resid_post(1, last())).recovery(logit_diff, wrong_position=index(-2))
    alone = lab.denoise(pairs, at=resid_post(1, index(-2))).recovery(logit_diff).measured
    assert effect.measured.controls.elsewhere[0].values == pytest.approx(alone.values, abs=1e-5)
