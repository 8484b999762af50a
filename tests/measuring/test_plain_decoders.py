"""Patched runs of ordinary decoders against the plain reference: one hook, one full forward."""

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causaltest import Pairs, accuracy, embed, exact_match, head, index, logit_diff, step
from causaltest.asking.interventions import mean, replace, zero
from causaltest.asking.sites import attn_out, mlp_out, resid_post, resid_pre

LAYERS, HEADS = 3, 4
COMPONENTS = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "head")
WAYS = (("denoise", replace), ("noise", replace), ("ablate", zero), ("ablate", mean))
SITE_OF = {"resid_pre": resid_pre, "resid_post": resid_post, "attn_out": attn_out, "mlp_out": mlp_out}


def make_site(component, layers, heads, positions):
    if component == "embed":
        return embed(index(*positions))
    if component == "head":
        return head(layers, heads, index(*positions))
    return SITE_OF[component](layers, index(*positions))


def few(largest):
    return st.lists(st.integers(0, largest), min_size=1, max_size=2, unique=True).map(tuple)


def plain_logit_diff(plain, tiny, pairs, direction, kind, component, layers, heads, positions):
    """Per pair, the logit difference of the patched run and of the same run unpatched."""
    model, word = tiny.model, tiny.tokenizer.convert_tokens_to_ids
    layers = (0,) if component == "embed" else layers
    heads = heads if component == "head" else (None,)
    spots = [(layer, h, p) for layer in layers for h in heads for p in positions]
    runs = {
        side: [plain.forward(model, tiny.tokenizer(getattr(p, side))["input_ids"]) for p in pairs]
        for side in ("clean", "corrupt")
    }

    def vector(side, i, layer, h, p):
        return runs[side][i].vector(component, layer, p, h)

    def source(i, layer, h, p):
        if kind == "zero":
            return torch.zeros_like(vector("clean", i, layer, h, p))
        if kind == "mean":
            return torch.stack([vector("clean", j, layer, h, p) for j in range(len(pairs))]).mean(0)
        return vector("clean" if direction == "denoise" else "corrupt", i, layer, h, p)

    side = "corrupt" if direction == "denoise" else "clean"
    patched, unpatched = [], []
    for i, pair in enumerate(pairs):
        changes = [plain.Change(component, layer, p, source(i, layer, h, p), h) for layer, h, p in spots]
        seen = plain.forward(model, tiny.tokenizer(getattr(pair, side))["input_ids"], changes)
        right, wrong = word(pair.answer), word(pair.corrupt_answer)
        patched.append(float(seen.logits[-1, right] - seen.logits[-1, wrong]))
        unpatched.append(float(runs[side][i].logits[-1, right] - runs[side][i].logits[-1, wrong]))
    return patched, unpatched


