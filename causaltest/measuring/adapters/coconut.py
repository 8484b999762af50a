"""Latent reasoners in Coconut's layout (arXiv 2412.06769).

The prompt, a newline and `<|start-latent|>`; then latents, each with the last hidden state of the position before
it as its input embedding, after the final norm and without a projection; then `<|end-latent|>`. Thought k is the
k-th latent's position. The newline and the start token are the run's begin tokens, so prompts are written
without them.

Weights lie under `base_causallm.`. Coconut holds its input embedding a second time, as `embedding.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from causaltest.errors import ModelError
from causaltest.measuring.adapters.assembly import ADDED, Found, empty_decoder, read_tokenizer, reasoner
from causaltest.measuring.adapters.checkpoint import load_into, parted, read_config, read_weights
from causaltest.measuring.adapters.declared import Declared, declared
from causaltest.measuring.adapters.model import LoadedModel, Reasoning

COCONUT_PREFIX = "base_causallm."
EMBEDDING_PREFIX = "embedding."
TRAINING_ONLY = ("expainable_llm.",)
"""SIM-CoT's second decoder beside Coconut, by the name that it is published under."""
START, END, LATENT = "<|start-latent|>", "<|end-latent|>", "<|latent|>"
THOUGHTS = 6
"""Of the published run on GSM8K: three stages of two latents."""
ENDINGS = ("a", "a b", "1", "a.", "a?", "a!", "a:", 'a"', "a)")
"""Ends of prompts, on which it is tried that a newline is a token of its own."""


def load_coconut(folder: Path, name: str, provenance: Mapping[str, str] | None = None) -> LoadedModel:
    """The reasoner of a checkpoint folder, in eval mode and float32.

    Raises ModelError when a weight is missing or left over, the config's block is not understood, or the tokenizer
    has not the three tokens and the block does not name them either.
    """
    plain = read_config(folder)
    said = declared(plain, folder)
    (weights, embedding), notes = parted(
        read_weights(folder), name, kept=(COCONUT_PREFIX, EMBEDDING_PREFIX), dropped=TRAINING_ONLY
    )
    model = empty_decoder(plain, name, weights, adds=ADDED)
    load_into(model, {key: tensor.float() for key, tensor in weights.items()}, name)
    check_embedding(model.get_input_embeddings(), embedding, name)
    found = Found(folder, name, plain, model, read_tokenizer(folder), {**(provenance or {}), **notes})
    told = "coconut" if said else "coconut, by its weights' names"
    said = said or Declared("coconut", THOUGHTS)
    if said.begin is None or said.end is None:
        check_tokens(found, said.thoughts)
    begin = said.begin or begin_ids(found.tokenizer, name)
    end = said.end or (found.tokenizer.get_vocab()[END],)
    reasoning = Reasoning(said.thoughts, begin, end, nn.Identity().eval())
    return reasoner(found, reasoning, f"{told}: {said.thoughts} thoughts, begin {begin}, end {end}")


def check_embedding(table: nn.Module, given: Mapping[str, Tensor], name: str) -> None:
    """Raises ModelError when the second copy of the embedding is another than the model's own."""
    own = table.state_dict()
    if given and (set(given) != set(own) or not all(torch.equal(t.float(), own[key]) for key, t in given.items())):
        raise ModelError(
            f"{name}: {EMBEDDING_PREFIX}weight is Coconut's second name for its model's input embedding, and here the "
            "two differ, so the checkpoint was put together from different models."
        )


def check_tokens(found: Found, thoughts: int) -> None:
    """Raises ModelError when the tokenizer lacks one of the three tokens."""
    vocabulary = found.tokenizer.get_vocab()
    missing = [token for token in (START, END, LATENT) if token not in vocabulary]
    if missing:
        first = found.rows - ADDED
        raise ModelError(
            f"{found.name}: the tokenizer has no token {', '.join(missing)}. Add {START}, {END} and {LATENT} in this "
            "order with tokenizer.add_tokens and save it to the folder, or name the ids in config.json: "
            f'"reasoning": {{"layout": "coconut", "thoughts": {thoughts}, "begin": [a newline, {first}], '
            f'"end": [{first + 1}]}}, where they were added behind the base model\'s.'
        )


def begin_ids(tokenizer: Any, name: str) -> tuple[int, ...]:
    """A newline and the start token. Raises ModelError where a newline would merge with the prompt's last token."""

    def ids(text: str) -> list[int]:
        given: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return given

    newline = ids("\n")
    merging = [text for text in ENDINGS if ids(f"{text}\n") != ids(text) + newline]
    start = tokenizer.get_vocab()[START]
    if merging:
        raise ModelError(
            f"{name}: its tokenizer joins a newline to what stands before it (to {merging[0]!r}), so the newline that "
            "Coconut puts behind a question cannot be added to a prompt's tokens. Write it at the end of every prompt, "
            f'and say so in the "reasoning" block of config.json with "begin": [{start}].'
        )
    return (*newline, start)
