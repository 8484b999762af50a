"""100,000 pairs within the budget: what a run holds at most above the model and its pairs, and how long it takes.

Two metrics with all their controls, on a small GPT-2 and prompts that are drawn. The patch is at five positions of two
layers, so that what placebos need of all pairs is twice the budget. Each run is a process of its own, whose
memory the system has counted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.memory import held_at_most, held_now
from benchmarks.faults.result import Result

MEMORY = 256 << 20
COUNTS = (1_000, 10_000, 100_000)
LENGTHS = (6, 8)
POSITIONS = 5
WORDS = (*(f"w{n}" for n in range(199)), "[UNK]")
WIDTH, LAYERS, HEADS = 64, 3, 4


@dataclass(frozen=True)
class Held:
    """One run."""

    pairs: int
    memory: int
    most: int
    """Bytes, the most that the process has held above what it held with the model and the pairs before it measured."""
    pairs_themselves: int
    """Bytes of the pairs as they were given."""
    seconds: float
    estimates: tuple[float, ...]


def run() -> Sequence[Result]:
    ran = [measured_alone(count, MEMORY) for count in COUNTS]
    last = ran[-1]
    seconds = ", ".join(f"{1000 * one.seconds / one.pairs:.2f}" for one in ran)
    counts = ", ".join(f"{one.pairs:,}" for one in ran)
    return [
        Result(
            figure=f"{last.pairs:,} pairs within --causal-memory={MEMORY >> 20}MB: most memory above the model's own",
            at_least="the budget",
            aim="the budget",
            measured=f"{last.most / 2**20:.0f} MB",
            held=last.most <= MEMORY,
            how=f"two metrics with all controls, {POSITIONS} positions of two layers of a GPT-2 of width {WIDTH}; "
            f"the pairs themselves are {last.pairs_themselves / 2**20:.0f} MB beside; {seconds} s per 1,000 pairs at "
            f"{counts} pairs",
        )
    ]


def measured_alone(count: int, memory: int) -> Held:
    """A run in a process of its own."""
    program = f"from benchmarks.faults.streaming import told; told({count}, {memory})"
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root, "CAUSALTEST_NO_CACHE": "1"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=root)
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    said = json.loads(ran.stdout.splitlines()[-1])
    return Held(**said | {"estimates": tuple(said["estimates"])})


def told(count: int, memory: int) -> None:
    """Prints a run as JSON."""
    print(json.dumps(asdict(measured(count, memory))))


def measured(count: int, memory: int) -> Held:
    """A run here: meant for a process in which nothing was measured before."""
    from causaltest.asking.lab import Lab, Rehearsal
    from causaltest.asking.settings import Settings

    model, tokenizer = tiny_model(), word_tokenizer()
    lab = Lab(model, tokenizer, settings=Settings(memory=memory))
    # Once on few pairs: what is imported and filled on first use is no pair's.
    _ = [effect.estimate for effect in asked(lab, drawn(model, tokenizer, 40))]
    before = held_now()
    pairs = drawn(model, tokenizer, count)
    with_pairs = held_now()
    begun = time.perf_counter()
    lab.expect([effect.question for effect in asked(Lab(backend=Rehearsal(lab.name)), pairs)])
    estimates = tuple(effect.estimate for effect in asked(lab, pairs))
    seconds = time.perf_counter() - begun
    return Held(count, memory, held_at_most() - with_pairs, with_pairs - before, seconds, estimates)


def asked(lab: Any, pairs: Any) -> list[Any]:
    """The effects of a patch at most positions of two layers."""
    from causaltest import accuracy, index, logit_diff, resid_post

    patching = lab.denoise(pairs, at=resid_post(range(LAYERS - 1), index(*range(POSITIONS))))
    return [patching.recovery(metric) for metric in (logit_diff, accuracy)]


def tiny_model() -> Any:
    """A random decoder whose answers depend on every token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=16, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token=WORDS[-1]))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token=WORDS[-1])


def drawn(model: Any, tokenizer: Any, count: int) -> Any:
    """Pairs whose answers are what the model gives, so that most count; a few of each cluster."""
    import torch

    from causaltest import Pair, Pairs

    rng, found = random.Random(count), []
    while len(found) < count:
        length = LENGTHS[len(found) // 64 % len(LENGTHS)]
        ids = torch.tensor([[rng.randrange(len(WORDS) - 1) for _ in range(length)] for _ in range(128)])
        with torch.inference_mode():
            gave = model(ids).logits[:, -1].argmax(-1).tolist()
        texts = [" ".join(WORDS[i] for i in row) for row in ids.tolist()]
        for n in range(64):
            answer, other = f" {WORDS[gave[n]]}", f" {WORDS[gave[n + 64]]}"
            if answer != other and WORDS[-1] not in answer + other and len(found) < count:
                cluster = f"cluster {len(found) // 4}"
                pair = Pair(clean=texts[n], corrupt=texts[n + 64], answer=answer, corrupt_answer=other, cluster=cluster)
                found.append(pair)
    return Pairs(found)
