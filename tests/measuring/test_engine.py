"""The engine: what fires where, what is neutral, what is refused, and what is left behind."""

import copy
import math

import pytest
import torch

from causaltest import Lab, accuracy, embed, exact_match, head, index, resid_post, thought
from causaltest.asking.interventions import zero
from causaltest.asking.positions import Position, step
from causaltest.asking.sites import attn_out, mlp_out, resid_pre
from causaltest.errors import MeasurementError
from causaltest.measuring import engine
from causaltest.measuring.backend import open_backend
from causaltest.measuring.engine import Patch, run

EVERYTHING = ("embed", "resid_pre", "resid_post", "attn_out", "mlp_out", "head")
EVERYWHERE = Position("everywhere")
SITES = {
    "embed": lambda layer, at: embed(at),
    "resid_pre": resid_pre,
    "resid_post": resid_post,
    "attn_out": attn_out,
    "mlp_out": mlp_out,
    "head": lambda layer, at: head(layer, range(4), at),
}


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def one_patch(component="resid_post", layer=1, *, rows=(0,), positions=(0,), width=16, head=None):
    return Patch(
        component, layer, head, torch.tensor(rows), torch.tensor(positions), torch.full((len(rows), width), 7.0)
    )


def prompts(tiny, length=5):
    return next(c for c in tiny.backend.references.chunks(tiny.pairs) if c.prompt_tokens == length).clean


# What fires


@pytest.mark.parametrize("position", [5, 6, 100, -1])
def test_a_patch_outside_the_run_is_an_error_and_not_a_null(tiny_gpt2, position):
    with pytest.raises(MeasurementError, match=r"resid_post at layer 1 fired 0 times where 1 were asked"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[one_patch(positions=(position,))])


def test_a_patch_that_fires_for_some_rows_only_is_an_error(tiny_gpt2):
    patch = one_patch(rows=(0, 1, 2), positions=(4, 4, 5))
    with pytest.raises(MeasurementError, match="fired 2 times where 3 were asked"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[patch])


def test_a_layer_that_the_model_lacks_is_an_error_in_the_engine_too(tiny_gpt2):
    with pytest.raises(MeasurementError, match="fired 0 times"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[one_patch(layer=9)])


@pytest.mark.parametrize("k", [0, 3, 5])
def test_a_patch_at_a_thought_fires_there_and_nowhere_else(ducks, twins, k):
    """Seen by the test's own hook on the input of the next block, in every forward of the run."""
    model = ducks.backend.loaded
    chunk = ducks.backend.references.chunks(twins)[0]
    prompt, rows = chunk.prompt_tokens, len(chunk.pairs)
    vector = torch.full((rows, 64), 3.0)
    at = torch.full((rows,), prompt + 1 + k)
    patch = Patch("resid_post", 4, None, torch.arange(rows), at, vector)

    def forwards_of(patches):
        seen = []
        handle = model.blocks[5].block.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        try:
            run(model, chunk.clean, new_tokens=3, patches=patches)
        finally:
            handle.remove()
        return seen

    unpatched, patched = forwards_of([]), forwards_of([patch])
    # The prompt with its begin token, six thoughts, the end token, two more answer tokens.
    assert [s.shape[1] for s in patched] == [prompt + 1, *[1] * 6, 1, 1, 1]
    for number, (before, after) in enumerate(zip(unpatched, patched, strict=True)):
        if number < 1 + k:
            assert torch.equal(before, after)
        fired = (after == 3.0).all(-1)
        assert bool(fired.all()) if number == 1 + k else not bool(fired.any())


