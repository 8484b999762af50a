"""Families by shape: known ones are named module by module, others are refused."""

import pytest
import torch
from torch import nn
from transformers import BloomConfig, BloomForCausalLM, OPTConfig, OPTForCausalLM

from causaltest import Lab, k
from causaltest.errors import ModelError, SiteError
from causaltest.measuring.adapters.families import count_heads, resolve_blocks
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.model import Tap
from causaltest.measuring.trajectory import run

WHOLE = (range(16),)


def spread(*starts, width=4):
    return tuple(range(start, start + width) for start in starts)


def test_gpt2_by_name(tiny_gpt2):
    """q, k and v are stretches of one projection, all of one after all of the other."""
    model = tiny_gpt2.model
    for theirs, block in zip(model.transformer.h, resolve_blocks(model), strict=True):
        assert (block.block, block.mlp, block.output_projection) == (theirs, theirs.mlp, theirs.attn.c_proj)
        assert (block.attention_norm, block.mlp_norm) == (None, None)
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
        }
    assert count_heads(model) == 4


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_mistral"])
def test_llama_by_name_with_query_heads_counted(request, family):
    model = request.getfixturevalue(family).model
    for theirs, block in zip(model.model.layers, resolve_blocks(model), strict=True):
        attention = theirs.self_attn
        assert (block.block, block.mlp, block.output_projection) == (theirs, theirs.mlp, attention.o_proj)
        assert (block.attention_norm, block.mlp_norm) == (None, None)
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
        }
    assert count_heads(model) == 4


def test_gemma2_by_name_adds_what_its_norms_give(tiny_gemma2):
    """Heads of 6 columns, in a stream of 16."""
    model = tiny_gemma2.model
    for theirs, block in zip(model.model.layers, resolve_blocks(model), strict=True):
        attention = theirs.self_attn
        after = (theirs.post_attention_layernorm, theirs.post_feedforward_layernorm)
        assert (block.block, block.mlp, block.output_projection) == (theirs, theirs.mlp, attention.o_proj)
        assert (block.attention_norm, block.mlp_norm) == after
        assert block.taps["attn_out"] == Tap(after[0], "output", WHOLE)
        assert block.taps["mlp_out"] == Tap(after[1], "output", WHOLE)
        assert block.taps["head"] == Tap(attention.o_proj, "input", spread(0, 6, 12, 18, width=6))
        assert block.taps["q"] == Tap(attention.q_proj, "output", spread(0, 6, 12, 18, width=6))
        assert block.taps["k"] == Tap(attention.k_proj, "output", spread(0, 6, width=6))
        assert block.taps["v"] == Tap(attention.v_proj, "output", spread(0, 6, width=6))


def test_neox_by_name_with_q_k_and_v_of_each_head_side_by_side(tiny_neox):
    """Heads of 8 columns: q at 0, k at 8, v at 16, and the next head's q at 24."""
    model = tiny_neox.model
    for theirs, block in zip(model.gpt_neox.layers, resolve_blocks(model), strict=True):
        attention = theirs.attention
        assert (block.block, block.mlp, block.output_projection) == (theirs, theirs.mlp, attention.dense)
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


def test_components_whose_modules_are_not_known_are_left_out(new_llama, word_tokenizer):
    """The rest of the family is there, and the component says why it is not."""
    model = new_llama()
    model.model.layers[1].self_attn.k_proj = Joined(model.model.layers[1].self_attn.k_proj)
    blocks = resolve_blocks(model)
    assert {"q", "k", "v"} & set(blocks[1].taps) == set()
    assert {"q", "k", "v", "head", "neuron"} <= set(blocks[0].taps)
    loaded = wrap(model, word_tokenizer(), "odd")
    assert set(loaded.disabled) == {"q", "k", "v"}
    with pytest.raises(
        SiteError, match=r"^k is not offered for odd: the modules that hold it in layer 1 are not known"
    ):
        loaded.check(k(0, 0))


def test_heads_that_do_not_divide_what_is_projected_are_left_out(new_llama):
    model = new_llama()
    model.config.num_attention_heads = 3
    assert set(resolve_blocks(model)[0].taps) == {"resid_pre", "resid_post", "attn_out", "mlp_out", "neuron"}


class Joined(nn.Module):
    """A projection that does not say how wide it is."""

    def __init__(self, projection):
        super().__init__()
        self.projection = projection.eval()
        self.eval()

    def forward(self, hidden):
        return self.projection(hidden)


UNKNOWN = {
    "BloomForCausalLM": lambda: BloomForCausalLM(BloomConfig(vocab_size=30, hidden_size=16, n_layer=2, n_head=4)),
    "OPTForCausalLM": lambda: OPTForCausalLM(
        OPTConfig(
            vocab_size=30,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=24,
            word_embed_proj_dim=16,
            max_position_embeddings=32,
        )
    ),
}


@pytest.mark.parametrize("family", UNKNOWN)
def test_an_unknown_family_is_refused_with_the_shapes_looked_for(family, tiny_gpt2, random_pairs):
    model = UNKNOWN[family]().eval()
    with pytest.raises(ModelError) as told:
        Lab(model, tiny_gpt2.tokenizer).clean(random_pairs())
    message = str(told.value)
    assert message.startswith(f"{family} has a shape that is not known")
    assert "GPT-2: transformer.h[i].attn, .mlp, .attn.c_proj" in message
    assert "Llama: model.layers[i].self_attn, .mlp, .self_attn.o_proj" in message
    assert ".self_attn.o_proj, .post_attention_layernorm, .post_feedforward_layernorm" in message
    assert "GPT-NeoX: gpt_neox.layers[i].attention, .mlp, .attention.dense" in message


def test_a_decoder_whose_blocks_lack_a_part_is_refused(new_llama):
    model = new_llama()
    model.model.layers[2].self_attn.o_proj = None
    with pytest.raises(ModelError, match="LlamaForCausalLM has a shape that is not known"):
        resolve_blocks(model)


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
            attention, mlp = (
                block.output_projection(seen["head", layer]),
                block.taps["neuron"].module(seen["neuron", layer]),
            )
            attention = attention if block.attention_norm is None else block.attention_norm(attention)
            mlp = mlp if block.mlp_norm is None else block.mlp_norm(mlp)
        assert torch.allclose(attention, seen["attn_out", layer], atol=1e-5)
        assert torch.allclose(mlp, seen["mlp_out", layer], atol=1e-5)
