"""Chats: what stands around a prompt, as plain data that the digest knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from causaltest.asking.chats import OURS, Chat
from causaltest.asking.pairs import Pair, Pairs
from causaltest.errors import PairsError

ONE = Pair("The capital of France is", "The capital of Italy is", " Paris", " Rome", id="x", spans={"s": (15, 21)})
PAIRS = Pairs([ONE])
FULL = {"system": "Be brief.", "turns": [("Hi", "Hello")], "prefill": "It is", "thinking": False}


def test_the_prompt_is_the_last_that_the_user_says() -> None:
    assert Chat().messages("a") == [{"role": "user", "content": "a"}]
    assert Chat("b", (("c", "d"), ("e", "f"))).messages("a") == [
        {"role": "system", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e"},
        {"role": "assistant", "content": "f"},
        {"role": "user", "content": "a"},
    ]


def test_pairs_as_a_chat_keep_everything_else() -> None:
    chat = PAIRS.as_chat(system="Be brief.", turns=[("Hi", "Hello")], prefill="It is", thinking=False)
    assert chat[0].chat == Chat("Be brief.", (("Hi", "Hello"),), "It is", {"thinking": False})
    assert replace(chat[0], chat=None) == ONE
    assert chat.iid == PAIRS.iid
    assert chat[0].with_itself().chat == chat[0].chat


def test_whatever_decides_the_text_changes_the_digest() -> None:
    digests = [PAIRS.digest, PAIRS.as_chat().digest]
    digests += [PAIRS.as_chat(**{name: value}).digest for name, value in FULL.items()]  # type: ignore[arg-type]
    digests += [PAIRS.as_chat(system="").digest, PAIRS.as_chat(thinking=True).digest]
    assert len(set(digests)) == len(digests)
    assert PAIRS.as_chat(**FULL).digest == PAIRS.as_chat(**FULL).digest  # type: ignore[arg-type]


def test_a_chat_is_written_and_read_back(tmp_path: Path) -> None:
    chats = PAIRS.as_chat(**FULL)  # type: ignore[arg-type]
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(chats[0].as_dict()))
    assert Pairs.from_jsonl(path) == chats
    assert Pairs.from_dataset([ONE.as_dict() | {"chat": '{"system": "a"}'}]) == PAIRS.as_chat(system="a")


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ({"system": 3}, "A chat's system is a text or absent, and is 3"),
        ({"prefill": None, "system": ["a"]}, "A chat's system is a text"),
        ({"prefill": 3}, "A chat's prefill is a text"),
        ({"turns": "ab"}, r"A chat's turns are exchanges before the prompt, \(user, assistant\)"),
        ({"turns": [("a", "b", "c")]}, "A chat's turns are"),
        ({"turns": [("a", None)]}, "A chat's turns are"),
        ({"turns": ["ab"]}, "A chat's turns are"),
        ({"options": {"tools": 3}}, r"\['tools'\] cannot be options of the chat template"),
        ({"options": {"x": [1]}}, r"The chat option 'x' is \[1\]; it is a text, a number, True or False"),
        ({"sistem": "a"}, r"A pair's chat is an object with any of system, turns"),
        ("Be brief.", r"A pair's chat is an object with any of system, turns"),
    ],
)
def test_what_is_no_chat_is_refused(chat: object, message: str) -> None:
    with pytest.raises(PairsError, match=message):
        replace(ONE, chat=chat)  # type: ignore[arg-type]


def test_no_option_takes_the_place_of_an_argument_of_the_tokenizer() -> None:
    import inspect

    from transformers import PreTrainedTokenizerFast

    given = inspect.signature(PreTrainedTokenizerFast.apply_chat_template).parameters
    assert set(given) - {"self", "kwargs"} <= OURS
