"""Prompts as tokens: tokenised once, aligned, and grouped by length so that nothing is padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causaltest.asking.pairs import Pair, Pairs
from causaltest.errors import PairsError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.budget import Budget


@dataclass(frozen=True)
class Prompt:
    """A text as the model sees it, its token ids and the characters of each token."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    begin: int = 0
    """The character at which the pair's own prompt begins in the text."""

    def piece(self, token: int) -> str:
        """The characters of a token."""
        return self.text[slice(*self.offsets[token])]


@dataclass(frozen=True)
class TokenPair:
    """A pair as tokens: two prompts of one length, and the answers."""

    pair: Pair
    clean: Prompt
    corrupt: Prompt
    answer: tuple[int, ...]
    corrupt_answer: tuple[int, ...] | None


@dataclass(frozen=True)
class Chunk:
    """Pairs of one length that share their forwards."""

    pairs: tuple[TokenPair, ...]
    clean: Tensor
    """[row, token]"""
    corrupt: Tensor

    @property
    def prompt_tokens(self) -> int:
        return self.clean.shape[1]

    def answers(self, count: int) -> Tensor:
        """The first tokens of each clean answer, its last one repeated where it is shorter. [row, count]"""
        ids = [[*p.answer, *p.answer[-1:] * count][:count] for p in self.pairs]
        return torch.tensor(ids, dtype=torch.long, device=self.clean.device).reshape(len(ids), count)


def tokenise(model: LoadedModel, pairs: Pairs, budget: Budget) -> tuple[Chunk, ...]:
    """The pairs as chunks of equal length, in order within each length; as many in a chunk as the budget holds.

    Raises PairsError when clean and corrupt differ in length; shows both tokenisations.
    """
    by_length: dict[int, list[TokenPair]] = {}
    for pair in pairs:
        tokens = token_pair(model.tokenizer, pair)
        by_length.setdefault(len(tokens.clean.ids), []).append(tokens)
    device = model.model.device
    return tuple(
        as_chunk(group[at : at + size], device)
        for length, group in by_length.items()
        for size in [budget.pairs(model, length)]
        for at in range(0, len(group), size)
    )


def as_chunk(pairs: Sequence[TokenPair], device: Any) -> Chunk:
    return Chunk(
        tuple(pairs),
        torch.tensor([p.clean.ids for p in pairs], device=device),
        torch.tensor([p.corrupt.ids for p in pairs], device=device),
    )


def token_pair(tokenizer: Any, pair: Pair) -> TokenPair:
    clean, corrupt = (tokenise_prompt(tokenizer, text) for text in (pair.clean, pair.corrupt))
    if len(clean.ids) != len(corrupt.ids):
        raise PairsError(misaligned(tokenizer, pair, clean, corrupt))
    return TokenPair(
        pair,
        clean,
        corrupt,
        answer_ids(tokenizer, pair, pair.answer),
        None if pair.corrupt_answer is None else answer_ids(tokenizer, pair, pair.corrupt_answer),
    )


def tokenise_prompt(tokenizer: Any, text: str) -> Prompt:
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = tuple(encoded["input_ids"])
    if not ids:
        raise PairsError(f"The tokenizer makes no token of the prompt {text!r}.")
    return Prompt(text, ids, tuple((int(a), int(b)) for a, b in encoded["offset_mapping"]))


def answer_ids(tokenizer: Any, pair: Pair, answer: str) -> tuple[int, ...]:
    ids = tuple(tokenizer(answer, add_special_tokens=False)["input_ids"])
    if not ids or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids):
        raise PairsError(f"{pair.id}: the tokenizer has no tokens for the answer {answer!r}.")
    return ids


def misaligned(tokenizer: Any, pair: Pair, clean: Prompt, corrupt: Prompt) -> str:
    words = [tokenizer.convert_ids_to_tokens(list(p.ids)) for p in (clean, corrupt)]
    shorter = min(len(words[0]), len(words[1]))
    part = next((i for i in range(shorter) if words[0][i] != words[1][i]), shorter)
    return (
        f"{pair.id}: the clean prompt has {len(clean.ids)} tokens and the corrupt one {len(corrupt.ids)}, so no "
        f"position means the same in both. They part at token {part}:\n"
        f"  clean   {words[0]}\n  corrupt {words[1]}\n"
        "Reword one of them until both have as many tokens."
    )
