"""Tiny models made on the spot, the shipped ducks, and the plain reference of `plain.py`."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from causaltest import Lab, Pair, Pairs
from causaltest.asking.experiment import Experiment, Patching
from causaltest.measuring.backend import ModelBackend, open_backend
from causaltest.organisms import ducks as ducks_organism

torch.set_num_threads(1)
WORDS = tuple("the a cat dog fox hen sat ran saw ate one two three four red blue big small on by".split())
SPECIAL = ("[UNK]", "[EOS]")


class Tiny(NamedTuple):
    """A small random decoder, its tokenizer, and a backend that measures on it."""

    model: Any
    tokenizer: Any
    backend: ModelBackend
    pairs: Pairs


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """The plain reference, as a module."""
    path = Path(__file__).with_name("plain.py")
    spec = importlib.util.spec_from_file_location("causaltest_plain_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_tokenizer(words: tuple[str, ...] = WORDS) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate([*words, *SPECIAL])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="[EOS]")


@pytest.fixture(scope="session")
def word_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """Makes a tokenizer of whole words."""
    return make_tokenizer


@pytest.fixture(scope="session")
def splitting_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that splits words: `ducklings` is `duck ##ling ##s`."""
    pieces = [*WORDS, "duck", "##ling", "##s", "##y", *SPECIAL]
    raw = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", eos_token="[EOS]")


def shaken(model: Any) -> Any:
    """Every weight moved, biases and norms too, so that no path is silent."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def make_gpt2(**changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(3)
    size = {"vocab_size": 30, "n_positions": 32, "n_embd": 16, "n_layer": 3, "n_head": 4}
    special = {"bos_token_id": None, "eos_token_id": None}
    return shaken(GPT2LMHeadModel(GPT2Config(**(size | special | changes))))


def make_llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(4)
    size = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    # Grouped queries: two query heads share keys and values.
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
    special = {"bos_token_id": None, "eos_token_id": None}
    return shaken(LlamaForCausalLM(LlamaConfig(**(size | heads | special | changes))))


def make_pairs(count: int = 6, lengths: tuple[int, ...] = (5, 7)) -> Pairs:
    """Random prompts of two lengths, mixed, in no order."""
    rng = random.Random(11)
    drawn = []
    for n in range(count):
        length = lengths[n % len(lengths)]
        clean, corrupt = (" ".join(rng.choices(WORDS, k=length)) for _ in range(2))
        answer, other = rng.sample(WORDS, 2)
        drawn.append(Pair(clean=clean, corrupt=corrupt, answer=answer, corrupt_answer=other))
    return Pairs(drawn, iid=True)


@pytest.fixture(scope="session")
def random_pairs() -> Callable[..., Pairs]:
    return make_pairs


@pytest.fixture(scope="session")
def new_gpt2() -> Callable[..., GPT2LMHeadModel]:
    """Makes a small random GPT-2 of one's own, to be spoilt."""
    return make_gpt2


@pytest.fixture(scope="session")
def new_llama() -> Callable[..., LlamaForCausalLM]:
    return make_llama


@pytest.fixture(scope="session")
def tiny_gpt2() -> Tiny:
    model, tokenizer = make_gpt2(), make_tokenizer()
    return Tiny(model, tokenizer, open_backend("tiny GPT-2", model, tokenizer), make_pairs())


@pytest.fixture(scope="session")
def tiny_llama() -> Tiny:
    model, tokenizer = make_llama(), make_tokenizer()
    return Tiny(model, tokenizer, open_backend("tiny Llama", model, tokenizer), make_pairs())


@pytest.fixture(scope="session")
def ducks() -> Lab:
    """The shipped ducks."""
    return Lab.load("organism:ducks")


@pytest.fixture(scope="session")
def twins() -> Pairs:
    """Twelve pairs that differ in the second sentence's number."""
    return ducks_organism.twins(1, clusters=6, per_cluster=2)


@pytest.fixture(scope="session")
def experiment() -> Callable[..., Experiment]:
    """Makes an experiment without controls."""

    def make(pairs: Pairs, direction: str, sites: Any, metric: Any, quantity: str = "change", **by: Any) -> Experiment:
        together = tuple(sites) if isinstance(sites, list | tuple) else (sites,)
        patching = Patching("test", direction, pairs, together, **by)  # type: ignore[arg-type]
        return Experiment(patching, quantity, metric, controls=False)  # type: ignore[arg-type]

    return make


@pytest.fixture
def forwards() -> Iterator[Callable[[Any], list[int]]]:
    """Counts a module's forwards: the returned list grows by one entry with each."""
    handles = []

    def watch(module: Any) -> list[int]:
        counted: list[int] = []
        handles.append(module.register_forward_hook(lambda *_: counted.append(1)))
        return counted

    yield watch
    for handle in handles:
        handle.remove()
