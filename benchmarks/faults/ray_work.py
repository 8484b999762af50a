"""Work for workers: a random model in a folder, pairs, and a sweep of as many patched runs as are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from causaltest import Lab, Pair, Pairs, index, logit_diff, resid_post
from causaltest.asking.lab import Backend
from causaltest.asking.settings import Cluster, Settings
from causaltest.measuring.backend import open_backend
from causaltest.measuring.executors.ray import begin_here, crew_of, leave
from causaltest.measuring.executors.spread import Spread
from causaltest.sweep import SweepMap

WORDS = tuple(f"w{n}" for n in range(500))


def save_model(folder: Path, **sizes: int) -> str:
    """A random GPT-2, of the sizes of the small one where none are given."""
    torch.manual_seed(0)
    raw = Tokenizer(models.WordLevel({word: n for n, word in enumerate((*WORDS, "[UNK]"))}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")
    config = GPT2Config(**{"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, **sizes})
    GPT2LMHeadModel(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def some_pairs(count: int, tokens: int, seed: int) -> Pairs:
    """Prompts of that many words, which differ in one."""
    drawn, out = random.Random(seed), []
    for n in range(count):
        words = drawn.choices(WORDS[2:], k=tokens)
        other = [words[0], WORDS[0], *words[2:]]
        out.append(Pair(" ".join(words), " ".join(other), f" {WORDS[0]}", f" {WORDS[1]}", id=f"{seed}.{n}"))
    return Pairs(out, iid=True)


def ask(backend: Backend, pairs: Pairs, sites: int) -> SweepMap:
    """A patched run of every pair at each of so many sites."""
    lab = Lab(name=backend.model, backend=backend, settings=Settings(progress=False))
    # Layer 0 and the first positions, so that the runs are nearly whole.
    return lab.sweep(pairs, at=resid_post(0, index(*range(1, 1 + sites)))).recovery(logit_diff)


def same(one: SweepMap, other: SweepMap) -> bool:
    """Whether two maps hold the same numbers to the last bit."""
    a, b = one.per_pair, other.per_pair
    assert a is not None and b is not None
    alike = (one.estimates, one.distances, a.rounding) == (other.estimates, other.distances, b.rounding)
    return alike and a.values.tobytes() == b.values.tobytes()


@contextmanager
def saved(**sizes: int) -> Iterator[str]:
    """The folder of such a model."""
    with TemporaryDirectory(prefix="causaltest-") as folder:
        yield save_model(Path(folder), **sizes)


@contextmanager
def one_machine(processors: int) -> Iterator[None]:
    """A cluster on this machine, with processes of one thread each."""
    torch.set_num_threads(1)
    begin_here(processors)
    try:
        yield
    finally:
        leave()


def workers(name: str, count: int) -> Spread:
    """A backend of so many workers, who are up and have loaded the model."""
    backend = Spread(name, Settings(progress=False), None, crew_of(Cluster(count), torch.get_num_threads()))
    while len(backend.crew.ready) < count:
        backend.clean(some_pairs(1, 4, seed=-1))
    return backend


def serial(name: str) -> Backend:
    torch.set_num_threads(1)
    return open_backend(name, None, None, Settings(progress=False))
