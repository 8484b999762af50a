"""The backend: the numbers of an effect, its controls, sweeps, and what it was measured on."""

import pytest
import torch

from causaltest import (
    Lab,
    Pair,
    Pairs,
    Waived,
    accuracy,
    at_least,
    embed,
    every,
    exact_match,
    index,
    judge,
    last,
    logit,
    logit_diff,
    mean,
    resid_post,
    span,
    thought,
    zero,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.settings import Settings
from causaltest.asking.sites import attn_out, mlp_out
from causaltest.effect import PositiveControl, SelfPatch
from causaltest.errors import ClaimError, MeasurementError, ModelError, SiteError
from causaltest.measuring import batch as batch_room
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.backend import ModelBackend
from causaltest.organisms import planted


@pytest.fixture(scope="module")
def lab(tiny_gpt2):
    return Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="tiny GPT-2")


# The numbers


def test_a_continuous_recovery_is_a_ratio_of_sums(lab, tiny_gpt2):
    numbers = lab.denoise(tiny_gpt2.pairs, at=resid_post(1, last())).recovery(logit_diff).measured
    clean, corrupt, patched = (numbers.references[arm] for arm in ("clean", "corrupt", "patched"))
    assert numbers.kind == "ratio"
    assert numbers.values == tuple(p - c for p, c in zip(patched, corrupt, strict=True))
    assert numbers.denominators == tuple(a - b for a, b in zip(clean, corrupt, strict=True))
    assert numbers.references["baseline"] == corrupt


def test_a_continuous_drop_is_what_the_clean_run_lost(lab, tiny_gpt2):
    numbers = lab.noise(tiny_gpt2.pairs, at=resid_post(1, last())).drop(logit_diff).measured
    clean, corrupt, patched = (numbers.references[arm] for arm in ("clean", "corrupt", "patched"))
    assert numbers.values == tuple(a - p for a, p in zip(clean, patched, strict=True))
    assert numbers.denominators == tuple(a - b for a, b in zip(clean, corrupt, strict=True))
    assert numbers.references["baseline"] == clean


def test_patching_the_whole_last_position_late_gives_the_other_run(lab, tiny_gpt2):
    """The last block's output at the last position decides the logits: recovery and drop are 1."""
    whole = pytest.approx(1, abs=1e-5)  # in batches of other shapes, so to rounding
    assert lab.denoise(tiny_gpt2.pairs, at=resid_post(2, last())).recovery(logit_diff).estimate == whole
    assert lab.noise(tiny_gpt2.pairs, at=resid_post(2, last())).drop(logit_diff).estimate == whole
    numbers = lab.denoise(tiny_gpt2.pairs, at=resid_post(2, last())).recovery(logit).measured
    assert numbers.references["patched"] == pytest.approx(numbers.references["clean"], abs=1e-5)


def test_a_change_is_against_the_same_run_unpatched(lab, tiny_gpt2):
    for verb, base in ((lab.denoise, "corrupt"), (lab.noise, "clean")):
        numbers = verb(tiny_gpt2.pairs, at=resid_post(1, last())).change(logit_diff).measured
        patched, unpatched = numbers.references["patched"], numbers.references[base]
        assert numbers.values == tuple(p - u for p, u in zip(patched, unpatched, strict=True))
        assert (numbers.kind, numbers.denominators) == ("continuous", None)


def test_a_binary_recovery_counts_clean_answers(ducks, twins):
    numbers = ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(accuracy).measured
    assert numbers.kind == "binary" and numbers.range == (0, 1)
    assert numbers.values == numbers.references["patched"] == (1.0,) * len(twins)


def test_a_binary_drop_counts_lost_answers(ducks, twins):
    assert ducks.noise(twins, at=resid_post(6, thought(0))).drop(accuracy).estimate == 1.0
    assert ducks.noise(twins, at=resid_post(7, span("number"))).drop(accuracy).estimate == 0.0


def test_generated_text_and_tokens_agree(ducks, twins):
    """exact_match of one token is accuracy, whatever is patched."""
    for at in (resid_post(6, thought(0)), resid_post(3, index(9)), resid_post(8, thought(3))):
        by_text = ducks.denoise(twins, at=at).recovery(exact_match(max_new_tokens=1)).measured
        assert by_text.values == ducks.denoise(twins, at=at).recovery(accuracy).measured.values


