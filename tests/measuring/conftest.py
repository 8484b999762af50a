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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from causaltest import Lab, Pair, Pairs
from causaltest.asking.company import generates
from causaltest.asking.experiment import Experiment, Patching
from causaltest.measuring.backend import ModelBackend, open_backend
from causaltest.measuring.batch import Batch
from causaltest.measuring.budget import Budget
from causaltest.measuring.engine import Columns, Shortcuts
from causaltest.measuring.planner import Limits
from causaltest.measuring.references import References
from causaltest.measuring.sites import Sites
from causaltest.measuring.study import Study
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


BYTE_TEXTS = (
    "The capital of France is Paris. The capital of Italy is Rome.",
    "When Mary and John went to the store, John gave a drink to Mary.",
    "Nigeria Niger Upper Volta Mexico",
    "東京は日本の首都です 😀 😀👍",
)


@pytest.fixture(scope="session", params=["offsets with the space", "offsets without the space"])
def byte_tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Byte-level BPE as GPT-2's: a word's first token begins with its space, `Ġcapital`.

    Published tokenizers of this kind differ in whether the token's offsets begin with that space.
    """
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.ByteLevel(trim_offsets="without" in request.param)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=390, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    # The words of the first two sentences alone are merged to one token.
    raw.train_from_iterator([*BYTE_TEXTS[:2]] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", bos_token="<|end|>")


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


SMALL = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
# Grouped queries: two query heads share keys and values.
GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32}
NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
WINDOW = 3
"""Shorter than the prompts."""


def make_llama(**changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(4)
    return shaken(LlamaForCausalLM(LlamaConfig(**(SMALL | GROUPED | NO_SPECIAL | changes))))


def make_mistral(**changes: Any) -> MistralForCausalLM:
    torch.manual_seed(6)
    window = {"sliding_window": WINDOW}
    return shaken(MistralForCausalLM(MistralConfig(**(SMALL | GROUPED | NO_SPECIAL | window | changes))))


def make_gemma2(**changes: Any) -> Gemma2ForCausalLM:
    """Sliding and full layers in turn, heads wider than their share, and soft caps low enough to bend."""
    torch.manual_seed(7)
    # Not every release of transformers falls back on eager attention by itself, and others leave the cap out.
    own = {"head_dim": 6, "query_pre_attn_scalar": 8, "sliding_window": WINDOW, "attn_implementation": "eager"}
    caps = {"attn_logit_softcapping": 0.5, "final_logit_softcapping": 2.0}
    return shaken(Gemma2ForCausalLM(Gemma2Config(**(SMALL | GROUPED | NO_SPECIAL | own | caps | changes))))


def make_neox(**changes: Any) -> GPTNeoXForCausalLM:
    """Parallel blocks; a quarter of each head is rotated."""
    torch.manual_seed(8)
    size = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 32}
    return shaken(GPTNeoXForCausalLM(GPTNeoXConfig(**(SMALL | size | NO_SPECIAL | changes))))


def make_sequential_neox(**changes: Any) -> GPTNeoXForCausalLM:
    return make_neox(use_parallel_residual=False, **changes)


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
def new_mistral() -> Callable[..., MistralForCausalLM]:
    return make_mistral


@pytest.fixture(scope="session")
def words() -> tuple[str, ...]:
    """The words that the tiny models know."""
    return WORDS


@pytest.fixture(scope="session")
def new_gemma2() -> Callable[..., Gemma2ForCausalLM]:
    return make_gemma2


@pytest.fixture(scope="session")
def new_neox() -> Callable[..., GPTNeoXForCausalLM]:
    return make_neox


def tiny(name: str, make: Callable[..., Any]) -> Tiny:
    model, tokenizer = make(), make_tokenizer()
    return Tiny(model, tokenizer, open_backend(name, model, tokenizer), make_pairs())


@pytest.fixture(scope="session")
def tiny_gpt2() -> Tiny:
    return tiny("tiny GPT-2", make_gpt2)


@pytest.fixture(scope="session")
def tiny_llama() -> Tiny:
    return tiny("tiny Llama", make_llama)


@pytest.fixture(scope="session")
def tiny_mistral() -> Tiny:
    return tiny("tiny Mistral", make_mistral)


@pytest.fixture(scope="session")
def tiny_gemma2() -> Tiny:
    return tiny("tiny Gemma 2", make_gemma2)


@pytest.fixture(scope="session")
def tiny_neox() -> Tiny:
    return tiny("tiny NeoX", make_neox)


@pytest.fixture(scope="session")
def tiny_sequential_neox() -> Tiny:
    return tiny("tiny sequential NeoX", make_sequential_neox)


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


class Gave(NamedTuple):
    """What one run of one pair gave: its greedy tokens, and the logits [step, column] that gave them."""

    tokens: list[int]
    logits: torch.Tensor


class Spied(Batch):
    """A batch that keeps what every run gave, whatever is read off it. `studies` are those of its experiments."""

    studies: list[Study]

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.gave: dict[tuple[int | str, str], Gave] = {}

    def _read(self, arm: Any, run: Any, columns: Any, chunk: Any, pairs: Any, readings: Any) -> None:
        super()._read(arm, run, columns, chunk, pairs, readings)
        for row, pair in enumerate(pairs.tolist()):
            key = (arm, str(chunk.pairs[pair].pair.id))
            assert isinstance(arm, str) or key not in self.gave, "a row ran twice"
            self.gave[key] = Gave(run.tokens[row].tolist(), run.logits[row].clone())


class Tight(Budget):
    """A budget whose sizes are told: pairs of a chunk, and the limits of forwards and waves."""

    def __init__(self, pairs: int, limits: Limits) -> None:
        super().__init__()
        object.__setattr__(self, "told", (pairs, limits))

    def pairs(self, *_: Any) -> int:
        return self.told[0]  # type: ignore[attr-defined, no-any-return]

    def limits(self, *_: Any) -> Limits:
        return self.told[1]  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="session")
def tight() -> Callable[[int, Limits], Budget]:
    return Tight


@pytest.fixture(scope="session")
def planned() -> Callable[..., Spied]:
    """Plans experiments together, runs them, and gives the batch with everything that came out.

    With `wide`, the logits of the whole vocabulary are read in place of the answers' alone.
    """

    def measure(
        model: Any,
        experiments: list[Experiment],
        *,
        budget: Budget | None = None,
        shortcuts: Shortcuts | None = None,
        wide: bool = True,
    ) -> Spied:
        references = References(model, budget or Budget())
        references.shortcuts = shortcuts or Shortcuts()
        if wide:
            everything = Columns(torch.arange(model.model.config.vocab_size), all_computed=True)
            references.columns = lambda pairs: everything  # type: ignore[method-assign]
        known = not any(map(generates, experiments))
        batch = Spied(model, references, experiments[0].patching.pairs, answers_known=known)
        sites = Sites(batch)
        batch.studies = [Study(experiment, batch, sites) for experiment in experiments]
        batch.run(lambda *_: None)
        return batch

    return measure
