"""Sites proven on numbers: a component that is not what its name says is not offered."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from causaltest import Lab, attn_out, head, index, logit_diff, mlp_out, neuron, resid_mid, resid_post, resid_pre
from causaltest.errors import SiteError
from causaltest.measuring.adapters.families import Heads, stacked
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.probes import probe
from causaltest.measuring.adapters.proof import proven
from causaltest.measuring.trajectory import run

FAMILIES = ["tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox"]
SMALL = {
    "vocab_size": 30,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}


def granite():
    """Scales what attention and MLP give before it is added."""
    return GraniteForCausalLM(GraniteConfig(**SMALL, residual_multiplier=0.25)).eval()


PROJECTED = {"q", "k", "v"}
PARALLEL = (
    "in layer 0 what attention adds does not reach the MLP of the same block: both read the same stream side by side, "
    "and no stream lies between them."
)


def test_what_is_not_added_as_it_is_is_not_offered(word_tokenizer, random_pairs):
    torch.manual_seed(0)
    lab = Lab(granite(), word_tokenizer(), name="odd")
    for site in (attn_out(0, index(1)), mlp_out(0, index(1))):
        with pytest.raises(SiteError, match=rf"{site.component} is not offered for odd: in layer \d it is not what is"):
            lab.denoise(random_pairs(), at=site).recovery(logit_diff)
    with pytest.raises(SiteError, match=r"resid_mid is not offered for odd: it is resid_pre .*, and attn_out is not"):
        lab.denoise(random_pairs(), at=resid_mid(0, index(1))).recovery(logit_diff)
    for site in (resid_post(0, index(1)), resid_pre(1, index(1)), head(0, 1, index(1))):
        assert lab.denoise(random_pairs(), at=site).recovery(logit_diff, placebo=False).n == 6
    assert set(lab.backend.loaded.disabled) == {"attn_out", "mlp_out", "resid_mid"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_by_name_offer_everything(request, family):
    disabled = request.getfixturevalue(family).backend.loaded.disabled
    assert disabled == ({"resid_mid": PARALLEL} if family == "tiny_neox" else {})


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_no_reason_to_refuse(request, family, word_tokenizer):
    tiny = request.getfixturevalue(family)
    loaded = wrap(copy.deepcopy(tiny.model).to(torch.bfloat16), word_tokenizer(), "half")
    assert set(loaded.disabled) == set(tiny.backend.loaded.disabled)


def test_the_wired_and_the_trained_organism_offer_everything(ducks):
    """Most heads and neurons of the wired one do nothing, which is no reason to refuse them."""
    assert ducks.backend.loaded.disabled == {}
    assert Lab.load("organism:planted").backend.loaded.disabled == {}


def test_the_proof_takes_two_forwards(new_gpt2, word_tokenizer, forwards):
    model = new_gpt2()
    counted = forwards(model)
    wrap(model, word_tokenizer(), "mine")
    assert len(counted) == 2


def rewired(loaded, layer, **taps):
    """The model with other taps in one layer."""
    blocks = list(loaded.blocks)
    blocks[layer] = replace(blocks[layer], taps={**blocks[layer].taps, **taps})
    return proven(replace(loaded, blocks=tuple(blocks), disabled={}))


def backwards(tap):
    return replace(tap, parts=tap.parts[::-1])


WRONG = {
    "q and k swapped": (lambda taps: {"q": taps["k"], "k": taps["q"]}, {"q", "k"}),
    "k and v swapped": (lambda taps: {"k": taps["v"], "v": taps["k"]}, {"k", "v"}),
    "v for k": (lambda taps: {"k": taps["v"]}, {"k"}),
    "v for q": (lambda taps: {"q": taps["v"]}, {"q"}),
    "k for v": (lambda taps: {"v": taps["k"]}, {"v"}),
    "heads of q in another order": (lambda taps: {"q": backwards(taps["q"])}, {"q"}),
    "heads of k in another order": (lambda taps: {"k": backwards(taps["k"])}, {"k"}),
    "heads of v in another order": (lambda taps: {"v": backwards(taps["v"])}, {"v"}),
    "heads of z in another order": (lambda taps: {"head": backwards(taps["head"])}, {"head"}),
    "neurons in another order": (lambda taps: {"neuron": backwards(taps["neuron"])}, {"neuron"}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("family", "mistake"),
    # The tiny Llama's q has more heads than its k and v, so that their columns do not fit one another.
    [(f, m) for f in ("tiny_gpt2", "tiny_neox") for m in WRONG]
    + [("tiny_llama", m) for m in WRONG if m not in ("q and k swapped", "v for q")],
)
def test_a_tap_in_the_wrong_place_is_found(request, family, mistake, dtype):
    """In one layer only; what is told names that layer."""
    tiny = request.getfixturevalue(family)
    make, found = WRONG[mistake]
    loaded = wrap(copy.deepcopy(tiny.model).to(dtype), tiny.tokenizer, "mistaken")
    disabled = rewired(loaded, 1, **make(loaded.blocks[1].taps)).disabled
    assert found <= set(disabled)
    assert all("in layer 1 " in disabled[component] for component in found)


def test_columns_of_another_family_are_found(tiny_neox):
    """One projection of the same width: GPT-2 has all q first, NeoX goes head by head."""
    loaded = tiny_neox.backend.loaded
    taps = {
        which: replace(loaded.blocks[0].taps[which], parts=stacked(Heads(4, 4, 8), which)) for which in ("q", "k", "v")
    }
    assert set(rewired(loaded, 0, **taps).disabled) >= PROJECTED


def test_what_a_norm_still_changes_is_not_what_is_added(tiny_gemma2):
    loaded = tiny_gemma2.backend.loaded
    block = loaded.blocks[2].block
    attention, mlp = loaded.blocks[2].taps["attn_out"], loaded.blocks[2].taps["mlp_out"]
    disabled = rewired(loaded, 2, attn_out=replace(attention, module=block.self_attn)).disabled
    assert set(disabled) == {"attn_out", "mlp_out", "head", "resid_mid"}
    disabled = rewired(loaded, 2, mlp_out=replace(mlp, module=block.mlp)).disabled
    assert set(disabled) == {"attn_out", "mlp_out", "neuron", "resid_mid"}


def test_neurons_before_their_activation_are_not_neurons(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.h[1].mlp.c_proj.register_forward_hook(lambda _, __, out: out + 1)
    model.transformer.h[1].mlp.register_forward_hook(lambda _, __, out: 2 * out)
    loaded = wrap(model, word_tokenizer(), "gated")
    assert set(loaded.disabled) == {"neuron"}
    with pytest.raises(SiteError, match="neuron is not offered for gated: in layer 1 the neurons, projected, are not"):
        loaded.check(neuron(0, 0))


def test_heads_that_change_under_their_own_values_are_not_proven_by_them(tiny_gpt2):
    loaded = tiny_gpt2.backend.loaded
    prompt = torch.arange(1, 9)[None]
    seen = run(loaded, prompt, new_tokens=1, record=loaded.blocks[0].taps).activations
    assert probe(loaded, prompt, seen, 1e-3, {}) == {}
    seen |= {("head", layer): seen["head", layer] + 1 for layer in (1, 2)}
    why = "in layer 1 the heads change when q, k and v are written as they are."
    assert probe(loaded, prompt, seen, 1e-3, {}) == dict.fromkeys(("q", "k", "v"), why)


def test_heads_that_are_not_all_of_attention_are_not_offered(new_llama, word_tokenizer):
    model = new_llama()
    model.model.layers[1].self_attn.register_forward_hook(lambda _, __, out: (2 * out[0], *out[1:]))
    loaded = wrap(model, word_tokenizer(), "gated")
    assert set(loaded.disabled) == {"head"}
    with pytest.raises(SiteError, match="head is not offered for gated: in layer 1 the heads, projected, are not"):
        loaded.check(head(0, 0))


def test_a_stream_that_is_changed_between_blocks_is_not_offered(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.h[2].register_forward_pre_hook(lambda _, args: (args[0] + 1, *args[1:]))
    loaded = wrap(model, word_tokenizer(), "broken")
    assert {"resid_pre", "resid_post"} <= set(loaded.disabled)
    with pytest.raises(SiteError, match="resid_post is not offered for broken: block 2 does not start where block 1"):
        loaded.check(resid_post(0))