def test_a_range_clips_every_arm_and_bounds_the_effect(ducks, twins):
    free = ducks.denoise(twins, at=resid_post(6, thought(0))).change(logit_diff).measured
    held = ducks.denoise(twins, at=resid_post(6, thought(0))).change(logit_diff(range=(-3, 2))).measured
    assert max(free.references["clean"]) > 2 and min(free.references["corrupt"]) < -3
    for arm in ("clean", "corrupt", "patched"):
        assert held.references[arm] == tuple(min(max(v, -3), 2) for v in free.references[arm])
    assert held.range == (-5, 5)
    outside = [
        any(not -3 <= free.references[arm][i] <= 2 for arm in ("clean", "corrupt", "patched"))
        for i in range(len(free.values))
    ]
    assert held.clipped == sum(outside) / len(outside)
    assert free.clipped == 0


def test_a_pair_alone_is_measured(ducks, twins):
    assert ducks.denoise(twins[0], at=resid_post(6, thought(0))).recovery(accuracy).estimate == 1.0


def test_clusters_and_ids_are_those_of_the_pairs(ducks, twins, lab, tiny_gpt2):
    numbers = ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(accuracy).measured
    assert (numbers.pair_ids, numbers.clusters) == (twins.ids, twins.clusters)
    assert lab.denoise(tiny_gpt2.pairs, at=resid_post(1, last())).recovery(logit_diff).measured.clusters is None


# The controls


def tiny_and_neutral(control):
    """No more than rounding, of which there is less than a ten-thousandth in logits of about 20."""
    return isinstance(control, SelfPatch) and control.neutral and control.tolerance < 1e-4


def test_an_effect_carries_its_controls(ducks, twins):
    controls = ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(accuracy).measured.controls
    assert tiny_and_neutral(controls.self_patch)
    assert isinstance(controls.positive, PositiveControl)
    assert controls.positive.estimate == 1.0
    assert len(controls.placebo) == len(twins)
    assert all(0 <= p < 1 for p in controls.placebo)
    assert min(controls.distance) > 0


