"""A prompt in its chat: the tokenizer's template around it, and where the prompt stands in what comes out."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from causaltest.asking.chats import Chat
from causaltest.errors import PairsError

PLACE = "\ue000the prompt\ue001"
"""Private characters, which no prompt has."""


class Rendered(NamedTuple):
    """A chat as text, and the character at which the pair's own prompt begins in it."""

    text: str
    begin: int


def render(tokenizer: Any, chat: Chat, prompt: str) -> Rendered:
    """The chat up to where the assistant speaks, with its prefill.

    The place of the prompt is found by rendering the chat with a mark in its place. Raises PairsError when the
    tokenizer has no template, the template does not take the chat, or the prompt is not in it as it is.
    """
    template = template_of(tokenizer)
    unread = [name for name in chat.options if not re.search(rf"\b{re.escape(name)}\b", template)]
    if unread:
        raise PairsError(f"The chat template of this tokenizer reads no option {unread[0]!r}, so it would do nothing.")
    marked, text = (apply(tokenizer, chat, content) for content in (PLACE, prompt))
    before, *after = marked.split(PLACE)
    if len(after) != 1:
        raise PairsError(
            f"The chat template shows the prompt {len(after)} times, so no position in it means one place. The chat "
            f"reads: {text!r}"
        )
    if text != before + prompt + after[0]:
        spaces = " Write the prompt without the spaces around it." if prompt != prompt.strip() else ""
        raise PairsError(
            f"The chat template changes the prompt, so spans and texts would not be found in it.{spaces} The prompt "
            f"reads: {prompt!r}\nThe chat reads: {text!r}"
        )
    return Rendered(text + chat.prefill, len(before))


def template_of(tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise PairsError(
            "These pairs are a chat, and the tokenizer has no chat template. Measure a chat model, set "
            "tokenizer.chat_template to the template that this model was trained with, or leave .as_chat() out."
        )
    try:
        template: str = tokenizer.get_chat_template()
    except ValueError as error:  # several templates, and none of them the default
        raise PairsError(f"The tokenizer does not say which chat template is meant: {error}") from error
    return template


def apply(tokenizer: Any, chat: Chat, prompt: str) -> str:
    from jinja2 import TemplateError  # comes with torch, and only chats need it

    try:
        # In place of the function that gives today's date, so that a template that calls it fails.
        text: str = tokenizer.apply_chat_template(
            chat.messages(prompt), tokenize=False, add_generation_prompt=True, strftime_now="", **chat.options
        )
    except (TemplateError, ValueError, TypeError) as error:
        if isinstance(error, TypeError) and "not callable" in str(error):
            raise PairsError(
                "The chat template writes today's date into the prompt, so tomorrow it would be another prompt. Give "
                'the date as the option that the template has for it, such as .as_chat(date_string="26 Jul 2024").'
            ) from error
        raise PairsError(f"The chat template of this tokenizer does not take this chat: {error}") from error
    return text
