"""Sites proven on numbers: a component that is not what its name says is not offered."""

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

from causaltest import Lab, attn_out, head, index, logit_diff, mlp_out, resid_post
from causaltest.asking.sites import resid_pre
from causaltest.errors import SiteError
from causaltest.measuring.adapters.load import wrap

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


def gemma():
    """Adds a norm of what attention and MLP give, not what they give."""
    return Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=4)).eval()


def granite():
    """Scales what attention and MLP give before it is added."""
    return GraniteForCausalLM(GraniteConfig(**SMALL, residual_multiplier=0.25)).eval()


@pytest.mark.parametrize("make", [gemma, granite])
def test_what_is_not_added_as_it_is_is_not_offered(make, word_tokenizer, random_pairs):
    torch.manual_seed(0)
    lab = Lab(make(), word_tokenizer(), name="odd")
    for site in (attn_out(0, index(1)), mlp_out(0, index(1))):
        with pytest.raises(SiteError, match=rf"{site.component} is not offered for odd: in layer \d it is not what is"):
            lab.denoise(random_pairs(), at=site).recovery(logit_diff)
    for site in (resid_post(0, index(1)), resid_pre(1, index(1)), head(0, 1, index(1))):
        assert lab.denoise(random_pairs(), at=site).recovery(logit_diff, placebo=False).n == 6


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
def test_the_families_by_name_offer_everything(request, family):
    assert request.getfixturevalue(family).backend.loaded.disabled == {}


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