def test_a_placebo_is_neither_the_patch_nor_nothing(ducks, twins):
    """Put in the runs, it moves the logits, and not to where the patch moves them."""
    at = resid_post(6, thought(0))
    numbers = ducks.denoise(twins, at=at).change(logit_diff).measured
    sizes = [abs(placebo) for placebo in numbers.controls.placebo]
    # A placebo that points away from every other answer moves little, so not each of them need be large.
    assert sorted(sizes)[len(sizes) // 2] > 0.1
    assert all(abs(p - v) > 1e-3 for v, p in zip(numbers.values, numbers.controls.placebo, strict=True))


def test_a_placebo_that_is_switched_off_is_not_measured_and_one_that_is_waived_says_why(ducks, twins):
    run = ducks.denoise(twins, at=resid_post(6, thought(0)))
    off, waived = run.recovery(accuracy, placebo=False), run.recovery(accuracy, placebo=Waived("seen elsewhere"))
    assert off.measured.controls.placebo is None
    assert waived.measured.controls.placebo == Waived("seen elsewhere")
    assert tiny_and_neutral(off.measured.controls.self_patch)


def test_one_pair_has_no_placebo(ducks, twins):
    assert ducks.denoise(twins[0], at=resid_post(6, thought(0))).recovery(accuracy).measured.controls.placebo is None


def test_placebos_are_drawn_from_the_seed(twins):
    def placebo(seed):
        lab = Lab.load("organism:ducks", seed=seed)
        effect = lab.denoise(twins, at=resid_post(6, thought(0))).change(logit_diff)
        return effect.measured.controls.placebo

    assert placebo("1") == placebo("1")
    assert placebo("1") != placebo("2")


def test_an_ablation_has_a_placebo_too(ducks, twins):
    for by in (zero, mean):
        effect = ducks.ablate(twins, at=resid_post(6, thought(0)), by=by).change(logit_diff)
        controls = effect.measured.controls
        assert tiny_and_neutral(controls.self_patch)
        assert max(abs(p) for p in controls.placebo) > 1e-3
        assert effect.measured.values != controls.placebo


def test_the_positive_control_patches_everything_there(lab, tiny_gpt2):
    for site in (embed(index(0)), resid_post(0, index(0)), attn_out(2, index(0)), mlp_out(1, index(0))):
        positive = lab.denoise(tiny_gpt2.pairs, at=site).recovery(logit_diff).measured.controls.positive
        if site.component in ("embed", "resid_post"):
            assert positive.estimate == pytest.approx(1, abs=1e-4)
        else:
            assert "L0-2" in positive.what
        assert "everywhere" in positive.what


def test_the_distance_is_euclidean_and_zero_where_nothing_differs(ducks, twins, lab, tiny_gpt2, plain):
    assert set(ducks.denoise(twins, at=resid_post(5, thought(0))).recovery(accuracy).measured.controls.distance) == {0}
    pairs = tiny_gpt2.pairs[::2]
    controls = lab.denoise(pairs, at=resid_post(1, index(1, 4))).recovery(logit_diff).measured.controls
    for pair, distance in zip(pairs, controls.distance, strict=True):
        sides = [
            plain.forward(tiny_gpt2.model, tiny_gpt2.tokenizer(t)["input_ids"]) for t in (pair.clean, pair.corrupt)
        ]
        a, b = (s.at["resid_post", 1][[1, 4]] for s in sides)
        assert distance == pytest.approx(float((a - b).norm()), abs=1e-4)


def test_a_model_that_is_switched_to_train_mode_later_is_refused(new_gpt2, word_tokenizer, random_pairs):
    model = new_gpt2(resid_pdrop=0.3)
    lab = Lab(model, word_tokenizer())
    effect = lab.denoise(random_pairs(), at=resid_post(0, last())).recovery(logit_diff)
    assert effect.measured.controls.self_patch.neutral
    model.train()
    with pytest.raises(ModelError, match="train mode"):
        lab.denoise(random_pairs(), at=resid_post(1, last())).recovery(logit_diff)


def test_a_model_that_answers_differently_each_time_fails_its_self_patch(new_gpt2, word_tokenizer, random_pairs):
    model = new_gpt2()
    lab = Lab(model, word_tokenizer())
    site = resid_post(0, last())
    assert lab.denoise(random_pairs(), at=site).recovery(logit_diff).measured.controls.self_patch.neutral
    noise = model.transformer.h[2].register_forward_hook(lambda _, __, out: out + 0.1 * torch.randn_like(out))
    effect = lab.denoise(random_pairs(), at=site).change(logit_diff)
    noise.remove()
    assert not effect.measured.controls.self_patch.neutral
    assert judge(effect, at_least(0.1)).outcome == "INVALID"


def test_a_model_whose_weights_changed_is_refused(new_gpt2, word_tokenizer, random_pairs):
    """Its kept clean runs, and its kept effects, would be another model's."""
    model = new_gpt2()
    lab = Lab(model, word_tokenizer())
    asked = lab.denoise(random_pairs(), at=resid_post(0, last()))
    asked.recovery(logit_diff)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias.add_(1.0)
    with pytest.raises(ModelError, match=r"changed since it was loaded.*Make a new Lab"):
        asked.recovery(logit_diff)


def test_weights_that_were_changed_behind_torchs_back_are_refused(new_gpt2, word_tokenizer, random_pairs):
    """`weight.data` has a count of writes of its own."""
    model = new_gpt2()
    lab = Lab(model, word_tokenizer())
    lab.denoise(random_pairs(), at=resid_post(0, last())).recovery(logit_diff)
    model.transformer.h[2].mlp.c_proj.weight.data.zero_()
    with pytest.raises(ModelError, match=r"changed since it was loaded.*Make a new Lab"):
        lab.denoise(random_pairs(), at=resid_post(1, last())).recovery(logit_diff)


@pytest.mark.parametrize("what", ["a buffer", "a number", "a hook"])
def test_a_model_that_was_changed_elsewhere_than_in_its_weights_fails_its_self_patch(
    new_llama, word_tokenizer, random_pairs, what
):
    """Its kept clean runs are another model's, and a patched run differs from them by more than its patch."""
    model = new_llama()
    lab = Lab(model, word_tokenizer())
    assert (
        lab.denoise(random_pairs(), at=resid_post(0, index(1))).change(logit_diff).measured.controls.self_patch.neutral
    )
    if what == "a buffer":
        model.model.rotary_emb.inv_freq.mul_(3)
    elif what == "a number":
        model.model.layers[2].self_attn.scaling *= 4
    else:
        model.model.layers[2].mlp.register_forward_hook(lambda _, __, out: 2 * out)
    effect = lab.denoise(random_pairs(), at=resid_post(0, index(2))).change(logit_diff)
    assert not effect.measured.controls.self_patch.neutral
    assert judge(effect, at_least(0.1)).outcome == "INVALID"


def test_an_effect_without_partners_has_no_placebo(lab, tiny_gpt2):
    """Left as they are, pairs without a partner would let the effect beat its placebo for free."""
    site = resid_post(1, index(1))
    alone = lab.denoise(Pairs([tiny_gpt2.pairs[0]], iid=True), at=site).change(logit_diff)
    assert alone.measured.controls.placebo is None
    together = lab.denoise(tiny_gpt2.pairs[::2], at=site).change(logit_diff)
    assert isinstance(together.measured.controls.placebo, tuple)


def test_a_patch_of_the_whole_stream_says_that_it_is_its_own_control(lab, tiny_gpt2):
    pairs = tiny_gpt2.pairs[::2]
    whole = lab.denoise(pairs, at=resid_post(1, every())).recovery(logit_diff)
    assert whole.estimate == pytest.approx(1.0, abs=1e-4)
    assert isinstance(whole.measured.controls.positive, Waived)
    assert "by construction" in whole.measured.controls.positive.why
    part = lab.denoise(pairs, at=resid_post(1, index(0, 1))).recovery(logit_diff)
    assert isinstance(part.measured.controls.positive, PositiveControl)


def test_the_share_of_clipped_pairs_is_kept(tiny_gpt2, experiment):
    pairs = tiny_gpt2.pairs[::2]
    wide, narrow = (
        tiny_gpt2.backend.measure(
            experiment(pairs, "denoise", resid_post(1, index(1)), logit_diff(range=(-edge, edge)))
        ).measured
        for edge in (1e3, 1e-6)
    )
    assert (wide.clipped, narrow.clipped) == (0.0, 1.0)


def test_the_positive_control_of_an_ablation_asks_how_far_the_logit_went(tiny_gpt2, experiment):
    """Zeros everywhere bring a logit difference to about zero: a whole way, not half of one."""
    lab = Lab.load("organism:planted")
    effect = lab.ablate(planted.pairs(per_cluster=1), at=resid_post(2, last())).drop(logit_diff)
    assert effect.measured.controls.positive.estimate == pytest.approx(1.0)


# Sweeps


def test_a_sweep_gives_what_each_site_gives_alone(lab, tiny_gpt2):
    pairs = tiny_gpt2.pairs[::2]
    found = lab.sweep(pairs, at=resid_post(range(3), every())).recovery(logit_diff)
    assert found.shape == (3, 5)
    for layer in range(3):
        for at in range(5):
            alone = lab.denoise(pairs, at=resid_post(layer, index(at))).recovery(logit_diff)
            assert found.estimate[layer, at] == pytest.approx(alone.estimate)
            assert found.distance[layer, at] == pytest.approx(sum(alone.measured.controls.distance) / 3)
    assert found.estimate[2].tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-5)
    best = found.sites[int(found.estimate.argmax())]
    assert found.best == best


