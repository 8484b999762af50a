"""Where each family keeps its components, written by hand from its own modeling file. Nothing of causaltest is used.

`attn_out` and `mlp_out` are what is added to the residual stream, exactly: resid_pre + attn_out + mlp_out is
resid_post in every block. `test_catalogue.py` holds every line here against the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from families.columns import (
    Columns,
    codegen_pieces,
    falcon_groups,
    interleaved,
    keys,
    latent_heads,
    latent_queries,
    latent_values,
    neurons,
    queries,
    stacked,
)


@dataclass(frozen=True)
class At:
    """A component of a block: a module's input or output, times `scale`."""

    module: str
    """Relative to the block; empty for the block itself."""
    side: Literal["input", "output"]
    columns: Columns | None = None
    """None: one part of the whole width."""
    scale: float = 1.0
    layers: tuple[int, ...] | None = None
    """None: every layer. A part of a model's blocks may be of another kind."""
    elsewhere: str = ""
    """Why the other layers have none."""


def fused(module: str, columns: Callable[[int], Columns]) -> dict[str, At]:
    """q, k and v from one projection."""
    return {name: At(module, "output", columns(which)) for which, name in enumerate("qkv")}


def only(layers: tuple[int, ...], places: Mapping[str, At | str], *components: str) -> dict[str, At]:
    """The components as they are, in some layers."""
    return {
        c: replace(at, layers=layers, elsewhere=NO_ATTENTION) for c in components if isinstance(at := places[c], At)
    }


# Why a component is not there

SIDE_BY_SIDE = "attention and MLP read the same stream side by side, and no stream lies between them"
NORMED = "a norm of the sum follows, so nothing is added as it is"
BETWEEN_NORMED = "the sum is normed between attention and MLP, and which of both is meant is not said"
EXPERTS = "experts are no modules, so that no module reads their neurons"
NO_ATTENTION = "there is no attention"
NO_MLP = "there is no MLP"
KEYS_IN_TWO = "a key is put together from two projections, one of them shared by all heads"

# The families

