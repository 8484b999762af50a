"""What a tokenizer does to a prompt that nobody would see: refused where it is wrong, noted where it may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from causaltest.errors import PairsError

Offsets = Sequence[tuple[int, int]]
ADDED = (0, 0)
"""The characters of a token that the tokenizer adds by itself."""


def check_ends(tokenizer: Any, text: str, ids: Sequence[int], offsets: Offsets, *, chat: bool) -> None:
    """Raises PairsError when a prompt begins with its first token twice, or ends with one that was added."""
    special = set(tokenizer.all_special_ids)
    shown = tokenizer.convert_ids_to_tokens([ids[0], ids[-1]])
    if all(at == ADDED and i in special for i, at in zip(ids, offsets, strict=True)):
        raise PairsError(f"The tokenizer makes no token of the prompt {text!r}.")
    if offsets[-1] == ADDED and ids[-1] in special:
        raise PairsError(
            f"The tokenizer adds {shown[1]} at the end of the prompt, so the answer would be read off after it. Load "
            "a tokenizer that does not (for many, AutoTokenizer.from_pretrained(..., add_eos_token=False)), and give "
            f"it to Lab. The prompt: {text!r}"
        )
    twice = ids[0] in special and list(ids[:2]) == [ids[0]] * 2
    if twice and chat and ids[0] == tokenizer.bos_token_id:
        raise PairsError(f"The chat begins with {shown[0]} twice. Leave it out of the system text. It reads: {text!r}")
    if twice and offsets[0] == ADDED:
        raise PairsError(
            f"The prompt begins with {shown[0]} twice: the tokenizer adds it, and the text has it too. Leave it out of "
            f"the text: {text!r}"
        )


def unknown_words(tokenizer: Any, text: str, ids: Sequence[int], offsets: Offsets) -> tuple[str, ...]:
    """The words that became the tokenizer's unknown token."""
    unknown = tokenizer.unk_token_id
    pieces = [text[slice(*at)] for i, at in zip(ids, offsets, strict=True) if i == unknown]
    # Some tokenizers have one token for unknown and for the end of a text, which a prompt may hold on purpose.
    return tuple(dict.fromkeys(piece for piece in pieces if piece.strip() not in ("", tokenizer.unk_token)))


def check_seam(
    tokens: Callable[[str], Sequence[int]], prompt: str, prompt_ids: Sequence[int], answer: str, ids: Sequence[int]
) -> str | None:
    """A note where a tokenizer would write prompt and answer together in other tokens, or None.

    Raises PairsError where a space at the end of the prompt is a token: after it, an answer is
    written without its own.
    """
    whole = [*prompt_ids, *ids]
    fits = list(tokens(prompt + answer)) == whole
    bare = prompt.rstrip(" ")
    if prompt != bare and (answer.startswith(" ") or not fits) and list(tokens(bare)) != list(prompt_ids):
        raise PairsError(
            f"The prompt ends with a space, which the tokenizer makes a token of its own, and so the answer {answer!r} "
            "does not continue it as the model has learned to. Take the space from the prompt's end, and begin the "
            f"answers with it: {answer if answer.startswith(' ') else ' ' + answer!r}. The prompt: {prompt!r}"
        )
    # A tokenizer may take the space between two words for granted.
    if fits or list(tokens(f"{prompt} {answer}")) == whole:
        return None
    return (
        f"the tokenizer writes the prompt's end and the answer {answer!r} in other tokens when they stand together; "
        "should the answer begin with a space?"
    )
