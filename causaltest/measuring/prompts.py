"""Prompts as tokens: tokenised once, aligned, and grouped by length so that nothing is padded."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causaltest.asking.chats import Chat
from causaltest.asking.pairs import Pair, Pairs
from causaltest.errors import PairsError
from causaltest.measuring.adapters.model import LoadedModel
from causaltest.measuring.budget import Budget
from causaltest.measuring.chat import render
from causaltest.measuring.prompt_checks import check_ends, check_seam, unknown_words

SHOWN_TOKENS = 32
SHOWN_NOTES = 3


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text as the model sees it, its token ids and the characters of each token."""

    text: str
    _ids: bytes
    _offsets: bytes
    """Packed: of 100,000 prompts, numbers that are objects of their own would take a gigabyte."""
    begin: int = 0
    """The character at which the pair's own prompt begins in the text."""
    chat: bool = False
    unknown: tuple[str, ...] = ()
    """The words that the tokenizer does not know."""

    @classmethod
    def of(
        cls,
        text: str,
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        begin: int = 0,
        chat: bool = False,
        unknown: tuple[str, ...] = (),
    ) -> Prompt:
        return cls(text, packed(ids), packed([at for pair in offsets for at in pair]), begin, chat, unknown)

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens."""
        return tuple(memoryview(self._ids).cast("i"))

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """The characters of each token: the first, and past the last."""
        flat = memoryview(self._offsets).cast("i").tolist()
        return tuple(zip(flat[::2], flat[1::2], strict=True))

    def piece(self, token: int) -> str:
        """The characters of a token."""
        return self.text[slice(*self.offsets[token])]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair as tokens: two prompts of one length, and the answers."""

    pair: Pair
    clean: Prompt
    corrupt: Prompt
    answer: tuple[int, ...]
    corrupt_answer: tuple[int, ...] | None
    notes: tuple[str, ...] = ()
    """What may be wrong with it."""


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

    Raises PairsError when clean and corrupt differ in length, or a prompt is not what the model would see.
    """
    by_length: dict[int, list[TokenPair]] = {}
    for pair in pairs:
        tokens = token_pair(model.tokenizer, pair)
        by_length.setdefault(len(tokens.clean.ids), []).append(tokens)
    device = model.device
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
    """A pair as tokens. Raises PairsError that names the pair, when the model would see something else than it says."""
    try:
        clean, corrupt = (tokenise_prompt(tokenizer, text, pair.chat) for text in (pair.clean, pair.corrupt))
        check_difference(tokenizer, pair, clean, corrupt)
        answer, note = answer_ids(tokenizer, clean, pair.answer)
        other, other_note = (None, None)
        if pair.corrupt_answer is not None:
            other, other_note = answer_ids(tokenizer, corrupt, pair.corrupt_answer)
    except PairsError as error:
        raise PairsError(f"{pair.id}: {error}") from error
    return TokenPair(pair, clean, corrupt, answer, other, notes_on(clean, corrupt, note, other_note))


def tokenise_prompt(tokenizer: Any, prompt: str, chat: Chat | None = None) -> Prompt:
    """A prompt as tokens, in its chat if it has one.

    Raises PairsError when the tokenizer makes nothing of it, begins it twice, or adds a token at its end.
    """
    text, begin = (prompt, 0) if chat is None else render(tokenizer, chat, prompt)
    # A chat template writes the special tokens itself.
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=chat is None)
    ids = tuple(encoded["input_ids"])
    if not ids:
        raise PairsError(f"The tokenizer makes no token of the prompt {text!r}.")
    offsets = tuple((int(a), int(b)) for a, b in encoded["offset_mapping"])
    check_ends(tokenizer, text, ids, offsets, chat=chat is not None)
    return Prompt.of(text, ids, offsets, begin, chat is not None, unknown_words(tokenizer, text, ids, offsets))


def packed(numbers: Sequence[int]) -> bytes:
    return array("i", numbers).tobytes()


def answer_ids(tokenizer: Any, prompt: Prompt, answer: str) -> tuple[tuple[int, ...], str | None]:
    """The answer's tokens, and a note where they do not continue the prompt as the tokenizer would write it."""
    ids = tuple(tokenizer(answer, add_special_tokens=False)["input_ids"])
    if not ids or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids):
        raise PairsError(f"the tokenizer has no tokens for the answer {answer!r}.")

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=not prompt.chat)["input_ids"])

    return ids, check_seam(tokens, prompt.text, prompt.ids, answer, ids)


def check_difference(tokenizer: Any, pair: Pair, clean: Prompt, corrupt: Prompt) -> None:
    """Raises PairsError when the prompts are not aligned, or are two texts and the same tokens."""
    if len(clean.ids) != len(corrupt.ids):
        raise PairsError(misaligned(tokenizer, clean, corrupt))
    if clean.ids == corrupt.ids and pair.clean != pair.corrupt:
        unknown = [*clean.unknown, *corrupt.unknown]
        why = f" It does not know the words {unknown}." if unknown else ""
        raise PairsError(
            f"the tokenizer makes the same tokens of both prompts, so the model sees no difference.{why} They read:\n"
            f"  clean   {pair.clean!r}\n  corrupt {pair.corrupt!r}"
        )


def notes_on(clean: Prompt, corrupt: Prompt, *seams: str | None) -> tuple[str, ...]:
    unknown = list(dict.fromkeys((*clean.unknown, *corrupt.unknown)))
    words = [f"the tokenizer does not know {unknown}, and the model sees none of it"] if unknown else []
    return (*words, *dict.fromkeys(note for note in seams if note is not None))


def notes_on_prompts(chunks: Sequence[Chunk]) -> dict[str, str]:
    """What may be wrong with the pairs' prompts, for an effect's provenance; nothing where all is well."""
    told = [f"{p.pair.id}: {note}" for chunk in chunks for p in chunk.pairs for note in p.notes]
    if not told:
        return {}
    more = [f"and {len(told) - SHOWN_NOTES} more"] if len(told) > SHOWN_NOTES else []
    return {"prompts": "; ".join([*told[:SHOWN_NOTES], *more])}


def misaligned(tokenizer: Any, clean: Prompt, corrupt: Prompt) -> str:
    words = [tokenizer.convert_ids_to_tokens(list(p.ids)) for p in (clean, corrupt)]
    shorter = min(len(words[0]), len(words[1]))
    part = next((i for i in range(shorter) if words[0][i] != words[1][i]), shorter)
    return (
        f"the clean prompt has {len(clean.ids)} tokens and the corrupt one {len(corrupt.ids)}, so no position means "
        f"the same in both. They part at token {part}:\n"
        f"  clean   {around(words[0], part)}\n  corrupt {around(words[1], part)}\n"
        "Reword one of them until both have as many tokens."
    )


def around(words: Sequence[str], at: int) -> str:
    """The tokens of a prompt; of a long one, those around a place."""
    begin, end = (0, len(words)) if len(words) <= SHOWN_TOKENS else (max(0, at - SHOWN_TOKENS // 4), at + SHOWN_TOKENS)
    more = max(0, len(words) - end)
    return f"{f'{begin} tokens, ' if begin else ''}{list(words[begin:end])}{f', {more} tokens more' if more else ''}"
