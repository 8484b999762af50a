"""Attention patterns: read and written as by hand in eager models, and proven at load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as with_changes

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import sampled_from
from transformers import BloomConfig, BloomForCausalLM

from causaltest import (
    Lab,
    exact_match,
    gaussian,
    index,
    last,
    logit_diff,
    mean,
    pattern,
    replace,
    resample,
    scale,
    zero,
)
from causaltest import add as adding
from causaltest.asking.directions import direction
from causaltest.errors import ClaimError, MeasurementError, SiteError
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.engine import Forward, Patch
from causaltest.measuring.trajectory import run

FAMILIES = ("gpt2", "llama", "mistral", "gemma2", "neox")
PROMPTS = torch.tensor([[3, 8, 1, 12, 7, 7, 15], [19, 2, 2, 5, 11, 0, 4]])
NEW_TOKENS = 3
TOTAL = PROMPTS.shape[1] + NEW_TOKENS - 1
LAYERS, HEADS = 3, 4
EXACT = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="session")
def eager(new_gpt2, new_llama, new_mistral, new_gemma2, new_neox):
    """The tiny models once more, with attention that is written out."""
    made = {"gpt2": new_gpt2, "llama": new_llama, "mistral": new_mistral, "gemma2": new_gemma2, "neox": new_neox}
    return {family: make(attn_implementation="eager") for family, make in made.items()}


@contextmanager
def by_hand(model, seen, changes=()) -> Iterator[None]:
    """Weights as the family's own eager function gives them; changed ones weigh the values head by head.

    A change is (layer, head, position, of): `of` makes a row [key] of the row that is there.
    """
    module = sys.modules[type(model).__module__]
    own = module.eager_attention_forward

    def forward(attention, query, key, value, mask, **more):
        out, weights = own(attention, query, key, value, mask, **more)
        weights, out = weights.clone(), out.clone()
        for layer, head, position, of in changes:
            if layer == attention.layer_idx and position < query.shape[2]:
                weights[0, head, position] = row = of(weights[0, head, position].clone())
                shared = head * value.shape[1] // HEADS
                out[0, position, head] = sum(row[at] * value[0, shared, at] for at in range(len(row)))
        seen[attention.layer_idx] = weights[0]
        return out, weights

    module.eager_attention_forward = forward
    try:
        yield
    finally:
        module.eager_attention_forward = own


@torch.no_grad()
def plainly(model, ids, changes=()):
    """Logits [position, vocabulary], and the weights of every layer [head, query, key]."""
    seen: dict[int, torch.Tensor] = {}
    with by_hand(model, seen, changes):
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits, seen


def generated(model, ids, changes=()):
    """Greedy tokens, their logits, and the weights of the last forward."""
    ids, steps, seen = list(ids), [], {}
    for _ in range(NEW_TOKENS):
        logits, seen = plainly(model, ids, changes)
        steps.append(logits[-1])
        ids.append(int(logits[-1].argmax()))
    return ids[-NEW_TOKENS:], torch.stack(steps), seen


def drawn(position, seed):
    """Weights of a query at a position, as wide as the run. [key]"""
    weights = torch.rand(TOTAL, generator=torch.Generator().manual_seed(seed))
    weights[position + 1 :] = 0
    return weights / weights.sum()


def loaded_of(request, family):
    return request.getfixturevalue(f"tiny_{family}").backend.loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_recorded_is_what_eager_attention_weighs_with(request, eager, family):
    """In every layer and head, at every position of the prompt and of what is generated."""
    ran = run(loaded_of(request, family), PROMPTS, new_tokens=NEW_TOKENS, record=("pattern",))
    for row in (0, 1):
        tokens, logits, seen = generated(eager[family], PROMPTS[row].tolist())
        assert ran.tokens[row].tolist() == tokens
        assert torch.allclose(ran.logits[row], logits, **EXACT)
        for layer in range(LAYERS):
            found = ran.activations["pattern", layer][row].unflatten(-1, (HEADS, TOTAL)).transpose(0, 1)
            assert torch.allclose(found, seen[layer], **EXACT)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", range(HEADS))
def test_a_written_pattern_equals_one_written_by_hand(request, eager, family, head):
    """The first row inside its prompt, the second at a generated token."""
    positions, layer = (5, 8), 1
    values = torch.stack([drawn(p, seed=p) for p in positions])
    patch = Patch("pattern", layer, head, torch.tensor([0, 1]), torch.tensor(positions), values)
    given = run(loaded_of(request, family), PROMPTS, new_tokens=NEW_TOKENS, patches=[patch])
    for row, position in enumerate(positions):
        change = (layer, head, position, lambda there, row=row: values[row, : len(there)])
        tokens, logits, _ = generated(eager[family], PROMPTS[row].tolist(), [change])
        before = generated(eager[family], PROMPTS[row].tolist())[1]
        first = 0 if row == 0 else NEW_TOKENS - 1
        assert given.tokens[row].tolist() == tokens
        assert torch.allclose(given.logits[row], logits, **EXACT)
        assert (logits[first] - before[first]).abs().max() > 1e-4, "the patch certainly does something"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pattern_written_as_it_is_changes_no_bit(request, family):
    loaded = loaded_of(request, family)
    before = run(loaded, PROMPTS, new_tokens=NEW_TOKENS, record=("pattern",))
    own = before.activations["pattern", 1].unflatten(-1, (HEADS, TOTAL))
    rows = torch.arange(2)
    for head in range(HEADS):
        patch = Patch("pattern", 1, head, rows, torch.tensor([5, 8]), own[rows, [5, 8], head])
        after = run(loaded, PROMPTS, new_tokens=NEW_TOKENS, patches=[patch], record=("pattern",))
        assert torch.equal(after.logits, before.logits)


def test_only_layers_whose_pattern_is_asked_for_leave_their_attention(tiny_gpt2, monkeypatch):
    loaded, module = tiny_gpt2.backend.loaded, sys.modules[type(tiny_gpt2.model).__module__]
    called, own = [], module.eager_attention_forward

    def counting(attention, *given, **more):
        called.append(attention.layer_idx)
        return own(attention, *given, **more)

    monkeypatch.setattr(module, "eager_attention_forward", counting)
    before = run(loaded, PROMPTS, new_tokens=1, record=("head", "q"))
    assert called == []
    patch = Patch("pattern", 1, 2, torch.tensor([0]), torch.tensor([4]), drawn(4, seed=1)[None])
    run(loaded, PROMPTS, new_tokens=1, patches=[patch])
    assert called == [1]
    run(loaded, PROMPTS, new_tokens=1, record=("pattern",))
    assert called == [1, 0, 1, 2]
    after = run(loaded, PROMPTS, new_tokens=1, record=("head", "q"))
    assert torch.equal(after.logits, before.logits)
    assert tiny_gpt2.model.config._attn_implementation == "sdpa"
    assert all(block.attn.config is tiny_gpt2.model.config for block in tiny_gpt2.model.transformer.h)


WAYS = {
    "denoise": ("denoise", replace),
    "noise": ("noise", replace),
    "zero": ("ablate", zero),
    "half": ("ablate", scale(0.5)),
}


def plain_logit_diffs(model, tiny, pairs, way, layers, heads, position):
    """Per pair, the logit difference after the same patch by hand."""
    ids = lambda text: tiny.tokenizer(text)["input_ids"]  # noqa: E731
    out = []
    for pair in pairs:
        ours, other = (pair.corrupt, pair.clean) if way == "denoise" else (pair.clean, pair.corrupt)
        _, theirs = plainly(model, ids(other))
        at = position % len(ids(ours))
        change = {
            "zero": lambda layer, head: torch.zeros_like,
            "half": lambda layer, head: lambda there: there / 2,
        }.get(way, lambda layer, head, theirs=theirs, at=at: lambda _: theirs[layer][head, at])
        changes = [(layer, head, at, change(layer, head)) for layer in layers for head in heads]
        logits, _ = plainly(model, ids(ours), changes)
        right, wrong = (tiny.tokenizer.convert_tokens_to_ids(a) for a in (pair.answer, pair.corrupt_answer))
        out.append(float(logits[-1, right] - logits[-1, wrong]))
    return out


def measured(tiny, experiment, pairs, way, site):
    direction, by = WAYS[way]
    numbers = tiny.backend.measure(experiment(pairs, direction, site, logit_diff, intervention=by)).measured
    by_id = {name: i for i, name in enumerate(numbers.pair_ids)}
    return [numbers.references["patched"][by_id[name]] for name in pairs.ids]


@pytest.mark.parametrize("family", FAMILIES)
@given(
    way=sampled_from(sorted(WAYS)),
    layers=st.sets(st.integers(0, LAYERS - 1), min_size=1, max_size=2),
    heads=st.sets(st.integers(0, HEADS - 1), min_size=1, max_size=2),
    position=st.integers(-3, -1),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_way_equals_the_same_patch_by_hand(request, eager, experiment, family, way, layers, heads, position):
    """Prompts of two lengths, so that the rows of pairs are of several lengths."""
    tiny = request.getfixturevalue(f"tiny_{family}")
    layers, heads = sorted(layers), sorted(heads)
    found = measured(tiny, experiment, tiny.pairs, way, pattern(layers, heads, index(position)))
    wanted = plain_logit_diffs(eager[family], tiny, tiny.pairs, way, layers, heads, position)
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_controls_of_a_pattern_hold(request, family):
    """Also for pairs of two lengths: a placebo takes another pair's weights of the same position."""
    tiny = request.getfixturevalue(f"tiny_{family}")
    lab = Lab(tiny.model, tiny.tokenizer, name=family)
    effect = lab.denoise(tiny.pairs, at=pattern(1, 2, last())).recovery(logit_diff)
    controls = effect.measured.controls
    assert controls.self_patch.neutral and controls.self_patch.tolerance < 1e-4
    assert controls.placebo is not None
    assert all(far > 0 for far in controls.distance)
    ablated = lab.ablate(tiny.pairs, at=pattern(1, 2, last()), by=zero).drop(logit_diff)
    assert ablated.measured.controls.placebo is not None


