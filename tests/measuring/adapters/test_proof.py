"""Sites proven on numbers: a component that is not what its name says is not offered."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn
from transformers import GraniteConfig, GraniteForCausalLM

from causaltest import Lab, attn_out, head, index, logit_diff, mlp_out, neuron, resid_mid, resid_post, resid_pre
from causaltest.asking.sites import Component
from causaltest.errors import ModelError, SiteError
from causaltest.measuring.adapters.heads import Heads, stacked
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


def granite(scale=0.25):
    """Scales what attention and MLP give before it is added."""
    return GraniteForCausalLM(GraniteConfig(**SMALL, residual_multiplier=scale)).eval()


PROJECTED = {"q", "k", "v"}
PARALLEL = (
    "in layer 0 what attention adds does not reach the MLP of the same block: both read the same stream side by side, "
    "and no stream lies between them."
)


def test_what_is_not_added_as_it_is_is_not_offered(new_gpt2, word_tokenizer, random_pairs):
    """A block that adds a third thing: neither of the two is what is added, and everything else is there."""
    model = new_gpt2()
    model.transformer.h[1].register_forward_hook(lambda _, args, out: out + 0.1 * args[0].flip(-1))
    lab = Lab(model, word_tokenizer(), name="odd")
    for site in (attn_out(0, index(1)), mlp_out(0, index(1))):
        told = rf"{site.component} is not offered for odd: in layer 1 no two modules of GPT2Block give what it adds"
        with pytest.raises(SiteError, match=told):
            lab.denoise(random_pairs(), at=site).recovery(logit_diff)
    with pytest.raises(SiteError, match=r"resid_mid is not offered for odd: it is resid_pre .*, and attn_out is not"):
        lab.denoise(random_pairs(), at=resid_mid(0, index(1))).recovery(logit_diff)
    for site in (resid_post(0, index(1)), resid_pre(1, index(1))):
        assert lab.denoise(random_pairs(), at=site).recovery(logit_diff, placebo=False).n == 6
    offered = {"embed", "resid_pre", "resid_post", "final_norm", "logits"}
    assert set(lab.backend.loaded.disabled) == set(get_args(Component)) - offered


@pytest.mark.parametrize("scale", [0.25, 0.22])
def test_what_a_family_scales_before_it_adds_it_is_offered_as_it_is_added(word_tokenizer, scale):
    """Granite: the component is the product, so that stream + attention + MLP is the stream behind the block.

    A product by 0.22, divided again, is often another number in its last bit, and nothing may change by it.
    """
    torch.manual_seed(0)
    loaded = wrap(granite(scale), word_tokenizer(), "scaled")
    assert loaded.disabled == {}
    assert {block.taps["attn_out"].scale for block in loaded.blocks} == {scale}
    ignored = replace(loaded.blocks[1].taps["attn_out"], scale=1.0)
    assert {"attn_out", "mlp_out"} <= set(rewired(loaded, 1, attn_out=ignored).disabled)


def test_what_is_small_beside_the_stream_is_resolved_by_itself(word_tokenizer):
    """The stream is ten thousand times as large as what is added, so that a share of it would hide any factor."""
    torch.manual_seed(0)
    model = granite()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(3e4)
    loaded = wrap(model, word_tokenizer(), "loud")
    assert {block.taps["mlp_out"].scale for block in loaded.blocks} == {0.25}
    assert {"attn_out", "mlp_out", "head", "neuron"} & set(loaded.disabled) == set()


def test_a_model_that_notices_a_write_is_found(new_gpt2, word_tokenizer):
    """Another tensor with the same numbers, and the answer is off by a few bits."""
    model = new_gpt2()
    mlp, last = model.transformer.h[1].mlp, []
    mlp.act.register_forward_hook(lambda _, __, out: last.append(out))
    real = mlp.c_proj.forward
    mlp.c_proj.forward = lambda given: real(given if given is last[-1] else given + 1e-5)
    disabled = wrap(model, word_tokenizer(), "wary").disabled
    assert disabled == {"neuron": "a run whose own values are written back there answers otherwise."}


def test_attention_and_mlp_taken_for_each_other_are_found(tiny_llama, tiny_neox):
    """Their sum is the same: what tells them apart is that an MLP reads its own position only."""
    for tiny in (tiny_llama, tiny_neox):
        taps = tiny.backend.loaded.blocks[1].taps
        disabled = rewired(tiny.backend.loaded, 1, attn_out=taps["mlp_out"], mlp_out=taps["attn_out"]).disabled
        assert disabled["attn_out"] == disabled["mlp_out"]
        assert "in layer 1 the MLP changes with another position's stream" in disabled["mlp_out"]


def test_a_write_that_does_not_arrive_is_found(new_gpt2, word_tokenizer):
    """The output is read as it is, and the block goes on with a copy taken before the hook."""
    model = new_gpt2()
    mlp = model.transformer.h[1].mlp
    kept = []
    mlp.dropout.register_forward_hook(lambda _, __, out: kept.append(out))
    mlp.register_forward_hook(lambda *_: kept.pop())
    loaded = wrap(model, word_tokenizer(), "deaf")
    tap = replace(loaded.blocks[1].taps["mlp_out"], module=Bystander(mlp))
    assert loaded.disabled == {}
    mlp.register_forward_hook(lambda _, __, out: (tap.module(out), out)[1])
    assert set(rewired(loaded, 1, mlp_out=tap).disabled) >= {"mlp_out"}


class Bystander(nn.Module):
    """Sees what another module gives, and nobody reads what it gives itself."""

    def __init__(self, _):
        super().__init__()
        self.eval()

    def forward(self, given):
        return given.clone()


def test_a_run_that_does_not_answer_as_the_model_does_is_refused(new_gpt2, word_tokenizer):
    """Something of a token reaches the model past its embedding: here by a hook that only ids go through."""
    model = new_gpt2()

    def add(_, args, kwargs, out):
        ids = args[0] if args else kwargs.get("input_ids")
        if ids is not None:
            out.last_hidden_state = out.last_hidden_state + torch.randn(16)
        return out

    model.transformer.register_forward_hook(add, with_kwargs=True)
    with pytest.raises(ModelError, match=r"^odd answers otherwise when it is run from its input embeddings"):
        wrap(model, word_tokenizer(), "odd")


def test_a_stream_that_is_not_all_that_a_block_reads_is_not_offered(new_gpt2, word_tokenizer):
    """Block 2 also reads the embeddings of the prompt, as some families do: its stream does not carry the run."""
    model = new_gpt2()
    first = []
    model.transformer.h[0].register_forward_pre_hook(lambda _, args: first.append(args[0]))
    model.transformer.h[2].ln_1.register_forward_hook(lambda _, __, out: out + first[-1])
    disabled = wrap(model, word_tokenizer(), "skips").disabled
    for component in ("resid_pre", "resid_post"):
        assert disabled[component].startswith("in layer 0 it does not carry the whole run: another prompt's run with")


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
    assert set(ducks.backend.loaded.disabled) == {"logits"}
    assert Lab.load("organism:planted").backend.loaded.disabled == {}


def test_the_proof_takes_eighteen_forwards(new_gpt2, word_tokenizer, forwards):
    """However many layers and heads there are."""
    for model in (new_gpt2(), new_gpt2(n_layer=5)):
        counted = forwards(model.transformer)
        wrap(model, word_tokenizer(), "mine")
        assert len(counted) == 18


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
    assert set(disabled) == {"attn_out", "mlp_out", "head", "pattern", "resid_mid"}
    disabled = rewired(loaded, 2, mlp_out=replace(mlp, module=block.mlp)).disabled
    assert set(disabled) == {"attn_out", "mlp_out", "neuron", "resid_mid"}


def test_neurons_before_their_activation_are_not_neurons(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.h[1].mlp.c_proj.register_forward_hook(lambda _, __, out: out + 1)
    model.transformer.h[1].mlp.register_forward_hook(lambda _, __, out: 2 * out)
    loaded = wrap(model, word_tokenizer(), "gated")
    assert set(loaded.disabled) == {"neuron"}
    with pytest.raises(SiteError, match="neuron is not offered for gated: in layer 1 no one projection gives all that"):
        loaded.check(neuron(0, 0))


@torch.inference_mode()
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
    assert set(loaded.disabled) == {"head", "q", "k", "v", "pattern"}
    with pytest.raises(SiteError, match="head is not offered for gated: in layer 1 no one projection gives attention"):
        loaded.check(head(0, 0))


def test_a_stream_that_is_changed_between_blocks_is_not_offered(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.h[2].register_forward_pre_hook(lambda _, args: (args[0] + 1, *args[1:]))
    loaded = wrap(model, word_tokenizer(), "broken")
    assert {"resid_pre", "resid_post"} <= set(loaded.disabled)
    with pytest.raises(SiteError, match="resid_post is not offered for broken: block 2 does not start where block 1"):
        loaded.check(resid_post(0))
