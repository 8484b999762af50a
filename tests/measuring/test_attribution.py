"""Estimates by gradients against finite differences of the plain reference, and patched runs where both agree."""

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GraniteConfig, GraniteForCausalLM

from causaltest import (
    Effect,
    Lab,
    Pairs,
    accuracy,
    at_least,
    attn_out,
    embed,
    every,
    exact_match,
    head,
    index,
    judge,
    k,
    last,
    logit,
    logit_diff,
    mean,
    mlp_out,
    neuron,
    q,
    resid_mid,
    resid_post,
    resid_pre,
    span,
    thought,
    v,
    zero,
)
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.interventions import replace
from causaltest.asking.methods import Method
from causaltest.asking.settings import Settings
from causaltest.errors import ClaimError, JudgementError, MeasurementError, NoTruthValue
from causaltest.measuring import attribution
from causaltest.measuring.backend import open_backend
from causaltest.measuring.budget import Budget
from causaltest.organisms import planted

FAMILIES = ("tiny_gpt2", "tiny_llama", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox")
SITES = {
    "embed": embed(index(2)),
    "resid_pre": resid_pre(1, index(2)),
    "resid_mid": resid_mid(1, index(2)),
    "resid_post": resid_post(1, index(2)),
    "last resid_post": resid_post(2, last()),
    "attn_out": attn_out(1, index(2)),
    "mlp_out": mlp_out(1, index(2)),
    "head": head(1, 2, index(2)),
    "q": q(1, 2, last()),
    "k": k(1, 1, index(2)),
    "v": v(1, 1, index(2)),
    "neuron": neuron(1, 5, index(2)),
}
TOGETHER = {
    "positions": [resid_post(1, index(1, 3))],
    "heads": [head(1, (0, 2), index(2, 4))],
    "layers of the stream": [resid_post((0, 1), index(2))],
    "the stream and what reads it": [resid_pre(1, index(1, 2)), mlp_out(1, index(2)), head(2, 1, last())],
    "attention and the stream behind it": [attn_out(1, index(2)), resid_mid(1, index(2)), resid_post(0, index(1, 2))],
    "queries and what they make": [q(1, (0, 1), last()), head(1, 1, last())],
}
STEP = 1e-4
ROUGH_STEP = 2e-2
"""For families whose norms compute in single precision whatever they are given."""
ROUGH = ("tiny_llama", "tiny_gemma2")


def near(values, family):
    return pytest.approx(values, rel=2e-3, abs=2e-4) if family in ROUGH else pytest.approx(values, rel=1e-5, abs=1e-7)


def in_double(tiny):
    """The tiny model in double precision, where a finite difference is a derivative to seven digits."""
    model = type(tiny.model)(tiny.model.config)
    model.load_state_dict(tiny.model.state_dict())
    model = model.double().eval()
    if getattr(tiny.model.config, "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")
    return tiny._replace(model=model, backend=open_backend("in double", model, tiny.tokenizer))


@pytest.fixture(scope="module")
def doubled(request):
    made = {}

    def get(family):
        if family not in made:
            made[family] = in_double(request.getfixturevalue(family))
        return made[family]

    return get


def estimate(backend, pairs, direction, sites, metric=logit_diff, quantity="change", by=replace, method=None):
    sites = tuple(sites) if isinstance(sites, list | tuple) else (sites,)
    patching = Patching("test", direction, pairs, sites, by, method or Method("attribution"))
    return backend.measure(Experiment(patching, quantity, metric, controls=False, placebo_draws=0))


def spots(site):
    """(layer, part, position) of a site with index positions; `last()` is the fifth token here."""
    at = (4,) if site.position.kind == "last" else site.position.numbers
    return [(layer, part, p) for layer in site.layers or (0,) for part in site.parts or (None,) for p in at]


def derivative(metric, step):
    """At 0, from four points; the error is of the fourth order."""
    inner, outer = (metric(t) - metric(-t) for t in (step, 2 * step))
    return (8 * inner - outer) / (12 * step)


def slope(plain, tiny, pair, direction, sites, kind="replace", means=None):
    """d metric / d t at t = 0, where every site holds own + t (other - own)."""
    sides = [tiny.tokenizer(getattr(pair, side))["input_ids"] for side in ("clean", "corrupt")]
    own_ids, other_ids = sides[::-1] if direction == "denoise" else sides
    own, other = (plain.forward(tiny.model, ids) for ids in (own_ids, other_ids))
    right, wrong = (tiny.tokenizer.convert_tokens_to_ids(a) for a in (pair.answer, pair.corrupt_answer))

    def metric(t):
        changes = []
        for site in sites:
            for layer, part, p in spots(site):
                here = own.vector(site.component, layer, p, part)
                there = {"replace": other.vector(site.component, layer, p, part), "zero": torch.zeros_like(here)}
                aim = means[layer, part, p] if kind == "mean" else there[kind]
                changes.append(plain.Change(site.component, layer, p, here + t * (aim - here), part))
        logits = plain.forward(tiny.model, own_ids, changes).logits[-1]
        return float(logits[right] - logits[wrong])

    return derivative(metric, STEP if tiny.model.config.model_type.startswith("gpt") else ROUGH_STEP)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", SITES)
def test_every_component_equals_a_finite_difference(plain, doubled, family, name):
    if family == "tiny_neox" and name == "resid_mid":
        pytest.skip("parallel blocks have none")
    tiny, site = doubled(family), SITES[name]
    pairs = tiny.pairs[::2]  # five tokens each
    found = estimate(tiny.backend, pairs, "denoise", site).measured.values
    wanted = [slope(plain, tiny, pair, "denoise", [site]) for pair in pairs]
    assert found == near(wanted, family)
    assert max(map(abs, wanted)) > 1e-3


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_gemma2"])
@pytest.mark.parametrize("name", TOGETHER)
def test_sites_patched_together_hide_what_lies_before_them(plain, doubled, family, name):
    """A patch fixes its vectors, so that what other patches do to them is undone; a plain sum would count it."""
    tiny, sites = doubled(family), TOGETHER[name]
    pairs = tiny.pairs[::2]
    found = estimate(tiny.backend, pairs, "noise", sites).measured.values
    wanted = [slope(plain, tiny, pair, "noise", sites) for pair in pairs]
    assert found == near(wanted, family)


def test_the_sites_of_the_test_above_would_not_just_add_up(doubled):
    tiny = doubled("tiny_gpt2")
    pairs = tiny.pairs[::2]
    for name in ("layers of the stream", "the stream and what reads it", "attention and the stream behind it"):
        sites = [dataclasses.replace(s, layers=(layer,)) for s in TOGETHER[name] for layer in s.layers]
        whole = estimate(tiny.backend, pairs, "noise", sites).estimate
        assert whole != pytest.approx(sum(estimate(tiny.backend, pairs, "noise", s).estimate for s in sites), rel=1e-3)


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_ablations_equal_a_finite_difference(plain, doubled, kind):
    tiny, site = doubled("tiny_llama"), head(1, 2, index(2))
    pairs = tiny.pairs[::2]
    vectors = [plain.forward(tiny.model, tiny.tokenizer(p.clean)["input_ids"]).vector("head", 1, 2, 2) for p in pairs]
    means = {(1, 2, 2): torch.stack(vectors).mean(0)}
    found = estimate(tiny.backend, pairs, "ablate", site, by={"zero": zero, "mean": mean}[kind]).measured.values
    wanted = [slope(plain, tiny, pair, "ablate", [site], kind, means) for pair in pairs]
    assert found == near(wanted, "tiny_llama")


def test_a_site_named_twice_moves_once(doubled):
    tiny = doubled("tiny_gpt2")
    pairs = tiny.pairs[::2]
    once = estimate(tiny.backend, pairs, "denoise", resid_post(1, index(2, 4))).measured.values
    twice = [resid_post(1, index(2, 4)), resid_post(1, index(-1, 2)), resid_pre(2, last())]
    assert estimate(tiny.backend, pairs, "denoise", twice).measured.values == pytest.approx(once, rel=1e-12)


# On a model that is linear in the site the estimate is what the patched run gives.

LINEAR = [s for s in (*planted.on_path(), *planted.decoys()) if str(s)[:7] not in ("embed @", "resid_p", "mlp_out")]
STREAM = [s for s in (*planted.on_path(), *planted.decoys()) if s.component == "resid_post"]


@pytest.fixture(scope="module")
def organism():
    return Lab.load("organism:planted"), planted.pairs(per_cluster=1)


@pytest.mark.parametrize("site", [*LINEAR, *STREAM, resid_pre(1, span("value"))], ids=str)
@pytest.mark.parametrize("method", ["attribution", "integrated_gradients"])
def test_the_planted_truth_is_found_where_the_model_is_linear(organism, site, method):
    lab, pairs = organism
    found = lab.denoise(pairs, at=site, method=method).recovery(logit_diff)
    wanted = lab.denoise(pairs, at=site).recovery(logit_diff, placebo=False)
    assert found.estimate == pytest.approx(wanted.estimate, abs=1e-5)
    assert wanted.estimate in (0.0, 1.0)


def test_what_the_gradient_does_not_see_is_seen_in_steps(organism):
    """Block 0 copies through a ReLU that is shut for the value that is not there: its slope there is zero."""
    lab, pairs = organism
    site = embed(span("value"))
    blind = lab.denoise(pairs, at=site, method="attribution").recovery(logit_diff).estimate
    stepped = lab.denoise(pairs, at=site, method="integrated_gradients").recovery(logit_diff).estimate
    assert blind == pytest.approx(0.5, abs=1e-5)
    assert stepped == pytest.approx(1.0, abs=1e-5)


# Integrated gradients.


def one_word_apart(pairs, at=2):
    """Pairs whose prompts differ in one word, so that the way of its embedding is straight."""
    out = []
    for pair in pairs:
        words = pair.clean.split()
        words[at] = next(w for w in ("cat", "red", "two", "big") if w not in (words[at], pair.corrupt.split()[at]))
        out.append(dataclasses.replace(pair, corrupt=" ".join(words)))
    return Pairs(out, iid=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["whole input", "one word"])
def test_integrated_gradients_converge_where_the_path_is_straight(doubled, family, name):
    """Sundararajan et al., arXiv 1703.01365: the gradients along the way add up to what is at its end."""
    tiny = doubled(family)
    pairs, site = tiny.pairs[::2], embed(every())
    if name == "one word":
        pairs, site = one_word_apart(pairs), embed(index(2))
    patched = tiny.backend.measure(
        Experiment(Patching("test", "denoise", pairs, (site,)), "change", logit_diff, controls=False)
    ).measured.values
    off = []
    for steps in (1, 16, 256):
        found = estimate(tiny.backend, pairs, "denoise", site, method=Method("integrated_gradients", steps))
        off.append(max(abs(a - b) for a, b in zip(found.measured.values, patched, strict=True)))
    largest = max(map(abs, patched))
    first_order = estimate(tiny.backend, pairs, "denoise", site).measured.values
    assert max(abs(a - b) for a, b in zip(first_order, patched, strict=True)) > 0.05 * largest
    assert off[2] < 1e-3 * largest
    assert off[2] < off[0]


def test_steps_are_the_middles_between_the_two_inputs(doubled, plain):
    """Two steps of one run, by hand: the slopes a quarter and three quarters of the way."""
    tiny = doubled("tiny_gpt2")
    pair, site = tiny.pairs[0], mlp_out(1, index(2))
    word = tiny.tokenizer.convert_tokens_to_ids
    table = tiny.model.transformer.wte.weight.detach()
    own, other = (table[torch.tensor(tiny.tokenizer(t)["input_ids"])] for t in (pair.corrupt, pair.clean))
    ends = [plain.forward(tiny.model, tiny.tokenizer(t)["input_ids"]) for t in (pair.corrupt, pair.clean)]
    away = ends[1].vector("mlp_out", 1, 2) - ends[0].vector("mlp_out", 1, 2)

    def metric(share, t):
        inputs = own + share * (other - own)
        changes = [plain.Change("embed", 0, p, inputs[p]) for p in range(len(inputs))]
        ids = tiny.tokenizer(pair.corrupt)["input_ids"]
        here = plain.forward(tiny.model, ids, changes).vector("mlp_out", 1, 2)
        logits = plain.forward(tiny.model, ids, [*changes, plain.Change("mlp_out", 1, 2, here + t * away)]).logits[-1]
        return float(logits[word(pair.answer)] - logits[word(pair.corrupt_answer)])

    slopes = [(metric(share, STEP) - metric(share, -STEP)) / (2 * STEP) for share in (0.25, 0.75)]
    method = Method("integrated_gradients", 2)
    found = estimate(tiny.backend, tiny.pairs[:1], "denoise", site, method=method).estimate
    assert found == pytest.approx(sum(slopes) / 2, rel=1e-5)
    assert slopes[0] != pytest.approx(slopes[1], rel=1e-3)


# Invariants.


@given(positions=st.lists(st.integers(0, 4), min_size=2, max_size=4, unique=True), layer=st.integers(0, 2))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_estimates_add_over_positions_and_metrics(doubled, positions, layer):
    tiny = doubled("tiny_llama")
    pairs = tiny.pairs[::2]
    whole = estimate(tiny.backend, pairs, "denoise", mlp_out(layer, index(*positions))).estimate
    parts = [estimate(tiny.backend, pairs, "denoise", mlp_out(layer, index(p))).estimate for p in positions]
    assert whole == pytest.approx(sum(parts), rel=1e-5, abs=1e-6)
    swapped = Pairs([dataclasses.replace(p, answer=p.corrupt_answer, corrupt_answer=p.answer) for p in pairs], iid=True)
    right, wrong = (
        estimate(tiny.backend, some, "denoise", mlp_out(layer, index(*positions)), logit).estimate
        for some in (pairs, swapped)
    )
    assert whole == pytest.approx(right - wrong, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama", "tiny_neox"])
def test_heads_add_up_to_what_their_attention_adds(doubled, family):
    """The output projection is linear: the estimates of all heads are that of attn_out."""
    tiny = doubled(family)
    pairs = tiny.pairs[::2]
    heads = sum(estimate(tiny.backend, pairs, "noise", head(1, n, index(2))).estimate for n in range(4))
    assert heads == pytest.approx(estimate(tiny.backend, pairs, "noise", attn_out(1, index(2))).estimate, rel=1e-5)


def test_a_component_that_is_scaled_before_it_is_added_keeps_its_gradient(word_tokenizer, random_pairs):
    """Granite: what attention adds is a multiple of what its module gives."""
    torch.manual_seed(9)
    size = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "initializer_range": 0.3}
    model = GraniteForCausalLM(GraniteConfig(**size, **heads, **tokens, residual_multiplier=0.25)).eval()
    backend, pairs = open_backend("Granite", model, word_tokenizer()), random_pairs()[::2]
    assert backend.loaded.blocks[0].taps["attn_out"].scale == 0.25
    whole = estimate(backend, pairs, "noise", attn_out(0, index(2))).estimate
    assert abs(whole) > 1e-3
    heads = sum(estimate(backend, pairs, "noise", head(0, n, index(2))).estimate for n in range(4))
    assert heads == pytest.approx(whole, rel=1e-3)
    neurons = estimate(backend, pairs, "noise", neuron(0, range(24), index(2))).estimate
    assert neurons == pytest.approx(estimate(backend, pairs, "noise", mlp_out(0, index(2))).estimate, rel=1e-3)


@pytest.mark.parametrize("factor", [-2.0, 0.25])
def test_an_estimate_scales_with_the_readout(new_gpt2, word_tokenizer, random_pairs, factor):
    pairs, found = random_pairs()[::2], []
    for by in (1.0, factor):
        model = new_gpt2(tie_word_embeddings=False).double()
        with torch.no_grad():
            model.lm_head.weight.mul_(by)
        backend = open_backend("scaled", model, word_tokenizer())
        found.append(estimate(backend, pairs, "denoise", resid_mid(1, index(2))).estimate)
    assert found[1] == pytest.approx(factor * found[0], rel=1e-9)


def test_recovery_and_drop_are_read_as_those_of_patched_runs(doubled):
    tiny = doubled("tiny_gpt2")
    pairs, site = tiny.pairs[::2], resid_post(1, index(2))
    change = estimate(tiny.backend, pairs, "denoise", site).measured
    recovery = estimate(tiny.backend, pairs, "denoise", site, quantity="recovery").measured
    assert recovery.values == pytest.approx(change.values)
    clean, corrupt = (recovery.references[side] for side in ("clean", "corrupt"))
    assert recovery.denominators == pytest.approx([a - b for a, b in zip(clean, corrupt, strict=True)])
    change = estimate(tiny.backend, pairs, "noise", site).measured
    assert estimate(tiny.backend, pairs, "noise", site, quantity="drop").measured.values == pytest.approx(
        [-value for value in change.values]
    )


def test_a_range_clips_what_the_patched_run_is_estimated_to_give(doubled):
    tiny = doubled("tiny_gpt2")
    numbers = estimate(tiny.backend, tiny.pairs[::2], "denoise", embed(every()), logit_diff(range=(-0.1, 0.1))).measured
    assert set(numbers.references["patched"]) <= {-0.1, 0.1} or max(map(abs, numbers.references["patched"])) <= 0.1
    assert numbers.clipped > 0


# Reasoners: a gradient goes back through the thoughts.


@pytest.fixture(scope="module")
def ducks64():
    return Lab.load("organism:ducks", settings=Settings(dtype="float64"))


@pytest.mark.parametrize(
    "sites",
    [
        [resid_post(6, thought(0))],
        [embed(thought(1))],
        [head(5, 1, thought(2))],
        [resid_post(5, index(9))],
        [mlp_out(7, last())],
        [resid_post((3, 6), thought(0, 1))],
        [embed(thought(1)), embed(thought(2))],
    ],
    ids=lambda sites: " + ".join(map(str, sites)),
)
def test_a_gradient_goes_through_thoughts(plain, ducks64, twins, sites):
    pairs = twins[:2]
    formulas = reasoner(plain)
    found = ducks64.denoise(pairs, at=sites, method="attribution").change(logit_diff).measured.values
    for pair, value in zip(pairs, found, strict=True):
        assert value == pytest.approx(slope_of_ducks(plain, formulas, pair, sites), rel=1e-4, abs=1e-6)


_made = {}


def reasoner(plain):
    if "ducks" not in _made:
        from pathlib import Path

        import causaltest.organisms.ducks as organism

        ducks = plain.Ducks(Path(organism.__file__).parent / "checkpoint")
        ducks.weights = {name: weight.double() for name, weight in ducks.weights.items()}
        _made["ducks"] = ducks
    return _made["ducks"]


def slope_of_ducks(plain, ducks, pair, sites):
    prompt = len(ducks.ids(pair.clean))
    own, other = (ducks.generate(text, 1)[2] for text in (pair.corrupt, pair.clean))
    right, wrong = (ducks.words[a.strip()] for a in (pair.answer, pair.corrupt_answer))

    def metric(t):
        changes = []
        for site in sites:
            numbers = site.position.numbers
            at = {"thought": [prompt + 1 + n for n in numbers], "index": numbers, "last": [prompt - 1]}
            for layer in site.layers or (0,):
                for part in site.parts or (None,):
                    for p in at[site.position.kind]:
                        here, there = (run.vector(site.component, layer, p, part) for run in (own, other))
                        changes.append(plain.Change(site.component, layer, p, here + t * (there - here), part))
        logits = ducks.generate(pair.corrupt, 1, changes)[1][0]
        return float(logits[right] - logits[wrong])

    return derivative(metric, STEP)


# What it takes.


def test_one_backward_pass_serves_a_whole_sweep(tiny_gpt2, forwards):
    """The unpatched runs, the same once more as a check, and once with a gradient: whatever the number of sites."""
    backend = open_backend("counted", tiny_gpt2.model, tiny_gpt2.tokenizer)
    lab = Lab(name="counted", backend=backend)
    pairs = tiny_gpt2.pairs[::2]
    lab.sweep(pairs, at=resid_post(0, last()), method="attribution").change(logit_diff)
    counted = forwards(tiny_gpt2.model.transformer.h[0])
    lab.sweep(pairs, at=resid_post(range(3), every()), method="attribution").change(logit_diff)
    assert len(counted) == 2
    lab.sweep(pairs, at=head(range(3), range(4), every()), method="attribution").change(logit_diff)
    assert len(counted) == 2 + 1 + 2  # and heads have to be recorded
    lab.sweep(pairs, at=resid_mid(range(3), every()), method="integrated_gradients", steps=7).change(logit_diff)
    assert len(counted) == 5 + 1 + 8
    assert lab.counts["patched_runs"] == 0


def test_a_small_budget_gives_the_same_in_more_passes(doubled, forwards, monkeypatch):
    tiny = doubled("tiny_gpt2")
    pairs, sites = tiny.pairs[::2], [resid_post((0, 1), index(2)), head(2, 1, last())]
    ample = estimate(tiny.backend, pairs, "noise", sites).measured.values
    assert Budget(40_000).graphs(tiny.backend.loaded, 5) == 1 < Budget().graphs(tiny.backend.loaded, 5)
    monkeypatch.setattr(Budget, "graphs", lambda *_: 2)  # three pairs in a chunk, two at a time
    tight = open_backend("tight", tiny.model, tiny.tokenizer)
    tight.prove(pairs)
    counted = forwards(tiny.model.transformer.h[0])
    assert estimate(tight, pairs, "noise", sites).measured.values == pytest.approx(ample, rel=1e-9)
    assert len(counted) == 1 + 2 * 2


def test_nothing_of_the_model_is_touched(tiny_gpt2):
    model = tiny_gpt2.model
    with torch.no_grad():
        Lab(model, tiny_gpt2.tokenizer).denoise(tiny_gpt2.pairs, at=resid_post(1, last()), method="attribution").change(
            logit_diff
        )
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_run_that_differs_under_a_gradient_is_refused(tiny_gpt2, monkeypatch):
    prompts = attribution.Path.prompts
    monkeypatch.setattr(attribution.Path, "prompts", lambda self, share: prompts(self, share).roll(1, dims=1))
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    with pytest.raises(MeasurementError, match="the gradient would be another run's"):
        lab.denoise(tiny_gpt2.pairs, at=resid_post(1, last()), method="attribution").change(logit_diff)


# How it is asked, and that it is never judged.


def test_a_sweep_screens_and_a_patched_run_confirms(organism):
    lab, pairs = organism
    screened = lab.sweep(pairs, at=head(range(4), range(2), last()), method="attribution").recovery(logit_diff)
    effect = lab.denoise(pairs, at=screened.best).recovery(logit_diff)
    assert screened.best == head(1, 0, last()) and effect.estimate == 1.0
    assert screened.estimate.max() == pytest.approx(1.0, abs=1e-5)
    assert screened.estimated_by == "attribution"
    assert "estimated by attribution, for screening only" in str(screened)
    measured = lab.sweep(pairs, at=head(range(4), range(2), last())).recovery(logit_diff)
    assert measured.estimated_by is None and measured.estimate == pytest.approx(screened.estimate, abs=1e-5)


def test_an_estimate_is_never_judged(organism):
    lab, pairs = organism
    effect = lab.denoise(pairs, at=head(1, 0, last()), method="attribution").recovery(logit_diff)
    verdict = judge(effect, at_least(0.5))
    assert verdict.outcome == "INVALID" and "estimate by attribution, for screening only" in verdict.reason
    with pytest.raises(NoTruthValue, match="for screening only"):
        assert effect > 0.5
    with pytest.raises(JudgementError, match="for screening only"):
        _ = effect.is_neutral
    assert "for screening only" in repr(effect) and "estimated by attribution" in effect.question.summary


def test_an_estimate_and_a_measurement_are_not_subtracted(organism):
    lab, pairs = organism
    site = head(1, 0, last())
    first = lab.denoise(pairs, at=site, method="attribution").recovery(logit_diff)
    for other in (
        lab.denoise(pairs, at=site).recovery(logit_diff, placebo=False),
        lab.denoise(pairs, at=site, method="integrated_gradients").recovery(logit_diff),
    ):
        with pytest.raises(JudgementError, match="Find both the same way"):
            _ = first - other
        with pytest.raises(JudgementError, match="Find both the same way"):
            _ = other - first
    same = first - lab.denoise(pairs, at=attn_out(2, last()), method="attribution").recovery(logit_diff)
    assert judge(same, at_least(0.5)).outcome == "INVALID"


@pytest.mark.parametrize("metric", [accuracy, exact_match])
def test_what_has_no_slope_is_refused(organism, metric):
    lab, pairs = organism
    run = lab.denoise(pairs, at=head(1, 0, last()), method="attribution")
    with pytest.raises(ClaimError, match=r"has none\. Screen with logit_diff"):
        run.recovery(metric)
    with pytest.raises(ClaimError, match="is_neutral asks what a patched run does"):
        _ = run.is_neutral


def test_methods_that_cannot_be_asked_are_refused(organism):
    lab, pairs = organism
    site = head(1, 0, last())
    with pytest.raises(ClaimError, match="it is 'patched', or, to screen, 'attribution'"):
        lab.denoise(pairs, at=site, method="gradients")
    with pytest.raises(ClaimError, match="only method='integrated_gradients' goes in steps"):
        lab.sweep(pairs, at=site, method="attribution", steps=3)
    for steps in (0, -1, 2.0, True):
        with pytest.raises(ClaimError, match="must be a whole number from 1"):
            lab.noise(pairs, at=site, method="integrated_gradients", steps=steps)
    with pytest.raises(ClaimError, match="an ablation has no other run"):
        lab.ablate(pairs, at=site, method="integrated_gradients")
    with pytest.raises(ClaimError, match="which has no controls"):
        Experiment(lab.denoise(pairs, at=site, method="attribution").patching, "change", logit_diff)


def test_a_method_is_a_part_of_the_experiment_and_the_usual_one_is_not_named(organism):
    _, pairs = organism
    ways = [Method("patched"), Method("attribution"), Method("integrated_gradients", 2)]
    ways.append(Method("integrated_gradients", 3))
    made = [
        Experiment(Patching("m", "denoise", pairs, (embed(),), method=way), "change", logit, False, 0) for way in ways
    ]
    assert len({experiment.digest for experiment in made}) == 4
    assert "method" not in made[0].canonical()
    assert made[3].canonical()["method"] == ["integrated_gradients", 3]


def test_estimates_and_measurements_expected_together_each_get_their_own(organism):
    _, pairs = organism
    lab = Lab.load("organism:planted")
    site = embed(span("value"))

    def body(at):
        return [
            at.denoise(pairs, at=site, method="attribution").recovery(logit_diff),
            at.denoise(pairs, at=site).recovery(logit_diff, placebo=False),
        ]

    assert all(isinstance(effect, Effect) and effect.numbers is None for effect in body(lab.rehearsal()))
    cost = lab.cost()
    assert cost.experiments == 2 and cost.patched_runs > 0
    estimated, measured = body(lab)
    assert estimated.estimate == pytest.approx(0.5, abs=1e-5) and measured.estimate == 1.0
    alone = Lab.load("organism:planted")
    body(alone.rehearsal())[0]
    only = Lab.load("organism:planted")
    only.rehearsal().denoise(pairs, at=site, method="attribution").recovery(logit_diff)
    assert only.cost().patched_runs == 0 < only.cost().forwards