def test_a_sweep_of_every_position_needs_prompts_of_one_length(lab, tiny_gpt2):
    with pytest.raises(MeasurementError, match=r"The prompts have \[5, 7\] tokens"):
        lab.sweep(tiny_gpt2.pairs, at=resid_post(range(3), every())).recovery(logit_diff)


def test_a_sweep_measures_no_controls(tiny_gpt2):
    """A run per site and pair, and no more than shows rounding: one for the first pair of either length."""
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    lab = Lab(name="swept", backend=backend)
    lab.sweep(tiny_gpt2.pairs, at=resid_post(range(2), last())).recovery(logit_diff)
    assert backend.counted()["patched_runs"] == 2 * len(tiny_gpt2.pairs) + 2


def test_right_or_wrong_has_no_rounding_to_be_measured():
    lab, pairs = Lab(name="organism:planted"), planted.pairs(per_cluster=1)
    lab.sweep(pairs, at=resid_post(range(4), last())).recovery(accuracy)
    assert lab.counts["patched_runs"] == 4 * len(pairs)


def test_a_sweep_keeps_what_each_site_did_to_each_pair(lab, tiny_gpt2):
    pairs = tiny_gpt2.pairs[::2]
    found = lab.sweep(pairs, at=resid_post(range(3), every())).recovery(logit_diff)
    kept = found.per_pair
    assert kept.values.shape == (15, len(pairs))
    for cell, site in enumerate(found.sites):
        alone = lab.denoise(pairs, at=site).recovery(logit_diff).measured
        assert kept.values[cell] == pytest.approx(alone.values, abs=1e-5)
        assert (kept.pair_ids, kept.clusters) == (alone.pair_ids, alone.clusters)
        assert kept.denominators == pytest.approx(alone.denominators)
    # Behind the last block nobody reads another position: what is there is rounding, and known to be.
    assert abs(kept.values[10:14]).max() <= kept.rounding < 1e-4
    estimated = lab.sweep(pairs, at=resid_post(range(3), every()), method="attribution").recovery(logit_diff)
    assert estimated.per_pair is None


