"""Shapes with random weights, a tokenizer of whole words, and prompts made of them: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from causaltest import Pair, Pairs

TOKENS = 28


@dataclass(frozen=True)
class Problem:
    """One pair of prompts on one model, as our words and as the peers' token ids."""

    model: Any
    tokenizer: Any
    pair: Pair
    clean: Tensor
    """[1, token]"""
    corrupt: Tensor
    target: int
    """The token whose raw logit at the last position is read."""

    @property
    def layers(self) -> int:
        return int(self.model.config.num_hidden_layers)

    @property
    def tokens(self) -> int:
        return self.clean.shape[1]


def gpt2_small(**changes: Any) -> Any:
    return seeded(GPT2Config(**changes))


def llama_1b() -> Any:
    """The shape of Llama 3.2 1B."""
    return seeded(
        LlamaConfig(
            vocab_size=128256,
            hidden_size=2048,
            intermediate_size=8192,
            head_dim=64,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            tie_word_embeddings=True,
        )
    )


def seeded(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def tokenizer_of(model: Any) -> PreTrainedTokenizerFast:
    """Word `w7` is token 7, for every token that the model has."""
    words = {word(i): i for i in range(model.config.vocab_size)}
    raw = Tokenizer(models.WordLevel(words, unk_token=word(0)))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=word(0), eos_token=word(model.config.vocab_size - 1))


def word(token: int) -> str:
    return f"w{token}"


def words(tokens: list[int]) -> str:
    return " ".join(map(word, tokens))


def random_prompts(tokens: int, *, seed: int) -> tuple[list[int], list[int]]:
    """A clean and a corrupt prompt that differ in every token, so that no patch puts in what was there."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(1000, 24000, (tokens,), generator=generator)
    return clean.tolist(), (clean + 24000).tolist()


def problem(model: Any, *, tokens: int = TOKENS, seed: int = 1) -> Problem:
    clean, corrupt = random_prompts(tokens, seed=seed)
    target = 42
    return Problem(
        model,
        tokenizer_of(model),
        Pair(clean=words(clean), corrupt=words(corrupt), answer=word(target)),
        torch.tensor([clean]),
        torch.tensor([corrupt]),
        target,
    )


def random_pairs(count: int, *, tokens: int = TOKENS) -> Pairs:
    prompts = [random_prompts(tokens, seed=seed) for seed in range(1, count + 1)]
    return Pairs([Pair(clean=words(a), corrupt=words(b), answer=word(42)) for a, b in prompts], iid=True)
