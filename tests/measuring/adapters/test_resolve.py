"""The resolver: every tap of known families named by hand here, and what is said where nothing can be resolved."""

import copy

import pytest
import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from causaltest import k
from causaltest.errors import ModelError, SiteError
from causaltest.measuring.adapters.decoder import count_heads, resolve_blocks
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.model import Tap
from causaltest.measuring.trajectory import run

WHOLE = (range(16),)


def twice(*modules):
    """Trimmed from the input of each to its own output."""
    return tuple((module, module) for module in modules)


def spread(*starts, width=4):
    return tuple(range(start, start + width) for start in starts)


def test_gpt2_by_name(tiny_gpt2):
    """q, k and v are stretches of one projection, all of one after all of the other."""
    model, loaded = tiny_gpt2.model, tiny_gpt2.backend.loaded
    for theirs, block in zip(model.transformer.h, loaded.blocks, strict=True):
        assert (block.block, block.trimmed) == (theirs, twice(theirs.attn.c_proj, theirs.mlp))
        assert block.into == {"head": (theirs.attn.c_proj,), "neuron": (theirs.mlp.c_proj,)}
        assert block.taps == {
            "resid_pre": Tap(theirs, "input", WHOLE),
            "resid_post": Tap(theirs, "output", WHOLE),
            "attn_out": Tap(theirs.attn, "output", WHOLE),
            "mlp_out": Tap(theirs.mlp, "output", WHOLE),
            "head": Tap(theirs.attn.c_proj, "input", spread(0, 4, 8, 12)),
            "q": Tap(theirs.attn.c_attn, "output", spread(0, 4, 8, 12)),
            "k": Tap(theirs.attn.c_attn, "output", spread(16, 20, 24, 28)),
            "v": Tap(theirs.attn.c_attn, "output", spread(32, 36, 40, 44)),
            "neuron": Tap(theirs.mlp.c_proj, "input", spread(*range(64), width=1)),
            "pattern": Tap(theirs.attn, "weights", spread(*range(4), width=1)),
        }
    assert count_heads(model) == 4


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_mistral"])
def test_llama_by_name_with_query_heads_counted(request, family):
    model, loaded = request.getfixturevalue(family).model, request.getfixturevalue(family).backend.loaded
    for theirs, block in zip(model.model.layers, loaded.blocks, strict=True):
        attention = theirs.self_attn
        assert (block.block, block.trimmed) == (theirs, twice(attention.o_proj, theirs.mlp))
        assert block.into == {"head": (attention.o_proj,), "neuron": (theirs.mlp.down_proj,)}
        assert block.taps == {
            "resid_pre": Tap(theirs, "input", WHOLE),
            "resid_post": Tap(theirs, "output", WHOLE),
            "attn_out": Tap(attention, "output", WHOLE),
            "mlp_out": Tap(theirs.mlp, "output", WHOLE),
            "head": Tap(attention.o_proj, "input", spread(0, 4, 8, 12)),
            "q": Tap(attention.q_proj, "output", spread(0, 4, 8, 12)),
            "k": Tap(attention.k_proj, "output", spread(0, 4)),
            "v": Tap(attention.v_proj, "output", spread(0, 4)),
            "neuron": Tap(theirs.mlp.down_proj, "input", spread(*range(24), width=1)),
            "pattern": Tap(attention, "weights", spread(*range(4), width=1)),
        }
    assert count_heads(model) == 4


def test_gemma2_by_name_adds_what_its_norms_give(tiny_gemma2):
    """Heads of 6 columns, in a stream of 16."""
    model, loaded = tiny_gemma2.model, tiny_gemma2.backend.loaded
    for theirs, block in zip(model.model.layers, loaded.blocks, strict=True):
        attention = theirs.self_attn
        after = (theirs.post_attention_layernorm, theirs.post_feedforward_layernorm)
        assert (block.block, block.trimmed) == (theirs, twice(attention.o_proj, theirs.mlp))
        into = {"head": (attention.o_proj, after[0]), "neuron": (theirs.mlp.down_proj, after[1])}
        assert block.into == into
        assert block.taps["attn_out"] == Tap(after[0], "output", WHOLE)
        assert block.taps["mlp_out"] == Tap(after[1], "output", WHOLE)
        assert block.taps["head"] == Tap(attention.o_proj, "input", spread(0, 6, 12, 18, width=6))
        assert block.taps["q"] == Tap(attention.q_proj, "output", spread(0, 6, 12, 18, width=6))
        assert block.taps["k"] == Tap(attention.k_proj, "output", spread(0, 6, width=6))
        assert block.taps["v"] == Tap(attention.v_proj, "output", spread(0, 6, width=6))


