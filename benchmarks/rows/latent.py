"""Patched latent generation, 12 layers x 6 slots: a prompt of 60 tokens, 6 thoughts, 8 answer tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.beside import filled, scaling
from benchmarks.compare import Differs, Same
from benchmarks.models import gpt2_small, random_prompts, tokenizer_of, words
from benchmarks.ours import opened
from benchmarks.peers.plain_reasoner import PlainReasoner
from benchmarks.row import Options, Row
from benchmarks.timing import Timed, paired, timed
from causaltest import Pair, accuracy, exact_match, logit, resid_post, thought
from causaltest.asking.metrics import Metric
from causaltest.asking.sites import Site
from causaltest.measuring.adapters.codi import projection
from causaltest.measuring.adapters.load import wrap
from causaltest.measuring.adapters.model import LoadedModel, Reasoning

PROMPT, BEGIN, THOUGHTS, ANSWER = 59, 50255, 6, 8
END, TARGET = 50256, 42


def checked(options: Options) -> list[Row]:
    row = Row("latent generation, 12 layers x 6 slots, GPT-2 small, one pair", "one run per site, plain hooks")
    row = dataclasses.replace(row, at_least=13.0, aim=18.0)
    return beside_plain(options, row, accuracy, "Ours checks the known answer in one forward; theirs generates it.")


def generated(options: Options) -> list[Row]:
    row = Row("the same, read as text", "one run per site, plain hooks")
    return beside_plain(options, row, exact_match(max_new_tokens=ANSWER), "Both generate, token by token.")


def beside_plain(options: Options, row: Row, metric: Metric, how: str) -> list[Row]:
    both = Reasoners.made()
    layers = list(range(options.every // 2, both.layers, options.every))
    first = both.theirs(layers)
    worst = both.same_logits(layers, first.gave)
    beside = paired(
        lambda: both.ours(layers, metric), lambda: both.theirs(layers), repeats=options.repeats, check=both.same_tokens
    )
    note = (
        "A prompt of 60 tokens, 6 thoughts, 8 answer tokens, the corrupt thoughts put into the clean run: where the "
        f"answer's tokens stay is the same at every site, and so is the first token's logit. {how}"
    )
    scaled = scaling(layers, both.layers)
    return [filled(dataclasses.replace(row, notes=note), beside, worst, scaled=scaled)]


@dataclasses.dataclass(frozen=True)
class Reasoners:
    """The same reasoner twice: for our lab and for plain hooks."""

    loaded: LoadedModel
    plain: PlainReasoner
    pair: Pair
    clean: Tensor
    corrupt: Tensor

    @classmethod
    def made(cls) -> Reasoners:
        # These weights give answers that some slots change and others leave: equal maps then mean something.
        model = gpt2_small(tie_word_embeddings=False, initializer_range=0.05)
        torch.manual_seed(1)
        project = projection(model.config.hidden_size).eval()
        tokenizer = tokenizer_of(model)
        reasoner = PlainReasoner(model, project, THOUGHTS, END, ANSWER)
        clean, corrupt = random_prompts(PROMPT, seed=2)
        ids = [torch.tensor([[*prompt, BEGIN]]) for prompt in (clean, corrupt)]
        with torch.inference_mode():
            answer, _ = reasoner.run(ids[0])
        reasoning = Reasoning(THOUGHTS, (BEGIN,), (END,), project)
        return cls(
            dataclasses.replace(wrap(model, tokenizer, "reasoner"), reasoning=reasoning),
            reasoner,
            Pair(clean=words(clean), corrupt=words(corrupt), answer=words(answer)),
            *ids,
        )

    @property
    def layers(self) -> int:
        return len(self.loaded.blocks)

    @property
    def answer(self) -> list[int]:
        return [int(word[1:]) for word in self.pair.answer.split()]

    def site(self) -> Site:
        return resid_post(range(self.layers), thought(range(THOUGHTS)))

    def ours(self, layers: Sequence[int], metric: Metric) -> Timed:
        """Per site, whether the patch changed any of the answer's tokens."""
        lab = opened(self.loaded, self.loaded.tokenizer)
        sweep = lab.sweep(self.pair, at=self.site(), direction="noise")
        whole = timed(lambda: sweep.drop(metric).estimate)
        return Timed(whole.seconds, whole.gave[list(layers)])

    def theirs(self, layers: Sequence[int]) -> Timed:
        """Answers and first logits of some layers, with the time that all of them would take."""
        with torch.inference_mode():
            values = timed(lambda: self.plain.recorded(self.corrupt)[0])
            ran = timed(lambda: [[self.one(values.gave, n, k) for k in range(THOUGHTS)] for n in layers])
        return Timed(values.seconds + ran.seconds * self.layers / len(layers), ran.gave)

    def one(self, values: Any, layer: int, slot: int) -> tuple[list[int], float]:
        tokens, logits = self.plain.patched(self.clean, layer, slot, values[layer, slot])
        return tokens, float(logits[TARGET])

    def same_tokens(self, ours: Any, theirs: Any) -> None:
        """Raises Differs where a patch changes the answer for one and not for the other."""
        changed = np.array([[float(tokens != self.answer) for tokens, _ in row] for row in theirs])
        if not np.array_equal(ours, changed):
            raise Differs(f"other sites change the answer: ours {ours.tolist()}, theirs {changed.tolist()}")
        if changed.min() == changed.max():
            raise Differs("the answer changes everywhere or nowhere, so equal maps would prove nothing")

    def same_logits(self, layers: Sequence[int], theirs: Any) -> float:
        """The largest difference of the first answer token's logit at any site. Raises Differs."""
        pair = dataclasses.replace(self.pair, answer=f"w{TARGET}")
        lab = opened(self.loaded, self.loaded.tokenizer)
        ours = lab.sweep(pair, at=self.site(), direction="noise").change(logit).estimate[list(layers)]
        with torch.inference_mode():
            unpatched = float(self.plain.run(self.clean)[1][TARGET])
        same = Same()
        same(ours, [[first - unpatched for _, first in row] for row in theirs])
        return same.worst
