"""Chat: what stands around a prompt that is put to a chat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from causaltest.errors import PairsError

OURS = frozenset(
    "conversation messages tools documents chat_template add_generation_prompt continue_final_message tokenize padding "
    "truncation max_length return_tensors return_dict return_assistant_tokens_mask tokenizer_kwargs "
    "sanitize_control_tokens strftime_now".split()
)
"""Arguments of `apply_chat_template` that are not options of a template."""


@dataclass(frozen=True)
class Chat:
    """A prompt as the last thing that the user says, before the assistant speaks.

    `turns` are the (user, assistant) exchanges before it, `prefill` is text with which the
    assistant has begun its answer, and `options` are those of the tokenizer's chat template, such
    as enable_thinking. Raises PairsError for what is none of these.
    """

    system: str | None = None
    turns: tuple[tuple[str, str], ...] = ()
    prefill: str = ""
    options: Mapping[str, str | bool | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.system is not None and not isinstance(self.system, str):
            raise PairsError(f"A chat's system is a text or absent, and is {self.system!r}.")
        if not isinstance(self.prefill, str):
            raise PairsError(f"A chat's prefill is a text, with which the answer begins, and is {self.prefill!r}.")
        if isinstance(self.turns, str) or not isinstance(self.turns, Sequence) or not all(map(is_turn, self.turns)):
            raise PairsError(
                f"A chat's turns are exchanges before the prompt, (user, assistant) of two texts each, and are "
                f"{self.turns!r}."
            )
        object.__setattr__(self, "turns", tuple((user, assistant) for user, assistant in self.turns))
        if not isinstance(self.options, Mapping) or not all(isinstance(name, str) for name in self.options):
            raise PairsError(f"A chat's options are those of a chat template by their names, and are {self.options!r}.")
        taken = sorted(OURS & set(self.options))
        if taken:
            raise PairsError(f"{taken} cannot be options of the chat template: they are decided by how it is measured.")
        odd = next((k for k, v in self.options.items() if not isinstance(v, str | bool | int | float)), None)
        if odd is not None:
            raise PairsError(
                f"The chat option {odd!r} is {self.options[odd]!r}; it is a text, a number, True or False."
            )
        object.__setattr__(self, "options", dict(self.options))

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """The conversation up to the prompt, in roles and contents."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        turns = [
            {"role": role, "content": text}
            for turn in self.turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        return [*system, *turns, {"role": "user", "content": prompt}]

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain data."""
        return asdict(self) | {"turns": [list(turn) for turn in self.turns]}


def as_chat(given: Any) -> Chat:
    """A chat from its fields as plain data."""
    if isinstance(given, Chat):
        return given
    if not isinstance(given, Mapping) or not set(given) <= {"system", "turns", "prefill", "options"}:
        raise PairsError(
            f"A pair's chat is an object with any of system, turns, prefill and options, and is {given!r}."
        )
    return Chat(**{name: value for name, value in given.items() if value is not None})


def is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, Sequence)
        and not isinstance(turn, str)
        and len(turn) == 2
        and all(isinstance(text, str) for text in turn)
    )