def test_a_map_of_patterns_has_all_layers_and_heads(tiny_gpt2):
    """Rows that begin at several positions and blocks share forwards."""
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="t")
    sweep = lab.sweep(tiny_gpt2.pairs, at=pattern(range(LAYERS), range(HEADS), last()))
    estimates = sweep.recovery(logit_diff).estimate
    assert len(estimates.flatten()) == LAYERS * HEADS
    assert len(set(estimates.flatten().tolist())) > LAYERS
    assert lab.noise(tiny_gpt2.pairs, at=pattern(0, 1)).drop(logit_diff, placebo=False).n == 6


def test_runs_that_were_kept_for_longer_answers_serve_shorter_ones(tiny_llama):
    """A pattern that was recorded with room for more keys is the same pattern."""

    def estimate(lab):
        return lab.noise(tiny_llama.pairs, at=pattern(1, 3, index(2))).drop(logit_diff, placebo=False).estimate

    fresh, used = (Lab(tiny_llama.model, tiny_llama.tokenizer, name="t") for _ in range(2))
    longer = exact_match(extract="text", max_new_tokens=4)
    with pytest.raises(MeasurementError, match="is eligible"):  # what it measured is kept all the same
        used.noise(tiny_llama.pairs, at=pattern(1, 3, index(2))).change(longer, placebo=False)
    assert estimate(used) == pytest.approx(estimate(fresh), abs=1e-5)