GPT2 = {
    "resid_pre": At("", "input"),
    **fused("attn.c_attn", stacked),
    "head": At("attn.c_proj", "input", queries),
    "attn_out": At("attn", "output"),
    "resid_mid": At("ln_2", "input"),
    "neuron": At("mlp.c_proj", "input", neurons(64)),
    "mlp_out": At("mlp", "output"),
    "resid_post": At("", "output"),
}
GPT_NEO = {
    **GPT2,
    "q": At("attn.attention.q_proj", "output", queries),
    "k": At("attn.attention.k_proj", "output", queries),
    "v": At("attn.attention.v_proj", "output", queries),
    "head": At("attn.attention.out_proj", "input", queries),
}
GPTJ = {
    **GPT2,
    "q": At("attn.q_proj", "output", queries),
    "k": At("attn.k_proj", "output", queries),
    "v": At("attn.v_proj", "output", queries),
    "head": At("attn.out_proj", "input", queries),
    "resid_mid": SIDE_BY_SIDE,
    "neuron": At("mlp.fc_out", "input", neurons(64)),
}
CODEGEN = {**GPTJ, **fused("attn.qkv_proj", codegen_pieces), "neuron": At("mlp.fc_out", "input", neurons(128))}
NEOX = {
    "resid_pre": At("", "input"),
    **fused("attention.query_key_value", interleaved),
    "head": At("attention.dense", "input", queries),
    "attn_out": At("attention", "output"),
    "resid_mid": SIDE_BY_SIDE,
    "neuron": At("mlp.dense_4h_to_h", "input", neurons(24)),
    "mlp_out": At("mlp", "output"),
    "resid_post": At("", "output"),
}
OPT = {
    "resid_pre": At("", "input"),
    "q": At("self_attn.q_proj", "output", queries),
    "k": At("self_attn.k_proj", "output", queries),
    "v": At("self_attn.v_proj", "output", queries),
    "head": At("self_attn.out_proj", "input", queries),
    "attn_out": At("self_attn", "output"),
    "resid_mid": At("final_layer_norm", "input"),
    "neuron": At("fc2", "input", neurons(24)),
    "mlp_out": At("fc2", "output"),
    "resid_post": At("", "output"),
}
OPENAI = {**GPT2, "attn_out": NORMED, "resid_mid": BETWEEN_NORMED, "mlp_out": NORMED}
# Its attention and its MLP are handed the stream and give it back with what they add.
BLOOM = {
    "resid_pre": At("", "input"),
    **fused("self_attention.query_key_value", interleaved),
    "head": At("self_attention.dense", "input", queries),
    "attn_out": At("self_attention.dense", "output"),
    "resid_mid": At("self_attention", "output"),
    "neuron": At("mlp.dense_4h_to_h", "input", neurons(64)),
    "mlp_out": At("mlp.dense_4h_to_h", "output"),
    "resid_post": At("", "output"),
}
MPT = {
    "resid_pre": At("", "input"),
    **fused("attn.Wqkv", stacked),
    "head": At("attn.out_proj", "input", queries),
    "attn_out": At("attn", "output"),
    "resid_mid": At("norm_2", "input"),
    "neuron": At("ffn.down_proj", "input", neurons(64)),
    "mlp_out": At("ffn.down_proj", "output"),
    "resid_post": At("", "output"),
}
FALCON = {
    "resid_pre": At("", "input"),
    **fused("self_attention.query_key_value", falcon_groups),
    "head": At("self_attention.dense", "input", queries),
    "attn_out": At("self_attention", "output"),
    "resid_mid": SIDE_BY_SIDE,
    "neuron": At("mlp.dense_4h_to_h", "input", neurons(64)),
    "mlp_out": At("mlp", "output"),
    "resid_post": At("", "output"),
}
LLAMA: dict[str, At | str] = {
    "resid_pre": At("", "input"),
    "q": At("self_attn.q_proj", "output", queries),
    "k": At("self_attn.k_proj", "output", keys),
    "v": At("self_attn.v_proj", "output", keys),
    "head": At("self_attn.o_proj", "input", queries),
    "attn_out": At("self_attn", "output"),
    "resid_mid": At("post_attention_layernorm", "input"),
    "neuron": At("mlp.down_proj", "input", neurons(24)),
    "mlp_out": At("mlp", "output"),
    "resid_post": At("", "output"),
}
PERSIMMON = {
    **LLAMA,
    **fused("self_attn.query_key_value", interleaved),
    "head": At("self_attn.dense", "input", queries),
    "neuron": At("mlp.dense_4h_to_h", "input", neurons(24)),
}
OLMO2 = {
    **LLAMA,
    "attn_out": At("post_attention_layernorm", "output"),
    "resid_mid": At("mlp", "input"),
    "mlp_out": At("post_feedforward_layernorm", "output"),
}
FALCON_H1 = {
    **LLAMA,
    "attn_out": At("self_attn", "output", scale=0.5),
    "mixer": At("mamba", "output", scale=2.0),
    "resid_mid": At("pre_ff_layernorm", "input"),
    "neuron": At("feed_forward.down_proj", "input", neurons(24)),
    "mlp_out": At("feed_forward", "output"),
}
GEMMA2 = {
    **LLAMA,
    "attn_out": At("post_attention_layernorm", "output"),
    "resid_mid": At("pre_feedforward_layernorm", "input"),
    "mlp_out": At("post_feedforward_layernorm", "output"),
}
GLM4 = {
    **LLAMA,
    "attn_out": At("post_self_attn_layernorm", "output"),
    "mlp_out": At("post_mlp_layernorm", "output"),
}
PHI = {
    **LLAMA,
    "head": At("self_attn.dense", "input", queries),
    "resid_mid": SIDE_BY_SIDE,
    "neuron": At("mlp.fc2", "input", neurons(24)),
}
DEEPSEEK = {
    **LLAMA,
    "q": At("self_attn.q_b_proj", "output", latent_queries),
    "k": KEYS_IN_TWO,
    "v": At("self_attn.kv_b_proj", "output", latent_values),
    "head": At("self_attn.o_proj", "input", latent_heads),
    "neuron": At("mlp.down_proj", "input", neurons(24), layers=(0,), elsewhere=EXPERTS),
}
GEMMA2_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
GRANITE_SCALE = 0.25
"""What its blocks multiply with whatever they add; as `tiny` sets it."""
JAMBA_NEURON = At("feed_forward.down_proj", "input", neurons(24), layers=(0, 2), elsewhere=EXPERTS)
STATE = {
    **LLAMA,
    "mixer": At("mamba", "output", layers=(0, 2)),
    **only((1,), LLAMA, "q", "k", "v", "head", "attn_out"),
    "resid_mid": At("pre_ff_layernorm", "input"),
    "neuron": At("feed_forward.down_proj", "input", neurons(24)),
    "mlp_out": At("feed_forward", "output"),
}
RECURRENT_ATTENTION: dict[str, At | str] = {
    "q": At("temporal_block.q_proj", "output", queries),
    "k": At("temporal_block.k_proj", "output", keys),
    "v": At("temporal_block.v_proj", "output", keys),
    "head": At("temporal_block.o_proj", "input", queries),
    "attn_out": At("temporal_block", "output"),
}
RECURRENT = {
    **LLAMA,
    "mixer": At("temporal_block", "output", layers=(0, 1)),
    **only((2,), RECURRENT_ATTENTION, *RECURRENT_ATTENTION),
    "resid_mid": At("channel_pre_norm", "input"),
    "neuron": At("mlp_block.down_proj", "input", neurons(12)),
    "mlp_out": At("mlp_block", "output"),
}
MAMBA = {
    "resid_pre": At("", "input"),
    "mixer": At("mixer", "output"),
    "resid_post": At("", "output"),
    **dict.fromkeys(("q", "k", "v", "head", "attn_out"), NO_ATTENTION),
    **dict.fromkeys(("resid_mid", "neuron", "mlp_out"), NO_MLP),
}
BERT = {
    "resid_pre": At("", "input"),
    "q": At("attention.self.query", "output", queries),
    "k": At("attention.self.key", "output", queries),
    "v": At("attention.self.value", "output", queries),
    "head": At("attention.output.dense", "input", queries),
    "attn_out": NORMED,
    "resid_mid": BETWEEN_NORMED,
    "neuron": At("output.dense", "input", neurons(24)),
    "mlp_out": NORMED,
    "resid_post": At("", "output"),
}
T5 = {
    "resid_pre": At("", "input"),
    "q": At("layer.0.SelfAttention.q", "output", queries),
    "k": At("layer.0.SelfAttention.k", "output", queries),
    "v": At("layer.0.SelfAttention.v", "output", queries),
    "head": At("layer.0.SelfAttention.o", "input", queries),
    "attn_out": At("layer.0.SelfAttention", "output"),
    "resid_mid": At("layer.1", "input"),
    "neuron": At("layer.1.DenseReluDense.wo", "input", neurons(24)),
    "mlp_out": At("layer.1.DenseReluDense", "output"),
    "resid_post": At("", "output"),
}