def test_the_planted_sites_survive_and_nothing_else_does():
    """Ninety places, of which seven carry the value."""
    lab, pairs = Lab.load("organism:planted"), planted.pairs(per_cluster=1)
    at = resid_post(range(4), index(*range(5)))
    same_length = Pairs([p for p in pairs if len(p.clean.split()) == len(pairs[0].clean.split())])
    for metric in (accuracy, logit_diff):
        found = lab.sweep(same_length, at=at).recovery(metric).survivors()
        true = {str(site) for site in found.sites}
        alone = {str(s) for s in found.sweep.sites if lab.denoise(same_length, at=s).recovery(metric).estimate == 1.0}
        assert true == alone and 0 < len(true) < 20


def test_a_sweep_of_all_layers_is_a_forward_per_length(tiny_gpt2, forwards):
    """Rows that begin together share a forward, which grows on the way up."""
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    lab = Lab(name="swept", backend=backend)
    lab.clean(tiny_gpt2.pairs)
    counted = forwards(tiny_gpt2.model.transformer)
    lab.sweep(tiny_gpt2.pairs, at=resid_post(range(3), last())).recovery(logit_diff)
    assert len(counted) == 2  # prompts of five and of seven tokens


# What it was measured on


def test_provenance_says_what_was_measured(ducks, twins):
    effect = ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(accuracy)
    said = effect.measured.provenance
    assert said["model"] == "organism:ducks"
    assert (said["dtype"], said["device"]) == ("float32", "cpu")
    assert said["torch"] == torch.__version__
    assert len(said["weights"]) == 64
    assert said["experiment"] == effect.question.digest


def test_a_neutral_run_says_so_and_a_patch_that_moves_does_not(ducks, twins):
    assert ducks.denoise(twins, at=resid_post(5, thought(0))).is_neutral
    assert not ducks.denoise(twins, at=resid_post(6, thought(0))).is_neutral


def test_counts_add_up(tiny_gpt2, forwards):
    """All but the forwards that prove, once, which shortcuts hold."""
    backend = ModelBackend(wrap(tiny_gpt2.model, tiny_gpt2.tokenizer, "counted"))
    lab = Lab(name="counted", backend=backend)
    lab.clean(tiny_gpt2.pairs)
    before = lab.counts["forwards"]
    counted = forwards(tiny_gpt2.model.transformer)
    lab.denoise(tiny_gpt2.pairs, at=resid_post(1, last())).recovery(logit_diff)
    lab.ablate(tiny_gpt2.pairs, at=resid_post(1, last())).drop(logit_diff)
    assert lab.counts["forwards"] - before == len(counted)
    assert lab.counts["reference_runs"] == 2 * len(tiny_gpt2.pairs)
    # The patch, unpatched, and eight placebos; twice. Everywhere, where it does not give the other run. And the
    # patch of its own for the first pair of either length.
    assert lab.counts["patched_runs"] == (2 * 10 + 1) * len(tiny_gpt2.pairs) + 2 * 2


