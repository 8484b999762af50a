"""Correspondence: the same stretch in two prompts, or nothing where that is not clear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking import correspondence
from causaltest.asking.correspondence import counterpart

CAPITAL = "The capital of {} is"


def found(text: str, other: str, part: str) -> str | None:
    """The words of the other text that stand in the place of a part of the first."""
    begin = text.index(part)
    stretch = counterpart(text, other, (begin, begin + len(part)))
    return None if stretch is None else other[slice(*stretch)]


@pytest.mark.parametrize(
    ("text", "other", "part", "wanted"),
    [
        (CAPITAL.format("France"), CAPITAL.format("Italy"), "France", "Italy"),
        (CAPITAL.format("Niger"), CAPITAL.format("Nigeria"), "Niger", "Nigeria"),
        (CAPITAL.format("Nigeria"), CAPITAL.format("Niger"), "Nigeria", "Niger"),
        (CAPITAL.format("Mali"), CAPITAL.format("Upper Volta"), "Mali", "Upper Volta"),
        (CAPITAL.format("Upper Volta"), CAPITAL.format("Mali"), "of Upper Volta is", "of Mali is"),
        (CAPITAL.format("Mali"), CAPITAL.format("Upper Volta"), "is", "is"),
        # Half of what was replaced has no counterpart.
        (CAPITAL.format("Upper Volta"), CAPITAL.format("Mali"), "Upper", None),
        (CAPITAL.format("Upper Volta"), CAPITAL.format("Mali"), "capital of Upper", None),
        # Several changes, each word by word.
        ("the cat sat on the hen", "the dog sat on the fox", "cat", "dog"),
        ("the cat sat on the hen", "the dog sat on the fox", "the hen", "the fox"),
        # As many words in all, and the change of length in between is seen.
        ("New York and Paris are", "Rome and San Francisco are", "New York", "Rome"),
        ("New York and Paris are", "Rome and San Francisco are", "Paris", "San Francisco"),
        # Swapped words stay where they are.
        ("When Mary and John went", "When John and Mary went", "Mary", "John"),
        ("He has 12 ducks and 7 hens", "He has 9 ducks and 30 hens", "12", "9"),
        ("He has 12 ducks and 7 hens", "He has 9 ducks and 30 hens", "7 hens", "30 hens"),
        ("a cat sat", "a cat", "sat", None),
        # What was only put in beside a stretch may belong to it or not.
        ("of Niger now", "of Niger Delta now", "Niger", None),
        ("of Niger now", "of Niger Delta now", "now", None),
        ("of Niger now", "of Niger Delta now", "of", "of"),
        ("of Niger Delta now", "of Niger now", "Niger", "Niger"),
        # No spaces between words: what differs is found by its ends.
        ("法国的首都是", "意大利的首都是", "法国", "意大利"),
        ("法国的首都是", "意大利的首都是", "首都", "首都"),
        ("法国的首都是", "意大利的首都是", "国的", None),
        ("unhappy", "unlucky", "un", "un"),
        ("2019", "2024", "19", "24"),
        ("20", "2024", "20", "2024"),
        ("abcd", "abcdef", "cd", None),
        ("same", "same", "am", "am"),
    ],
)
def test_a_stretch_and_what_stands_in_its_place(text: str, other: str, part: str, wanted: str | None) -> None:
    assert found(text, other, part) == wanted


words = st.lists(st.sampled_from(["red", "blue", "big", "1", ",", "one"]), max_size=4)
countries = st.lists(st.sampled_from(["Mali", "Upper", "Volta"]), min_size=1, max_size=3)
others = st.lists(st.sampled_from(["Chad", "Sierra", "Leone"]), min_size=1, max_size=3)


@given(words, countries, others, words)
def test_one_replaced_stretch_is_found_whatever_stands_around_it(
    before: list[str], one: list[str], two: list[str], after: list[str]
) -> None:
    text, other = (" ".join([*before, *middle, *after]) for middle in (one, two))
    begin = len(" ".join([*before, ""]))
    whole = counterpart(text, other, (begin, begin + len(" ".join(one))))
    assert whole == (begin, begin + len(" ".join(two)))
    for n, word in enumerate(after):
        at = len(" ".join([*before, *one, *after[:n], ""]))
        there = len(" ".join([*before, *two, *after[:n], ""]))
        assert counterpart(text, other, (at, at + len(word))) == (there, there + len(word))


@given(st.text("ab ", max_size=8), st.text("ab ", max_size=8), st.data())
def test_what_is_found_lies_in_the_other_text(text: str, other: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, max(0, len(text) - 1)))
    end = data.draw(st.integers(begin + 1, max(begin + 1, len(text))))
    there = counterpart(text, other, (begin, end)) if end <= len(text) else None
    assert there is None or 0 <= there[0] < there[1] <= len(other)


def test_texts_too_long_to_align_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    text, other = "one big red cat ran on", "two cats, small and blue, ran by"
    assert found(text, other, "ran") == "ran"
    monkeypatch.setattr(correspondence, "MOST_COMPARISONS", 3)
    assert found(text, other, "ran") is None