def measured(tiny, experiment, pairs, direction, by, site):
    numbers = tiny.backend.measure(experiment(pairs, direction, site, logit_diff, intervention=by)).measured
    by_id = {name: i for i, name in enumerate(numbers.pair_ids)}
    columns = [numbers.references["patched"], numbers.references["baseline"]]
    return [[column[by_id[name]] for name in pairs.ids] for column in columns]


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
@given(
    component=st.sampled_from(COMPONENTS),
    way=st.sampled_from(WAYS),
    layers=few(LAYERS - 1),
    heads=few(HEADS - 1),
    positions=few(4),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_site_and_way_equals_one_hook_in_one_full_forward(
    request, plain, experiment, family, component, way, layers, heads, positions
):
    tiny = request.getfixturevalue(family)
    direction, by = way
    site = make_site(component, layers, heads, positions)
    patched, unpatched = measured(tiny, experiment, tiny.pairs, direction, by, site)
    wanted = plain_logit_diff(plain, tiny, tiny.pairs, direction, by.kind, component, layers, heads, positions)
    assert patched == pytest.approx(wanted[0], abs=1e-5)
    assert unpatched == pytest.approx(wanted[1], abs=1e-5)


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_site_moves_the_answer_and_equals_the_plain_reference(request, plain, experiment, family, component, way):
    """Not left to chance: each component and way once, where the patch certainly does something."""
    tiny = request.getfixturevalue(family)
    direction, by = way
    layers, heads, positions = (1,), (2,), (4,)
    site = make_site(component, layers, heads, positions)
    pairs = tiny.pairs[::2]  # five tokens each, so that index 4 is the last
    patched, unpatched = measured(tiny, experiment, pairs, direction, by, site)
    wanted = plain_logit_diff(plain, tiny, pairs, direction, by.kind, component, layers, heads, positions)
    assert patched == pytest.approx(wanted[0], abs=1e-5)
    assert max(abs(p - u) for p, u in zip(patched, unpatched, strict=True)) > 1e-2


def test_a_negative_index_counts_from_the_end_of_each_prompt(plain, tiny_gpt2, experiment):
    """Prompts of five and of seven tokens: their last but one is token 3 and token 5."""
    pairs = tiny_gpt2.pairs
    patched, _ = measured(tiny_gpt2, experiment, pairs, "denoise", replace, resid_post(0, index(-2)))
    for i, pair in enumerate(pairs):
        at = len(pair.clean.split()) - 2
        one = plain_logit_diff(plain, tiny_gpt2, [pair], "denoise", "replace", "resid_post", (0,), (), (at,))
        assert patched[i] == pytest.approx(one[0][0], abs=1e-5)


def test_two_sites_are_patched_together(plain, tiny_gpt2, experiment):
    pairs = tiny_gpt2.pairs[::2]
    numbers = tiny_gpt2.backend.measure(
        experiment(pairs, "denoise", [mlp_out(0, index(2)), head(2, 3, index(4))], logit_diff)
    ).measured
    for i, pair in enumerate(pairs):
        clean = plain.forward(tiny_gpt2.model, tiny_gpt2.tokenizer(pair.clean)["input_ids"])
        changes = [
            plain.Change("mlp_out", 0, 2, clean.vector("mlp_out", 0, 2)),
            plain.Change("head", 2, 4, clean.vector("head", 2, 4, 3), 3),
        ]
        logits = plain.forward(tiny_gpt2.model, tiny_gpt2.tokenizer(pair.corrupt)["input_ids"], changes).logits[-1]
        right, wrong = (tiny_gpt2.tokenizer.convert_tokens_to_ids(a) for a in (pair.answer, pair.corrupt_answer))
        assert numbers.references["patched"][i] == pytest.approx(float(logits[right] - logits[wrong]), abs=1e-5)


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("component", ["resid_post", "attn_out", "mlp_out", "embed"])
def test_generation_patched_at_a_step_equals_the_plain_reference(
    request, plain, planned, experiment, family, component, at
):
    """Four generated tokens; the patch stands at the position from which token `at` is predicted."""
    tiny = request.getfixturevalue(family)
    pairs = tiny.pairs[::2]
    site = embed(step(at)) if component == "embed" else SITE_OF[component](1, step(at))
    asked = experiment(pairs, "denoise", site, exact_match(max_new_tokens=4))
    batch = planned(tiny.backend.loaded, [asked])
    moved = False
    for pair in pairs:
        clean, corrupt = (tiny.tokenizer(text)["input_ids"] for text in (pair.clean, pair.corrupt))
        position, layer = len(clean) - 1 + at, 0 if component == "embed" else 1
        _, _, seen = plain.generate(tiny.model, clean, 4)
        change = plain.Change(component, layer, position, seen.at[component, layer][position])
        tokens, logits, _ = plain.generate(tiny.model, corrupt, 4, [change])
        given = batch.gave[batch.studies[0].patched.arm, pair.id]
        assert given.tokens == tokens
        assert torch.allclose(given.logits, logits, atol=1e-4, rtol=0)
        moved |= not torch.equal(plain.generate(tiny.model, corrupt, 4)[1], logits)
    # Two runs that generate the same token embed the same token.
    assert moved or component == "embed"


def test_an_answer_is_generated_where_a_generated_step_is_patched(plain, planned, experiment, tiny_gpt2):
    """What stands at a later step depends on what each run generates by itself, so the answer must not be given."""
    tiny, pairs, right = tiny_gpt2, [], []
    for pair in tiny.pairs[::2]:
        clean, corrupt = (tiny.tokenizer(text)["input_ids"] for text in (pair.clean, pair.corrupt))
        _, _, seen = plain.generate(tiny.model, clean, 3)
        change = plain.Change("mlp_out", 1, len(clean), seen.vector("mlp_out", 1, len(clean)))
        tokens, logits, _ = plain.generate(tiny.model, corrupt, 3, [change])
        answer = " ".join(tiny.tokenizer.convert_ids_to_tokens(tokens))
        pairs.append(dataclasses.replace(pair, answer=answer, corrupt_answer=None))
        right.append((tokens, logits))
    batch = planned(tiny.backend.loaded, [experiment(Pairs(pairs, iid=True), "denoise", mlp_out(1, step(1)), accuracy)])
    assert not batch.forced
    for pair, (tokens, logits) in zip(pairs, right, strict=True):
        given = batch.gave[batch.studies[0].patched.arm, pair.id]
        assert given.tokens == tokens
        assert torch.allclose(given.logits, logits, atol=1e-4, rtol=0)