def test_the_ducks_read_their_facts_where_their_routing_says(ducks, twins):
    """Latent thoughts under a routed mask: a row is zero but where the mask lets its query look, and sums to one."""
    loaded = ducks.backend.loaded
    ids = torch.tensor([loaded.tokenizer(twins[0].clean)["input_ids"]])
    ran = run(loaded, ids, new_tokens=2, record=("pattern",))
    total = ran.activations["pattern", 0].shape[1]
    for layer in range(len(loaded.blocks)):
        rows = ran.activations["pattern", layer][0].unflatten(-1, (loaded.heads, total))
        assert torch.allclose(rows.sum(-1), torch.ones(total, loaded.heads), atol=1e-5)
        seen = loaded.mask(ids.shape[1], total)[0, layer] == 0
        assert bool((rows.amax(1)[~seen] == 0).all())


# What is refused.


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda lab, pairs: lab.ablate(pairs, at=pattern(0, 0, last()), by=gaussian(sd=1)), "come after it"),
        (
            lambda lab, pairs: lab.steer(pairs, at=pattern(0, 0, last()), by=adding(direction([1.0] * 5))),
            "come after it",
        ),
        (lambda lab, pairs: pattern(0, 0, last()).along([1.0, 2.0]), "no directions or features"),
        (lambda lab, pairs: lab.denoise(pairs, at=pattern(0, 0, last()), method="attribution"), "takes no patterns"),
        (lambda lab, pairs: lab.denoise(pairs, at=pattern(0, 9, last())).recovery(logit_diff), "has no pattern head 9"),
    ],
)
def test_what_has_no_meaning_for_a_pattern_is_refused(tiny_llama, ask, told):
    with pytest.raises((ClaimError, SiteError), match=told):
        ask(Lab(tiny_llama.model, tiny_llama.tokenizer, name="t"), tiny_llama.pairs)