def test_neox_by_name_with_q_k_and_v_of_each_head_side_by_side(tiny_neox):
    """Heads of 8 columns: q at 0, k at 8, v at 16, and the next head's q at 24."""
    model, loaded = tiny_neox.model, tiny_neox.backend.loaded
    for theirs, block in zip(model.gpt_neox.layers, loaded.blocks, strict=True):
        attention = theirs.attention
        assert (block.block, block.trimmed) == (theirs, twice(attention.dense, theirs.mlp))
        assert block.taps["attn_out"] == Tap(attention, "output", (range(32),))
        assert block.taps["head"] == Tap(attention.dense, "input", spread(0, 8, 16, 24, width=8))
        for which, first in (("q", 0), ("k", 8), ("v", 16)):
            columns = spread(*(first + 24 * head for head in range(4)), width=8)
            assert block.taps[which] == Tap(attention.query_key_value, "output", columns)
        assert block.taps["neuron"] == Tap(theirs.mlp.dense_4h_to_h, "input", spread(*range(24), width=1))


def test_the_columns_of_all_parts_are_a_slice_where_they_lie_side_by_side(tiny_gpt2, tiny_neox):
    gpt2, neox = (tiny.backend.loaded.blocks[0].taps for tiny in (tiny_gpt2, tiny_neox))
    assert gpt2["k"].columns() == slice(16, 32)
    assert gpt2["k"].columns(2) == slice(24, 28)
    assert neox["k"].columns() == [*range(8, 16), *range(32, 40), *range(56, 64), *range(80, 88)]
    assert neox["k"].columns(2) == slice(56, 64)


def test_a_component_whose_module_is_not_known_is_left_out(new_llama, word_tokenizer):
    """The rest of the block is there, and the component says why it is not."""
    model = new_llama()
    model.model.layers[1].self_attn.k_proj = Joined(model.model.layers[1].self_attn.k_proj)
    loaded = wrap(model, word_tokenizer(), "odd")
    assert "k" not in loaded.blocks[1].taps
    assert {"q", "v", "head", "neuron"} <= set(loaded.blocks[1].taps)
    assert set(loaded.disabled) == {"k"}
    with pytest.raises(
        SiteError, match=r"^k is not offered for odd: the modules that hold it in layer 1 are not known"
    ):
        loaded.check(k(0, 0))


def test_heads_that_do_not_divide_what_is_projected_are_left_out(new_llama, word_tokenizer):
    model = new_llama()
    model.config.num_attention_heads = 3
    loaded = wrap(model, word_tokenizer(), "odd")
    assert set(loaded.blocks[0].taps) == {"resid_pre", "resid_post", "attn_out", "mlp_out", "neuron"}
    assert set(loaded.disabled) == {"head", "q", "k", "v", "pattern"}


def test_heads_whose_columns_nothing_shows_are_not_offered(new_llama, word_tokenizer):
    """z is there and projects to attention's output, and which columns are which head's is not known."""
    model = new_llama()
    for layer in model.model.layers:
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(layer.self_attn, name, Joined(getattr(layer.self_attn, name)))
    disabled = wrap(model, word_tokenizer(), "odd").disabled
    assert set(disabled) == {"head", "q", "k", "v", "pattern"}
    assert disabled["head"].startswith("neither q nor v shows which columns are which head's")


class Joined(nn.Module):
    """A projection that does not say how wide it is."""

    def __init__(self, projection):
        super().__init__()
        self.projection = projection.eval()
        self.eval()

    def forward(self, hidden):
        return self.projection(hidden)


def test_blocks_that_cannot_be_told_from_other_lists_are_refused_with_what_was_tried(new_gpt2, word_tokenizer):
    model = new_gpt2()
    model.transformer.others = copy.deepcopy(model.transformer.h)
    with pytest.raises(ModelError) as told:
        wrap(model, word_tokenizer(), "mine")
    message = str(told.value)
    assert message.startswith("GPT2LMHeadModel has a shape that is not known, so none of its sites can be trusted.")
    assert "the class that records hidden states: 2 lists" in message
    assert "a list of num_hidden_layers = 3 modules: 2 lists" in message
    assert '[tool.causaltest.models."GPT2LMHeadModel"]' in message and 'blocks = "model.layers"' in message


def test_an_encoder_decoder_is_refused():
    config = T5Config(vocab_size=30, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4)
    with pytest.raises(ModelError, match=r"^T5ForConditionalGeneration is an encoder and a decoder: one stack reads"):
        resolve_blocks(T5ForConditionalGeneration(config).eval())


@pytest.mark.parametrize(
    "family", ["tiny_gpt2", "tiny_llama", "tiny_mistral", "tiny_gemma2", "tiny_neox", "tiny_sequential_neox"]
)
def test_attention_and_mlp_are_what_a_block_adds(request, family):
    """Numerically: block output = block input + attention + MLP, each the projection, normed, of its parts."""
    loaded = request.getfixturevalue(family).backend.loaded
    seen = run(loaded, torch.arange(7)[None], new_tokens=2, record=loaded.blocks[0].taps).activations
    for layer, block in enumerate(loaded.blocks):
        added = seen["resid_pre", layer] + seen["attn_out", layer] + seen["mlp_out", layer]
        assert torch.allclose(added, seen["resid_post", layer], atol=1e-5)
        with torch.no_grad():
            attention = block.added_by("head", seen["head", layer])
            mlp = block.added_by("neuron", seen["neuron", layer])
        assert torch.allclose(attention, seen["attn_out", layer], atol=1e-5)
        assert torch.allclose(mlp, seen["mlp_out", layer], atol=1e-5)
