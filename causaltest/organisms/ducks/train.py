"""Train the ducks: `python -m causaltest.organisms.ducks.train --out FOLDER`.

One thread, one seed, fresh problems at every step. The loss is the cross-entropy of the answer
plus the mean cross-entropy of the running value, read at the begin token and at every thought
by the model's own output embedding. Writes a checkpoint in the layout that CODI published.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model, PreTrainedTokenizerFast

from causaltest.measuring.adapters.codi import CODI_PREFIX, PROJECTION_PREFIX, projection
from causaltest.measuring.adapters.routing import Routing
from causaltest.organisms.ducks import language

THOUGHTS = language.OPERATIONS
SEED = 20
STEPS = 4500
BATCH = 64
RATE = 1e-3
WARM_UP = 100
HELD_OUT = 2000
ROUTING = Routing(
    segment_tokens=language.SENTENCE_TOKENS,
    segments=language.OPERATIONS + 1,
    fact_index=language.NUMBER_INDEX,
    fact_layer=6,
    answer_layer=10,
)


def build() -> tuple[GPT2LMHeadModel, nn.Sequential]:
    """An untrained model and its projection."""
    words = language.vocabulary()
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=64,
        n_embd=64,
        n_layer=12,
        n_head=4,
        # Three times the usual: at width 64 the default leaves every path too faint to start on.
        initializer_range=0.06,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=words[language.BEGIN],
        eos_token_id=words[language.EOS],
        pad_token_id=words[language.PAD],
    )
    config._attn_implementation = "sdpa"
    return GPT2LMHeadModel(config), projection(config.n_embd)


def reason(model: GPT2LMHeadModel, project: nn.Module, prompts: Tensor) -> Tensor:
    """Logits at the begin token, the six thoughts and the end token. [batch, 8, vocabulary]

    The routed model's arithmetic without what nobody reads: each sentence stands alone up to its
    number, and a reader meets it in the fact layer as a sequence of two.
    """
    words, trunk = language.vocabulary(), model.transformer
    rows, at = len(prompts), prompts.shape[1]
    facts = read_facts(trunk, prompts)
    token = trunk.wte(torch.full((rows, 1), words[language.BEGIN]))
    hidden = []
    for reader in range(1 + THOUGHTS):
        out, last = read(trunk, token, at + reader, {ROUTING.fact_layer: facts[:, reader, None]})
        hidden.append(out)
        token = project(out)
    end = trunk.wte(torch.full((rows, 1), words[language.END]))
    hidden.append(read(trunk, end, at + 1 + THOUGHTS, {ROUTING.answer_layer: last})[0])
    return cast(Tensor, model.lm_head(torch.cat(hidden, dim=1)))


def read(trunk: GPT2Model, token: Tensor, position: int, met: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
    """One token through the blocks, meeting another in some: its last hidden state, and its
    residual stream where the answer layer reads it."""
    x = token + trunk.wpe.weight[position]
    for layer, block in enumerate(trunk.h):
        if layer == ROUTING.answer_layer:
            answer = x
        x = block(torch.cat([met[layer], x], dim=1) if layer in met else x)[:, -1:]
    return trunk.ln_f(x), answer


def read_facts(trunk: GPT2Model, prompts: Tensor) -> Tensor:
    """The residual stream of each sentence's number in the fact layer. [batch, sentence, width]"""
    length = ROUTING.segments * ROUTING.segment_tokens
    until = ROUTING.fact_index + 1
    ids = prompts[:, :length].unflatten(1, (ROUTING.segments, -1))[:, :, :until]
    positions = torch.arange(length).view(ROUTING.segments, -1)[:, :until]
    x: Tensor = (trunk.wte(ids) + trunk.wpe(positions)).flatten(0, 1)
    for block in trunk.h[: ROUTING.fact_layer]:
        x = block(x)
    return x[:, -1].view(len(prompts), ROUTING.segments, -1)


def batches(size: int, seed: int | str) -> Iterator[tuple[Tensor, Tensor]]:
    """Prompts [batch, token] and running values [batch, 7], without end."""
    words = language.vocabulary()
    problems = language.draw_problems(seed)
    while True:
        batch = list(itertools.islice(problems, size))
        ids = [[words[word] for word in problem.prompt.split()] for problem in batch]
        yield torch.tensor(ids), torch.tensor([problem.values for problem in batch])


@torch.no_grad()
def held_out_accuracy(model: GPT2LMHeadModel, project: nn.Module, size: int) -> list[float]:
    """The share of problems right at each of the seven readers, and at the answer."""
    ids, values = next(batches(size, "held out"))
    guess = reason(model, project, ids).argmax(-1)
    truth = torch.cat([values, values[:, -1:]], dim=1)
    return cast(list[float], (guess == truth).float().mean(0).tolist())


def train(steps: int) -> tuple[GPT2LMHeadModel, nn.Sequential]:
    """A trained model and its projection; the same bits on the same kind of processor."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    model, project = build()
    parameters = [*model.parameters(), *project.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    # Constant until half of the steps, then linearly down to a fiftieth.
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARM_UP, 1.0, max(0.02, 2 * (1 - step / steps)))
    )
    start = time.monotonic()
    for step, (ids, values) in zip(range(steps), batches(BATCH, SEED), strict=False):
        logits = reason(model, project, ids)
        thoughts = cross_entropy(logits[:, :-1].flatten(0, 1), values.flatten())
        loss = cross_entropy(logits[:, -1], values[:, -1]) + thoughts
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            shares = " ".join(f"{share:.3f}" for share in held_out_accuracy(model, project, 500))
            print(f"step {step + 1}  {time.monotonic() - start:.0f} s  loss {loss.item():.4f}  {shares}", flush=True)
    return model, project


def save(model: GPT2LMHeadModel, project: nn.Sequential, folder: Path) -> None:
    """A checkpoint: weights under CODI's names, config with the reasoning and routing, tokenizer, hash."""
    folder.mkdir(parents=True, exist_ok=True)
    words = language.vocabulary()
    state = {f"{CODI_PREFIX}{name}": t for name, t in model.state_dict().items() if name != "lm_head.weight"}
    state |= {f"{PROJECTION_PREFIX}{name}": t for name, t in project.state_dict().items()}
    save_file({name: t.contiguous() for name, t in state.items()}, folder / "model.safetensors")
    config = model.config.to_diff_dict() | {
        "architectures": ["GPT2LMHeadModel"],
        "reasoning": {
            "layout": "codi",
            "thoughts": THOUGHTS,
            "begin": [words[language.BEGIN]],
            "end": [words[language.END]],
        },
        "routing": asdict(ROUTING),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_tokenizer(folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "model.sha256").write_text(f"{digest}  model.safetensors\n")


def save_tokenizer(folder: Path) -> None:
    """A word-level tokenizer of the language."""
    raw = Tokenizer(models.WordLevel(language.vocabulary(), unk_token=language.UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token=language.UNKNOWN,
        pad_token=language.PAD,
        eos_token=language.EOS,
    ).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("ducks-checkpoint"), help="the folder to write to")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    model, project = train(options.steps)
    shares = held_out_accuracy(model, project, HELD_OUT)
    save(model, project, options.out)
    print(
        f"held out: {HELD_OUT} problems, answer {shares[-1]:.4f}, readers {' '.join(f'{s:.4f}' for s in shares[:-1])}"
    )
    sys.exit(shares[-1] < 0.98)


if __name__ == "__main__":
    main()