def test_a_mean_of_queries_at_several_positions_is_refused(tiny_gpt2):
    """The shorter prompts would attend to keys behind them."""
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="t")
    with pytest.raises(MeasurementError, match="attends to position 5, which comes after it"):
        _ = lab.ablate(tiny_gpt2.pairs, at=pattern(0, 0, last()), by=mean).drop(logit_diff).estimate
    assert lab.ablate(tiny_gpt2.pairs, at=pattern(0, 0, index(3)), by=mean).drop(logit_diff).n == 6


def test_a_mean_over_longer_pairs_is_refused(tiny_gpt2, random_pairs):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="t")
    longer = random_pairs(4, lengths=(9,))
    with pytest.raises(MeasurementError, match="needs patterns with as many keys"):
        _ = lab.ablate(tiny_gpt2.pairs, at=pattern(0, 0, index(3)), by=mean(over=longer)).drop(logit_diff).estimate


def test_another_pairs_pattern_is_one_of_the_same_position(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer, name="t")
    assert lab.ablate(tiny_gpt2.pairs, at=pattern(1, 0, last()), by=resample).drop(logit_diff).n == 6


def spoilt(weights_of):
    """An eager function whose weights are not what its output is made of."""

    def spoil(own):
        def forward(*given, **more):
            out, weights = own(*given, **more)
            return out, weights_of(weights)

        return forward

    return spoil


def other_output(own):
    def forward(*given, **more):
        out, weights = own(*given, **more)
        return 1.1 * out, weights

    return forward


SPOILT = {
    "of other heads": (spoilt(lambda w: w.roll(1, dims=1)), "the weights times v are not what heads give"),
    "before the softmax": (spoilt(lambda w: (w - 0.4) * (w > 0)), "the weights of a query are not shares of one"),
    "of later keys": (spoilt(lambda w: w.flip(-1)), "a query attends to keys that come after it"),
    "none": (spoilt(lambda w: None), "does not take part in transformers' interface"),
    "another output": (other_output, "answers otherwise"),
}


@pytest.mark.parametrize("fault", sorted(SPOILT))
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_weights_that_are_not_what_they_seem_are_found_at_load(request, family, fault, monkeypatch):
    loaded = loaded_of(request, family)
    module = sys.modules[type(loaded.model).__module__]
    spoil, told = SPOILT[fault]
    monkeypatch.setattr(module, "eager_attention_forward", spoil(module.eager_attention_forward))
    disabled = proven(with_changes(loaded, disabled={})).disabled
    assert set(disabled) == {"pattern"}
    assert told in disabled["pattern"]


def test_weights_that_are_written_in_vain_are_found_at_load(tiny_llama, monkeypatch):
    real = Forward.attended

    def deaf(forward, layer, weights):
        real(forward, layer, weights)
        return weights

    monkeypatch.setattr(Forward, "attended", deaf)
    disabled = proven(with_changes(tiny_llama.backend.loaded, disabled={})).disabled
    assert set(disabled) == {"pattern"}
    assert "weights that are written do not make what their head gives" in disabled["pattern"]


def test_a_family_without_the_interface_has_no_patterns(word_tokenizer):
    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=30, hidden_size=16, n_layer=2, n_head=4, eos_token_id=None))
    disabled = wrap(model.eval(), word_tokenizer(), "bloom").disabled
    assert "does not take part in transformers' interface" in disabled["pattern"]
    assert "head" not in disabled


def test_masks_that_are_not_understood_are_said(tiny_llama, monkeypatch):
    """As if attention were by one of the kernels that take masks of their own."""
    monkeypatch.setattr("causaltest.measuring.adapters.patterns.UNDERSTOOD", ("eager",))
    disabled = proven(with_changes(tiny_llama.backend.loaded, disabled={})).disabled
    assert set(disabled) == {"pattern"} and "load the model with 'sdpa'" in disabled["pattern"]


def test_a_layers_attention_taken_for_anothers_is_found(tiny_gpt2):
    loaded = tiny_gpt2.backend.loaded
    blocks = list(loaded.blocks)
    wrong = with_changes(blocks[1].taps["pattern"], module=blocks[2].taps["pattern"].module)
    blocks[1] = with_changes(blocks[1], taps={**blocks[1].taps, "pattern": wrong})
    assert set(proven(with_changes(loaded, blocks=tuple(blocks), disabled={})).disabled) == {"pattern"}
