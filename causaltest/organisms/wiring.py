"""A GPT-2 wired by hand, in whole numbers, so that every truth about it is exact.

Blocks read the residual stream through a layer norm whose epsilon dwarfs any variance, so that
it only subtracts the mean; every vector that is written sums to zero, so the mean is zero and the
norm is the identity. Attention scores are so far apart that the softmax is exactly one-hot. All
numbers are small integers, so float32 is exact in any order, on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block

VALUES = 10
LAYERS, HEADS = 4, 2
HEAD_WIDTH = 32
WIDTH = HEADS * HEAD_WIDTH
UNKNOWN = "[UNK]"
FILLERS = ("The", "note", "card", "says", "shows", "reads", "today", "again", "now", ".", "Janet", "Maria", "Oliver")
READER = "Answer:"
BEGIN, END = "[BEGIN]", "[END]"

# Stretches of the residual stream. Each feature is written as +1 here and -1 in a mirror, so
# that every vector sums to zero.
SAID = 0
"""The value that a token is, from the embedding."""
WRITTEN = 10
"""The value as block 0's MLP copies it, at the value's own token."""
MOVED = 20
"""The value as head 1.0 moves it to the reader."""
IS_VALUE, IS_READER = 30, 31
MIRROR = 32

SHARP = 1000
"""Attention score of a match; exp(-SHARP) is 0 in float32."""
EPSILON = 2.0**40


def vocabulary() -> list[str]:
    """Values first, as themselves."""
    return [*map(str, range(VALUES)), *FILLERS, READER, BEGIN, END, UNKNOWN]


def feature(index: int) -> Tensor:
    """A direction of the residual stream that sums to zero. [width]"""
    vector = torch.zeros(WIDTH)
    vector[index], vector[MIRROR + index] = 1.0, -1.0
    return vector


def reading(index: int) -> Tensor:
    """Weights that read a feature as 1. Its mirror cancels what a norm's rounded mean leaves behind."""
    return feature(index) / 2


def wired(readers: Sequence[str]) -> GPT2LMHeadModel:
    """The model: block 0 copies, head 1.0 moves to the readers, head 2.1 moves a copy that nothing reads.

    Head 1.0 reads WRITTEN and writes MOVED, which the output reads. Head 2.1 reads SAID and
    writes it to the readers, where the output ignores it: a decoy whose activation differs.
    """
    config = GPT2Config(
        vocab_size=len(vocabulary()),
        n_positions=64,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_inner=VALUES,
        activation_function="relu",
        layer_norm_epsilon=EPSILON,
        tie_word_embeddings=False,
        scale_attn_weights=False,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = "eager"
    model: GPT2LMHeadModel = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # The norm divides by sqrt(epsilon) = 2**20, and its gain takes that back: exactly the identity.
            parameter.fill_(EPSILON**0.5 if ".ln_" in name and name.endswith("weight") else 0.0)
        embed(model.transformer.wte.weight, readers)
        blocks = cast(list[GPT2Block], list(model.transformer.h))
        copy_value(blocks[0].mlp)
        move(blocks[1].attn, 0, source=WRITTEN, target=MOVED)
        move(blocks[2].attn, 1, source=SAID, target=SAID)
        for value in range(VALUES):
            model.lm_head.weight[value] = 16 * reading(MOVED + value)
    model.eval()
    return model


def embed(weight: Tensor, readers: Sequence[str]) -> None:
    words = vocabulary()
    for value in range(VALUES):
        weight[value] = feature(SAID + value) + feature(IS_VALUE)
    for word in readers:
        weight[words.index(word)] = feature(IS_READER)


def copy_value(mlp: GPT2MLP) -> None:
    """Reads SAID, writes the same value to WRITTEN. Only value tokens have any."""
    for value in range(VALUES):
        mlp.c_fc.weight[:, value] = reading(SAID + value)
        mlp.c_proj.weight[value] = feature(WRITTEN + value)


def move(attention: GPT2Attention, head: int, *, source: int, target: int) -> None:
    """Readers attend to value tokens and copy `source` there to `target` here.

    Other tokens attend evenly and also copy, which no reader sees: they stand before the reader.
    """
    start = head * HEAD_WIDTH
    query, key, value = start, WIDTH + start, 2 * WIDTH + start
    attention.c_attn.weight[:, query] = SHARP * reading(IS_READER)
    attention.c_attn.weight[:, key] = reading(IS_VALUE)
    for v in range(VALUES):
        attention.c_attn.weight[:, value + v] = reading(source + v)
        attention.c_proj.weight[start + v] = feature(target + v)


def tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the vocabulary."""
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary())}, unk_token=UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=UNKNOWN)
