"""Tiny random models of many families, built from transformers' own configurations.

Every one has what its family is known for: queries that share keys, windows shorter than the prompts, experts.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers

VOCABULARY, LAYERS, WINDOW, CLIP = 30, 3, 3, 0.8
HIDDEN, HEADS, KEY_HEADS, INNER = 16, 4, 2, 24

NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 32,
    **NO_SPECIAL,
}
GATED = {**SMALL, "intermediate_size": INNER}
GROUPED = {**GATED, "num_key_value_heads": KEY_HEADS}
"""Two query heads share keys and values."""
OPEN_AI = {"vocab_size": VOCABULARY, "n_positions": 32, "n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}
OPEN_AI |= {"bos_token_id": None, "eos_token_id": None}
SLIDING = {"sliding_window": WINDOW}
IN_TURN = {**SLIDING, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
EXPERTS = {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2}
WIDE = {"head_dim": 6}
"""Heads whose widths do not add up to the stream's."""

CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", OPEN_AI),
    "gpt_neo": (
        "GPTNeo",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "max_position_embeddings": 32,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": WINDOW,
            **NO_SPECIAL,
        },
    ),
    "gptj": ("GPTJ", {**OPEN_AI, "rotary_dim": 2}),
    "gpt_neox": ("GPTNeoX", {**GATED, "hidden_size": 32}),
    "gpt_neox (sequential)": ("GPTNeoX", {**GATED, "hidden_size": 32, "use_parallel_residual": False}),
    "opt": ("OPT", {**SMALL, "ffn_dim": INNER, "word_embed_proj_dim": HIDDEN}),
    "opt (norm after)": (
        "OPT",
        {**SMALL, "ffn_dim": INNER, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
    ),
    "bloom": ("Bloom", {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}),
    "mpt": (
        "Mpt",
        {"vocab_size": VOCABULARY, "d_model": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": 32},
    ),
    "falcon": ("Falcon", {**SMALL, "num_kv_heads": KEY_HEADS, "new_decoder_architecture": True, "bias": True}),
    "falcon (multi-query)": ("Falcon", {**SMALL, "multi_query": True}),
    "falcon (sequential)": ("Falcon", {**SMALL, "multi_query": False, "parallel_attn": False, "alibi": True}),
    # Two heads in each of the four pieces that its projection is cut into.
    "codegen": ("CodeGen", {**OPEN_AI, "n_embd": 32, "n_head": 8, "n_ctx": 32, "rotary_dim": 2}),
    "llama": ("Llama", GROUPED),
    "mistral": ("Mistral", {**GROUPED, **SLIDING}),
    "mixtral": ("Mixtral", {**GROUPED, **SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": ("Qwen2", {**GROUPED, **IN_TURN, "use_sliding_window": True}),
    "qwen2_moe": ("Qwen2Moe", {**GROUPED, **EXPERTS, "shared_expert_intermediate_size": 12, "mlp_only_layers": [0]}),
    "qwen3": ("Qwen3", {**GROUPED, **WIDE, **IN_TURN, "use_sliding_window": True}),
    "qwen3_moe": ("Qwen3Moe", {**GROUPED, **WIDE, **EXPERTS}),
    "gemma": ("Gemma", {**GROUPED, **WIDE}),
    "gemma2": (
        "Gemma2",
        {
            **GROUPED,
            **WIDE,
            **SLIDING,
            "query_pre_attn_scalar": 8,
            # Low enough to bend; only eager attention caps its scores.
            "attn_logit_softcapping": 0.5,
            "final_logit_softcapping": 2.0,
            "attn_implementation": "eager",
        },
    ),
    "gemma3_text": ("Gemma3Text:Gemma3", {**GROUPED, **WIDE, **IN_TURN, "query_pre_attn_scalar": 8}),
    "phi": ("Phi", GROUPED),
    "phi3": ("Phi3", {**GROUPED, **SLIDING}),
    # A quarter of each head is rotated.
    "stablelm": ("StableLm", {**GROUPED, "hidden_size": 32}),
    "stablelm (parallel)": (
        "StableLm",
        {**GROUPED, "hidden_size": 32, "use_parallel_residual": True, "qk_layernorm": True},
    ),
    "starcoder2": ("Starcoder2", {**GROUPED, **SLIDING}),
    "olmo": ("Olmo", GROUPED),
    "olmo (clipped)": ("Olmo", {**GROUPED, "clip_qkv": CLIP}),
    "olmo2": ("Olmo2", GROUPED),
    "granite": (
        "Granite",
        {
            **GROUPED,
            "residual_multiplier": 0.25,
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "attention_multiplier": 0.5,
        },
    ),
    "cohere": ("Cohere", {**GROUPED, "use_qk_norm": True}),
    "cohere2": ("Cohere2", {**GROUPED, **IN_TURN}),
    "glm4": ("Glm4", {**GROUPED, "head_dim": 8}),
    "smollm3": ("SmolLM3", {**GROUPED, **IN_TURN, "use_sliding_window": True, "no_rope_layers": [1, 0, 1]}),
    "deepseek_v3": (
        "DeepseekV3",
        {
            **GATED,
            "num_key_value_heads": HEADS,
            "moe_intermediate_size": 8,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 2,
            "qk_nope_head_dim": 4,
            "v_head_dim": 5,
        },
    ),
    "helium": ("Helium", {**GROUPED, "head_dim": 4}),
    "nemotron": ("Nemotron", GROUPED),
    "gpt_bigcode": ("GPTBigCode", {**OPEN_AI, "multi_query": True}),
    "gpt_bigcode (multi-head)": ("GPTBigCode", {**OPEN_AI, "multi_query": False}),
    "persimmon": ("Persimmon", {**GATED, "qk_layernorm": True}),
    "xglm": (
        "XGLM",
        {
            "vocab_size": VOCABULARY,
            "d_model": HIDDEN,
            "num_layers": LAYERS,
            "attention_heads": HEADS,
            "ffn_dim": INNER,
            "max_position_embeddings": 32,
            **NO_SPECIAL,
        },
    ),
    "openai-gpt": ("OpenAIGPT", OPEN_AI),
    "olmo3": ("Olmo3", {**GROUPED, **IN_TURN}),
    "exaone4": ("Exaone4", {**GROUPED, **IN_TURN}),
    "apertus": ("Apertus", GROUPED),
    "gpt_oss": (
        "GptOss",
        {**GROUPED, **WIDE, **IN_TURN, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "bitnet": ("BitNet", GROUPED),
    "diffllama": ("DiffLlama", GROUPED),
    "falcon_h1": (
        "FalconH1",
        {
            **GROUPED,
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 4,
            "attention_out_multiplier": 0.5,
            "ssm_out_multiplier": 2.0,
        },
    ),
    "mamba": ("Mamba", {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "state_size": 4}),
    "jamba": (
        "Jamba",
        {
            **GROUPED,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "mamba_d_state": 4,
        },
    ),
    "bamba": (
        "Bamba",
        {**GROUPED, "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4},
    ),
    "recurrent_gemma": (
        "RecurrentGemma",
        {
            **GROUPED,
            "lru_width": HIDDEN,
            "attention_window_size": WINDOW,
            "block_types": ["recurrent", "recurrent", "attention"],
        },
    ),
    "bert": ("Bert", GATED),
    "t5": (
        "T5",
        {
            "vocab_size": VOCABULARY,
            "d_model": HIDDEN,
            "d_kv": 4,
            "d_ff": INNER,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "decoder_start_token_id": 0,
            "eos_token_id": None,
            "pad_token_id": None,
        },
    ),
}
HEAD_OF = {"bert": "ForMaskedLM", "t5": "ForConditionalGeneration", "gpt2": "LMHeadModel", "openai-gpt": "LMHeadModel"}
"""What a model class is called behind its family's name, where it is not ForCausalLM."""


def make(family: str) -> Any:
    """A model of the family in eval mode, the same at every call. Every weight is moved, so that no path is silent."""
    names, changes = CONFIGURATIONS[family]
    name, _, of_model = names.partition(":")
    torch.manual_seed(3)
    changes = {"bos_token_id": None, "eos_token_id": None, **changes}
    attention = changes.pop("attn_implementation", None)
    config = getattr(transformers, f"{name}Config")(**changes)
    if attention is not None:
        config._attn_implementation = attention
    model = getattr(transformers, (of_model or name) + HEAD_OF.get(family, "ForCausalLM"))(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()
