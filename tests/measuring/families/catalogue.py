"""The families that are checked: where the blocks of each are, and what it is known for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from families import places, tiny
from families.columns import differential_heads, falcon_multi_query, interleaved, neurons, stacked
from families.places import At, fused

make = tiny.make


@dataclass(frozen=True)
class Family:
    """A family: where its blocks and components are; in place of a component that it has not, the reason."""

    block: str
    embed: str
    places: Mapping[str, At | str]
    projections: tuple[str, str] | None = ("self_attn.o_proj", "mlp.down_proj")
    """What takes the heads, and the neurons, back to the stream's width; relative to the block."""
    norms: tuple[str | None, str | None] = (None, None)
    """What attention, and the MLP, go through behind their projections and before the stream."""
    facts: tuple[str, ...] = ()
    promised: bool = True
    """Of those whose stream, heads, and what attention and the MLP add, are to be offered."""

    def place(self, component: str, layer: int) -> At | None:
        """Where a component of a layer is; None where there is none."""
        at = self.places[component]
        there = isinstance(at, At) and (at.layers is None or layer in at.layers)
        return at if there and isinstance(at, At) else None

    def path(self, at: At, layer: int) -> str:
        return ".".join(part for part in (self.block.format(layer), at.module) if part)


def llama(*facts: str, **changes: At | str) -> Family:
    """A family with Llama's names, but for the places given."""
    return Family("model.layers.{}", "model.embed_tokens", {**places.LLAMA, **changes}, facts=facts)


GROUPED, PARALLEL, SLIDING, SANDWICH = "grouped queries", "parallel", "sliding window", "sandwich norms"
MIXTURE, ALIBI, STATEFUL = "mixture of experts", "ALiBi", "state space"
NEOX_STREAM = ("gpt_neox.layers.{}", "gpt_neox.embed_in")
FALCON_STREAM = ("transformer.h.{}", "transformer.word_embeddings")
OLMO2_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
SEQUENTIAL_FALCON = {
    **places.FALCON,
    **fused("self_attention.query_key_value", interleaved),
    "resid_mid": At("post_attention_layernorm", "input"),
}