def test_the_self_patch_is_compared_within_one_forward(tiny_gpt2, planned):
    """Bits depend on batch shapes, so the run unpatched is computed again as a row beside the patched ones."""
    asked = Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(1, last()),)), "change", logit_diff)
    batch = planned(tiny_gpt2.backend.loaded, [asked])
    (study,) = batch.studies
    waves = [wave for planned in batch.plan() for wave in planned.waves]
    assert len(waves) == 2  # two lengths
    together = [w for w in waves if {study.own, study.unpatched} <= set(w.rows.arm.tolist())]
    assert len(together) == 2
    for wave in together:
        own, unpatched = (wave.rows.at((wave.rows.arm == arm).nonzero()[0]) for arm in (study.own, study.unpatched))
        assert own.pair.tolist() == [0] and unpatched.pair.tolist() == [0, 1, 2]
        for name in ("start", "join"):
            assert getattr(own, name).tolist() == getattr(unpatched, name).tolist()[:1]


def test_experiments_that_are_announced_are_planned_together(tiny_gpt2, forwards):
    """The first that is asked for is measured with all others on its pairs; each is asked for once."""
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    asked = [
        Experiment(Patching("t", way, tiny_gpt2.pairs, (resid_post(layer, last()),)), "change", logit_diff)
        for layer in range(3)
        for way in ("denoise", "noise")
    ]
    other = Experiment(Patching("t", "noise", tiny_gpt2.pairs[:2], (resid_post(1, last()),)), "change", logit_diff)
    backend.expect([*asked, other])
    first = backend.measure(asked[3])
    counted = forwards(tiny_gpt2.model.transformer)
    for one in asked:
        assert backend.measure(one).question is one
    assert backend.measure(asked[3]) is first
    assert counted == []
    backend.measure(other)
    assert counted != []


def test_a_plan_is_the_same_whichever_of_its_experiments_is_asked_for_first(tiny_gpt2):
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    asked = [
        Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(layer, last()),)), "change", logit_diff)
        for layer in range(3)
    ]
    backend.expect(asked[:2])
    assert backend._company(asked[0]) == backend._company(asked[1]) == asked[:2]
    # One that nobody announced is planned alone, or it would change the shapes of the others.
    assert backend._company(asked[2]) == [asked[2]]


def test_what_is_measured_together_has_no_other_company_and_is_not_remembered(tiny_gpt2, monkeypatch):
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    plans, effects_of = [], ModelBackend._effects_of
    monkeypatch.setattr(ModelBackend, "_effects_of", lambda s, plan: plans.append(plan) or effects_of(s, plan))
    asked = [
        Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(layer, last()),)), "change", logit_diff)
        for layer in range(3)
    ]
    backend.expect(asked)
    cost = backend.cost_of(asked[1:])
    assert cost.experiments == 2 and backend.cost().experiments == 3
    given = [backend.together(each) for each in (asked[:2], asked[1::-1])]
    assert given[0].keys() == given[1].keys() == {one.digest for one in asked[:2]}
    # In an order that nobody's asking changes: it decides which rows share a forward.
    assert [plan.experiments for plan in plans] == [tuple(sorted(asked[:2], key=lambda e: e.digest))] * 2
    backend.measure(asked[0])
    assert len(plans[-1].experiments) == 3


def test_an_experiment_that_cannot_be_planned_fails_alone(tiny_gpt2):
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    good, bad = (
        Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(layer, last()),)), "change", logit_diff)
        for layer in (1, 7)
    )
    backend.expect([good, bad])
    assert backend.measure(good).measured.values
    for _ in range(2):
        with pytest.raises(SiteError, match="no layer 7"):
            backend.measure(bad)


