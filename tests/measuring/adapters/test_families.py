"""Families by shape: known ones are named module by module, others are refused."""

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, GPTNeoXConfig, GPTNeoXForCausalLM, OPTConfig, OPTForCausalLM

from causaltest import Lab
from causaltest.errors import ModelError
from causaltest.measuring.adapters.families import count_heads, resolve_blocks


def test_gpt2_by_name(tiny_gpt2):
    model = tiny_gpt2.model
    for layer, block in enumerate(resolve_blocks(model)):
        theirs = model.transformer.h[layer]
        assert block.block is theirs
        assert block.attention is theirs.attn
        assert block.mlp is theirs.mlp
        assert block.output_projection is theirs.attn.c_proj
    assert count_heads(model) == 4


def test_llama_by_name_with_query_heads_counted(tiny_llama):
    model = tiny_llama.model
    for layer, block in enumerate(resolve_blocks(model)):
        theirs = model.model.layers[layer]
        assert block.block is theirs
        assert block.attention is theirs.self_attn
        assert block.mlp is theirs.mlp
        assert block.output_projection is theirs.self_attn.o_proj
    assert model.config.num_key_value_heads == 2
    assert count_heads(model) == 4


UNKNOWN = {
    "GPTNeoXForCausalLM": lambda: GPTNeoXForCausalLM(
        GPTNeoXConfig(vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
    ),
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


def test_a_decoder_whose_blocks_lack_a_part_is_refused(new_llama):
    model = new_llama()
    model.model.layers[2].self_attn.o_proj = None
    with pytest.raises(ModelError, match="LlamaForCausalLM has a shape that is not known"):
        resolve_blocks(model)


@pytest.mark.parametrize("family", ["tiny_gpt2", "tiny_llama"])
def test_attention_and_mlp_are_what_a_block_adds(request, family):
    """Numerically: block output = block input + attention + MLP, and attention = projection of z."""
    tiny = request.getfixturevalue(family)
    loaded = tiny.backend.loaded
    seen = tiny.backend.references.get(tiny.pairs, "clean", 1, {"head"}).runs[0].activations
    for layer, block in enumerate(loaded.blocks):
        added = seen["resid_pre", layer] + seen["attn_out", layer] + seen["mlp_out", layer]
        assert torch.allclose(added, seen["resid_post", layer], atol=1e-4)
        with torch.no_grad():
            assert torch.allclose(block.output_projection(seen["head", layer]), seen["attn_out", layer], atol=1e-5)