FAMILIES: dict[str, Family] = {
    "gpt2": Family("transformer.h.{}", "transformer.wte", places.GPT2, ("attn.c_proj", "mlp.c_proj")),
    "gpt_neo": Family(
        "transformer.h.{}",
        "transformer.wte",
        places.GPT_NEO,
        ("attn.attention.out_proj", "mlp.c_proj"),
        facts=(SLIDING,),
    ),
    "gptj": Family(
        "transformer.h.{}", "transformer.wte", places.GPTJ, ("attn.out_proj", "mlp.fc_out"), facts=(PARALLEL,)
    ),
    "gpt_neox": Family(*NEOX_STREAM, places.NEOX, ("attention.dense", "mlp.dense_4h_to_h"), facts=(PARALLEL,)),
    "gpt_neox (sequential)": Family(
        *NEOX_STREAM,
        {**places.NEOX, "resid_mid": At("post_attention_layernorm", "input")},
        ("attention.dense", "mlp.dense_4h_to_h"),
    ),
    "opt": Family("model.decoder.layers.{}", "model.decoder.embed_tokens", places.OPT, ("self_attn.out_proj", "fc2")),
    "opt (norm after)": Family(
        "model.decoder.layers.{}",
        "model.decoder.embed_tokens",
        {**places.OPT, "attn_out": places.NORMED, "resid_mid": places.BETWEEN_NORMED, "mlp_out": places.NORMED},
        ("self_attn.out_proj", "fc2"),
        facts=("post-norm",),
        promised=False,
    ),
    "bloom": Family(
        *("transformer.h.{}", "transformer.word_embeddings"),
        places.BLOOM,
        ("self_attention.dense", "mlp.dense_4h_to_h"),
        facts=(ALIBI, "residual added inside"),
    ),
    "mpt": Family(
        *("transformer.blocks.{}", "transformer.wte"),
        places.MPT,
        ("attn.out_proj", "ffn.down_proj"),
        facts=(ALIBI, "residual added inside"),
    ),
    "falcon": Family(
        *FALCON_STREAM, places.FALCON, ("self_attention.dense", "mlp.dense_4h_to_h"), facts=(GROUPED, PARALLEL)
    ),
    "falcon (multi-query)": Family(
        *FALCON_STREAM,
        {**places.FALCON, **fused("self_attention.query_key_value", falcon_multi_query)},
        ("self_attention.dense", "mlp.dense_4h_to_h"),
        facts=("multi-query", PARALLEL),
    ),
    "falcon (sequential)": Family(
        *FALCON_STREAM, SEQUENTIAL_FALCON, ("self_attention.dense", "mlp.dense_4h_to_h"), facts=(ALIBI,)
    ),
    "codegen": Family(
        "transformer.h.{}", "transformer.wte", places.CODEGEN, ("attn.out_proj", "mlp.fc_out"), facts=(PARALLEL,)
    ),
    "llama": llama(GROUPED),
    "mistral": llama(GROUPED, SLIDING),
    "mixtral": llama(GROUPED, SLIDING, MIXTURE, neuron=places.EXPERTS),
    "qwen2": llama(GROUPED, SLIDING),
    "qwen2_moe": llama(
        GROUPED,
        MIXTURE,
        "shared expert",
        neuron=At("mlp.down_proj", "input", neurons(24), layers=(0,), elsewhere=places.EXPERTS),
    ),
    "qwen3": llama(GROUPED, SLIDING, "norms of q and k"),
    "qwen3_moe": llama(GROUPED, MIXTURE, "norms of q and k", neuron=places.EXPERTS),
    "gemma": llama(GROUPED),
    "gemma2": replace(llama(GROUPED, SLIDING, SANDWICH, "soft caps", **places.GEMMA2), norms=places.GEMMA2_NORMS),
    "gemma3_text": replace(
        llama(GROUPED, SLIDING, SANDWICH, "norms of q and k", **places.GEMMA2), norms=places.GEMMA2_NORMS
    ),
    "phi": replace(llama(GROUPED, PARALLEL, **places.PHI), projections=("self_attn.dense", "mlp.fc2")),
    "phi3": llama(GROUPED, SLIDING, **fused("self_attn.qkv_proj", stacked)),
    "stablelm": llama(GROUPED),
    "stablelm (parallel)": llama(GROUPED, PARALLEL, "norms of q and k", resid_mid=places.SIDE_BY_SIDE),
    "starcoder2": replace(
        llama(GROUPED, SLIDING, neuron=At("mlp.c_proj", "input", neurons(24))),
        projections=("self_attn.o_proj", "mlp.c_proj"),
    ),
    "olmo": llama(GROUPED),
    "olmo (clipped)": llama(GROUPED, "q, k and v clipped"),
    "olmo2": replace(
        llama(GROUPED, "norms before the stream", "norms over all heads of q and k", **places.OLMO2),
        norms=OLMO2_NORMS,
    ),
    "granite": llama(
        GROUPED,
        "scaled residual",
        attn_out=At("self_attn", "output", scale=places.GRANITE_SCALE),
        mlp_out=At("mlp", "output", scale=places.GRANITE_SCALE),
    ),
    "cohere": llama(GROUPED, PARALLEL, "norms of q and k", resid_mid=places.SIDE_BY_SIDE),
    "cohere2": llama(GROUPED, PARALLEL, SLIDING, resid_mid=places.SIDE_BY_SIDE),
    "glm4": replace(llama(GROUPED, SANDWICH, **places.GLM4), norms=("post_self_attn_layernorm", "post_mlp_layernorm")),
    "smollm3": llama(GROUPED, SLIDING),
    "deepseek_v3": llama("latent keys and values", MIXTURE, "shared expert", **places.DEEPSEEK),
    "helium": llama(GROUPED),
    "nemotron": llama(GROUPED),
    "gpt_bigcode": Family(
        *("transformer.h.{}", "transformer.wte"),
        {**places.GPT2, **fused("attn.c_attn", falcon_multi_query)},
        ("attn.c_proj", "mlp.c_proj"),
        facts=("multi-query",),
        promised=False,
    ),
    "gpt_bigcode (multi-head)": Family(
        *("transformer.h.{}", "transformer.wte"),
        {**places.GPT2, **fused("attn.c_attn", interleaved)},
        ("attn.c_proj", "mlp.c_proj"),
        promised=False,
    ),
    "persimmon": replace(
        llama("norms of q and k", **places.PERSIMMON),
        projections=("self_attn.dense", "mlp.dense_4h_to_h"),
        promised=False,
    ),
    "xglm": Family("model.layers.{}", "model.embed_tokens", places.OPT, ("self_attn.out_proj", "fc2"), promised=False),
    "openai-gpt": Family(
        *("transformer.h.{}", "transformer.tokens_embed"),
        places.OPENAI,
        ("attn.c_proj", "mlp.c_proj"),
        facts=("post-norm",),
        promised=False,
    ),
    "olmo3": replace(
        llama(GROUPED, SLIDING, "norms before the stream", "norms over all heads of q and k", **places.OLMO2),
        norms=OLMO2_NORMS,
        promised=False,
    ),
    "exaone4": replace(
        llama(GROUPED, SLIDING, "norms before the stream", "norms of q and k", **places.OLMO2),
        norms=OLMO2_NORMS,
        promised=False,
    ),
    "apertus": replace(
        llama(GROUPED, "norms of q and k", resid_mid=At("feedforward_layernorm", "input")), promised=False
    ),
    "gpt_oss": replace(llama(GROUPED, SLIDING, MIXTURE, "attention sinks", neuron=places.EXPERTS), promised=False),
    "bitnet": replace(llama(GROUPED, "norms of heads and neurons"), promised=False),
    "diffllama": replace(
        llama(GROUPED, "differential attention", head=At("self_attn.o_proj", "input", differential_heads)),
        promised=False,
    ),
    "mamba": Family("backbone.layers.{}", "backbone.embeddings", places.MAMBA, None, facts=(STATEFUL,), promised=False),
    "falcon_h1": replace(
        llama(GROUPED, STATEFUL, "beside attention", **places.FALCON_H1),
        projections=("self_attn.o_proj", "feed_forward.down_proj"),
        promised=False,
    ),
    "jamba": replace(
        llama(GROUPED, MIXTURE, STATEFUL, **{**places.STATE, "neuron": places.JAMBA_NEURON}),
        projections=("self_attn.o_proj", "feed_forward.down_proj"),
        promised=False,
    ),
    "bamba": replace(
        llama(GROUPED, STATEFUL, **places.STATE),
        projections=("self_attn.o_proj", "feed_forward.down_proj"),
        promised=False,
    ),
    "recurrent_gemma": replace(
        llama(GROUPED, SLIDING, "recurrent", **places.RECURRENT),
        projections=("temporal_block.o_proj", "mlp_block.down_proj"),
        promised=False,
    ),
    "bert": Family(
        *("bert.encoder.layer.{}", "bert.embeddings.word_embeddings"),
        places.BERT,
        ("attention.output.dense", "output.dense"),
        facts=("encoder", "post-norm"),
        promised=False,
    ),
    # The prompt is what the encoder reads; the decoder is handed its start token.
    "t5": Family(
        *("encoder.block.{}", "encoder.embed_tokens"),
        places.T5,
        ("layer.0.SelfAttention.o", "layer.1.DenseReluDense.wo"),
        facts=("encoder and decoder",),
        promised=False,
    ),
}