def test_a_patch_writes_only_the_rows_that_it_names(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    plain = run(model, ids, new_tokens=1, record=EVERYTHING)
    patched = run(model, ids, new_tokens=1, record=EVERYTHING, patches=[one_patch(rows=(1,), positions=(2,))])
    changed = (plain.activations["resid_post", 1] != patched.activations["resid_post", 1]).any(-1)
    assert changed.nonzero().tolist() == [[1, 2]]
    assert torch.equal(plain.logits[[0, 2]], patched.logits[[0, 2]])
    assert not torch.equal(plain.logits[1], patched.logits[1])


def test_a_head_patch_writes_its_own_stretch_of_z(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    patch = one_patch("head", rows=(0,), positions=(3,), width=4, head=2)
    plain = run(model, ids, new_tokens=1, record=EVERYTHING)
    patched = run(model, ids, new_tokens=1, record=EVERYTHING, patches=[patch])
    changed = (plain.activations["head", 1] != patched.activations["head", 1]).nonzero().tolist()
    assert changed == [[0, 3, 8], [0, 3, 9], [0, 3, 10], [0, 3, 11]]


# What is neutral


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
@pytest.mark.parametrize("component", EVERYTHING)
def test_a_self_patch_changes_no_bit(request, family, component, experiment):
    tiny = request.getfixturevalue(family)
    for layer in range(3):
        for at in (index(0), index(2, -1), step(0), step(2), EVERYWHERE):
            site = SITES[component](layer, at)
            asked = experiment(tiny.pairs, "ablate", site, exact_match(max_new_tokens=4), intervention=zero)
            ready = tiny.backend._prepare(asked.patching, asked.metric)
            for changed, base in zip(tiny.backend._patched(ready, ready.own), ready.base.runs, strict=True):
                assert torch.equal(changed.logits, base.logits)
                assert torch.equal(changed.tokens, base.tokens)


@pytest.mark.parametrize("component", EVERYTHING)
def test_a_self_patch_of_the_ducks_changes_no_bit(ducks, twins, component, experiment):
    for at in (index(9), thought(0), thought(5), thought(range(6)), step(0), EVERYWHERE):
        for layer in (0, 6, 11):
            site = SITES[component](layer, at)
            asked = experiment(twins, "ablate", site, accuracy, intervention=zero)
            ready = ducks.backend._prepare(asked.patching, asked.metric)
            (changed,) = ducks.backend._patched(ready, ready.own)
            assert torch.equal(changed.logits, ready.base.runs[0].logits)


def test_a_block_input_is_the_output_of_the_block_before(tiny_gpt2, tiny_llama):
    for tiny in (tiny_gpt2, tiny_llama):
        seen = run(tiny.backend.loaded, prompts(tiny), new_tokens=2, record=EVERYTHING).activations
        for layer in range(1, 3):
            assert torch.equal(seen["resid_pre", layer], seen["resid_post", layer - 1])
            assert not torch.equal(seen["resid_pre", layer], seen["resid_post", layer])


# Resuming


@pytest.mark.parametrize("position", [0, 4, 5, 7])
def test_a_resumed_run_gives_the_same_bits_as_a_whole_one(tiny_gpt2, position):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    reference = run(model, ids, new_tokens=4, record=EVERYTHING)
    patch = one_patch(rows=(0, 2), positions=(position, position))
    whole = run(model, ids, new_tokens=4, patches=[patch])
    resumed = run(model, ids, new_tokens=4, patches=[patch], resume=reference)
    assert torch.equal(whole.logits, resumed.logits)
    assert torch.equal(whole.tokens, resumed.tokens)
    assert whole.forwards == 4
    # The prompt is one forward; the token at position 5 + n is the one after it.
    assert resumed.forwards == 4 - max(0, position - 4)


@pytest.mark.parametrize("k", [0, 3, 5])
def test_a_resumed_chain_of_thoughts_gives_the_same_bits_as_a_whole_one(ducks, twins, k):
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    reference = run(model, chunk.clean, new_tokens=2, record=EVERYTHING)
    rows = len(chunk.pairs)
    at = torch.full((rows,), chunk.prompt_tokens + 1 + k)
    for component in ("embed", "resid_post"):
        patch = Patch(component, 0, None, torch.arange(rows), at, torch.randn(rows, 64))
        whole = run(model, chunk.clean, new_tokens=2, patches=[patch])
        resumed = run(model, chunk.clean, new_tokens=2, patches=[patch], resume=reference)
        assert torch.equal(whole.logits, resumed.logits)
        assert (whole.forwards, resumed.forwards) == (9, 9 - 1 - k)


def test_a_run_does_not_change_the_run_that_it_resumes_from(ducks, twins):
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    reference = run(model, chunk.clean, new_tokens=2, record=("resid_post",))
    before = [layer.keys.clone() for layer in reference.cache.layers], reference.logits.clone()
    at = torch.tensor([chunk.prompt_tokens + 3])
    patch = Patch("resid_post", 3, None, torch.tensor([0]), at, torch.ones(1, 64))
    run(model, chunk.clean, new_tokens=2, patches=[patch], resume=reference)
    assert all(torch.equal(a, b.keys) for a, b in zip(before[0], reference.cache.layers, strict=True))
    assert torch.equal(before[1], reference.logits)


def test_a_run_without_a_cache_is_not_resumed_from_and_all_is_computed(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    patches = [one_patch(positions=(6,))]
    whole = run(model, ids, new_tokens=3, patches=patches)
    resumed = run(model, ids, new_tokens=3, patches=patches, resume=run(model, ids, new_tokens=3))
    assert torch.equal(resumed.logits, whole.logits)
    assert resumed.forwards == whole.forwards == 3


def test_attention_in_a_sliding_window_resumes_to_the_same_bits(plain, word_tokenizer, random_pairs):
    """A window shorter than the prompt: what has left it must not come back changed."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(6)
    config = MistralConfig(
        vocab_size=30,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        sliding_window=3,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=None,
    )
    backend = open_backend("tiny Mistral", MistralForCausalLM(config).eval(), word_tokenizer())
    ids = backend.references.chunks(random_pairs(4, (9,)))[0].clean
    reference = run(backend.loaded, ids, new_tokens=5, record=EVERYTHING)
    for position in (9, 11):
        own = reference.activations["resid_post", 1][:1, position]
        other = torch.ones_like(own)
        for vector in (own, other):
            patch = Patch("resid_post", 1, None, torch.tensor([0]), torch.tensor([position]), vector)
            resumed = run(backend.loaded, ids, new_tokens=5, patches=[patch], resume=reference)
            whole = run(backend.loaded, ids, new_tokens=5, patches=[patch])
            assert torch.equal(resumed.logits, whole.logits)
        assert not torch.equal(resumed.logits, reference.logits)
        tokens, logits, _ = plain.generate(
            backend.loaded.model, ids[0].tolist(), 5, [plain.Change("resid_post", 1, position, other[0])]
        )
        assert resumed.tokens[0].tolist() == tokens
        assert torch.allclose(resumed.logits[0], logits, atol=1e-4, rtol=0)


# What is refused


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_an_error(new_gpt2, word_tokenizer, poison):
    model = new_gpt2()
    lab = Lab(model, word_tokenizer(), name="poisoned")
    assert lab.backend.model == "poisoned"
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias[3] = poison
    with pytest.raises(
        MeasurementError, match=r"poisoned gave a logit that is NaN or infinite \(first in row 0 of 3\)"
    ):
        run(lab.backend.loaded, torch.tensor([[1, 2], [3, 4], [5, 6]]), new_tokens=1)


def test_weights_that_are_no_numbers_are_an_error_when_the_model_is_opened(new_gpt2, word_tokenizer):
    model = new_gpt2()
    with torch.no_grad():
        model.transformer.wte.weight[1] = math.nan
    with pytest.raises(MeasurementError, match="poisoned gave a logit that is NaN or infinite"):
        _ = Lab(model, word_tokenizer(), name="poisoned").backend


def test_a_patched_run_that_overflows_says_that_it_was_patched(tiny_gpt2):
    patch = Patch("resid_post", 1, None, torch.tensor([2]), torch.tensor([4]), torch.full((1, 16), math.inf))
    with pytest.raises(MeasurementError, match=r"NaN or infinite \(first in row 2 of 3, patched\)"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, patches=[patch])


def test_a_run_longer_than_the_model_has_positions_says_both_lengths(ducks, twins):
    with pytest.raises(MeasurementError, match=r"64 positions, and a prompt of \d+ tokens with 32 .* needs"):
        ducks.denoise(twins, at=resid_post(6, thought(0))).recovery(exact_match)


# What is left behind


def test_hooks_are_gone_after_a_run_and_after_an_error(tiny_gpt2):
    model, ids = tiny_gpt2.backend.loaded, prompts(tiny_gpt2)
    assert hooks(model.model) == 0
    run(model, ids, new_tokens=2, record=EVERYTHING, patches=[one_patch()])
    assert hooks(model.model) == 0
    with pytest.raises(MeasurementError):
        run(model, ids, new_tokens=1, patches=[one_patch(positions=(50,))])
    assert hooks(model.model) == 0
    with pytest.raises(RuntimeError):
        run(model, ids, new_tokens=1, record=EVERYTHING, patches=[one_patch(width=99)])
    assert hooks(model.model) == 0


def test_hooks_are_gone_when_attaching_them_fails(tiny_gpt2, monkeypatch):
    def refuse(*_):
        raise OSError("no")

    # The last of five: by then the others are attached.
    monkeypatch.setitem(engine.ATTACH, "resid_post", refuse)
    with pytest.raises(OSError, match="no"):
        run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, record=EVERYTHING)
    assert hooks(tiny_gpt2.model) == 0


def test_a_run_leaves_the_weights_as_they_are(tiny_gpt2):
    before = copy.deepcopy(tiny_gpt2.model.state_dict())
    run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=3, record=EVERYTHING, patches=[one_patch()])
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_gpt2.model.state_dict().items())


def test_nothing_is_kept_for_gradients(tiny_gpt2):
    given = run(tiny_gpt2.backend.loaded, prompts(tiny_gpt2), new_tokens=1, record=EVERYTHING)
    assert not given.logits.requires_grad
    assert not any(whole.requires_grad for whole in given.activations.values())


# Decoding


def test_clean_and_patched_runs_never_generate_the_end_token(ducks, twins):
    """The end token closes the thoughts; on no arm may it be an answer."""
    model, chunk = ducks.backend.loaded, ducks.backend.references.chunks(twins)[0]
    (banned,) = model.reasoning.never_generated
    rows = len(chunk.pairs)
    # A last hidden state along the end token's own row makes it the likeliest token.
    wanted = 100 * model.model.transformer.wte.weight[banned].detach().expand(rows, -1)
    at = torch.full((rows,), chunk.prompt_tokens + 1 + 6)
    patch = Patch("resid_post", 11, None, torch.arange(rows), at, wanted)
    given = run(model, chunk.clean, new_tokens=2, patches=[patch])
    assert bool((given.logits[:, 0].argmax(-1) == banned).all())
    assert not bool((given.tokens == banned).any())


def test_tokens_are_the_likeliest_of_their_logits(tiny_llama):
    given = run(tiny_llama.backend.loaded, prompts(tiny_llama), new_tokens=4)
    assert torch.equal(given.tokens, given.logits.argmax(-1))
    assert given.tokens.shape == (3, 4)
    assert given.logits.shape == (3, 4, 30)