def test_a_metric_that_cannot_be_read_fails_alone(tiny_gpt2):
    """The runs are shared; a metric that lacks what it reads spoils no other."""
    pairs = Pairs([Pair(clean="the cat", corrupt="the dog", answer="one two", corrupt_answer="three")], iid=True)
    backend = ModelBackend(tiny_gpt2.backend.loaded)
    good, bad = (
        Experiment(Patching("t", "denoise", pairs, (resid_post(1, last()),)), "change", metric)
        for metric in (logit_diff(first_token=True), logit_diff)
    )
    backend.expect([good, bad])
    with pytest.raises(ClaimError, match="an answer has 2 tokens"):
        backend.measure(bad)
    assert len(backend.measure(good).measured.values) == 1


# Out of memory


class Full(Exception):
    """The test's own, to be sure that nothing else is caught."""


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")])
def test_out_of_memory_goes_on_with_half_the_budget_and_says_so(tiny_gpt2, monkeypatch, error):
    asked = Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(1, last()),)), "change", logit_diff)
    backend = ModelBackend(tiny_gpt2.backend.loaded, Settings(memory=1 << 24))
    real, failing = batch_room.run_wave, [error, error]

    def scarce(*given, **more):
        if failing:
            raise failing.pop()
        return real(*given, **more)

    monkeypatch.setattr(batch_room, "run_wave", scarce)
    numbers = backend.measure(asked).measured
    assert backend.references.budget.bytes == 1 << 22
    assert "out of memory: measured within 4194304 bytes in place of 16777216" in numbers.provenance["memory"]
    assert numbers.values == pytest.approx(tiny_gpt2.backend.measure(asked).measured.values, abs=1e-5)
    assert "memory" not in tiny_gpt2.backend.measure(asked).measured.provenance


@pytest.mark.parametrize(
    ("error", "memory"), [(Full("other"), 1 << 24), (RuntimeError("shape"), 1 << 24), (MemoryError(), 1 << 20)]
)
def test_other_errors_and_too_little_memory_are_raised(tiny_gpt2, monkeypatch, error, memory):
    asked = Experiment(Patching("t", "denoise", tiny_gpt2.pairs, (resid_post(1, last()),)), "change", logit_diff)
    backend = ModelBackend(tiny_gpt2.backend.loaded, Settings(memory=memory))
    calls = []

    def refuse(*given, **more):
        calls.append(1)
        raise error

    monkeypatch.setattr(batch_room, "run_wave", refuse)
    with pytest.raises(type(error)):
        backend.measure(asked)
    assert calls == [1]


def test_each_direction_patches_its_own_side(ducks, twins):
    """Patching everything everywhere gives the other run whole, from either side."""
    from causaltest.asking.positions import Position

    everywhere = resid_post(0, Position("everywhere"))
    into_corrupt = ducks.denoise(twins, at=everywhere).change(logit_diff).measured.references
    assert into_corrupt["patched"] == into_corrupt["clean"]
    into_clean = ducks.noise(twins, at=everywhere).change(logit_diff).measured.references
    assert into_clean["patched"] == into_clean["corrupt"]


def test_an_experiment_without_controls_has_none(ducks, twins):
    asked = Experiment(
        Patching("organism:ducks", "denoise", twins, (resid_post(6, thought(0)),)), "recovery", accuracy, controls=False
    )
    controls = ducks.backend.measure(asked).measured.controls
    assert (controls.self_patch, controls.placebo, controls.positive) == (None, None, None)


def test_pairs_of_one_cluster_still_get_a_placebo(lab):
    pairs = Pairs(
        [
            Pair(clean="the cat sat", corrupt="the dog sat", answer="one", corrupt_answer="two", cluster="all"),
            Pair(clean="a hen ran", corrupt="a fox ran", answer="three", corrupt_answer="four", cluster="all"),
        ]
    )
    controls = lab.denoise(pairs, at=resid_post(0, index(1))).change(logit_diff).measured.controls
    assert all(abs(p) > 0 for p in controls.placebo)


def test_what_was_patched_and_how_is_recorded(lab, tiny_gpt2):
    told = lab.ablate(tiny_gpt2.pairs, at=resid_post(1, last()), by=zero).drop(logit_diff).measured.provenance
    assert told["patched"] == str(resid_post(1, last())) and told["by"] == "zero"
    assert told["effect"] == "total, by all paths" and told["attention"] in ("eager", "sdpa")
    assert told["torch"] == torch.__version__ and told["causaltest"]
