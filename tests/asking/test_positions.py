"""Positions: what each word describes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.positions import Position, compact, every, first, index, last, nth, span, step, thought
from causaltest.errors import PositionError

COUNTED = {"index": index, "step": step, "thought": thought}


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (index(3), "index 3"),
        (index(-1), "index -1"),
        (thought(range(6)), "thought 0-5"),
        (thought(1, 4), "thought 1, 4"),
        (step(0), "step 0"),
        (every(), "every position"),
        (last(), "last()"),
        (span("subject"), "span('subject')"),
        (last(span("subject")), "last(span('subject'))"),
        (first("cat"), "first('cat')"),
        (first("cat", occurrence=1), "first('cat', occurrence=1)"),
    ],
)
def test_a_position_reads_as_it_was_written(position: Position, words: str) -> None:
    assert str(position) == words


def test_the_first_think_is_the_first_thought() -> None:
    assert first("[THINK]") == first("[THINK]", occurrence=0) == thought(0)


def test_another_think_is_that_thought() -> None:
    assert first("[THINK]", occurrence=2) == thought(2)
    assert last("[THINK]", occurrence=2) == thought(2)


def test_the_last_think_waits_for_the_model_to_say_how_many_there_are() -> None:
    assert last("[THINK]") == Position("last", text="[THINK]")


@pytest.mark.parametrize("k", range(4))
def test_the_nth_of_a_text_is_its_first_token_in_that_occurrence(k: int) -> None:
    assert nth("cat", k) == first("cat", occurrence=k)
    assert nth("[THINK]", k) == thought(k)


@pytest.mark.parametrize("k", [-1, 1.0, True, None])
def test_an_nth_is_counted_from_zero(k: object) -> None:
    with pytest.raises(PositionError, match=r"nth\(\.\.\.\) takes whole numbers from 0, and got"):
        nth("cat", k)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [3, span("s")])
def test_an_nth_is_of_a_text(text: object) -> None:
    with pytest.raises(PositionError, match=r"nth\(\.\.\.\) takes a text and which of its occurrences, and got"):
        nth(text, 0)  # type: ignore[arg-type]


def test_an_nth_of_nothing_is_refused() -> None:
    with pytest.raises(PositionError, match="is empty; give the text"):
        nth("", 1)


def test_several_thoughts_are_given_one_by_one_or_as_a_range() -> None:
    assert thought(0, 1, 2) == thought(range(3)) == thought([0, 1, 2])


@pytest.mark.parametrize("verb", [first, last])
def test_an_empty_text_is_refused(verb: Callable[..., Position]) -> None:
    with pytest.raises(PositionError, match=rf"{verb.__name__}\(''\) is empty; give the text"):
        verb("")


@pytest.mark.parametrize("verb", [first, last])
@pytest.mark.parametrize("number", [0, -1, 3.0])
def test_a_number_is_no_text_and_belongs_into_index(verb: Callable[..., Position], number: object) -> None:
    with pytest.raises(PositionError, match=rf"takes a text or span\(name\), and got {number}; a number is index\("):
        verb(number)


@pytest.mark.parametrize("inner", [every(), index(2), last("cat"), thought(0)])
def test_an_edge_of_anything_but_a_span_is_refused(inner: Position) -> None:
    with pytest.raises(PositionError, match=r"last\(\.\.\.\) takes a text or span\(name\), and got"):
        last(inner)


@pytest.mark.parametrize("occurrence", [-1, 1.0, True])
def test_an_occurrence_is_counted_from_zero(occurrence: object) -> None:
    with pytest.raises(PositionError, match=r"occurrence.*whole numbers from 0"):
        first("cat", occurrence=occurrence)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["step", "thought"])
@pytest.mark.parametrize("number", [-1, 1.5, True, "2"])
def test_steps_and_thoughts_are_counted_from_zero(name: str, number: object) -> None:
    with pytest.raises(PositionError, match=rf"{name}\(\.\.\.\) takes whole numbers from 0, and got"):
        COUNTED[name](number)  # type: ignore[operator]


@pytest.mark.parametrize("numbers", [(), (1.5,), (True,), ("2",), (0, None)])
def test_an_index_is_a_whole_number_and_at_least_one_of_them(numbers: tuple[object, ...]) -> None:
    with pytest.raises(PositionError, match=r"index\(\.\.\.\) takes whole numbers, and got"):
        index(*numbers)  # type: ignore[arg-type]


def test_no_thought_at_all_is_refused() -> None:
    with pytest.raises(PositionError, match=r"thought\(\.\.\.\) takes whole numbers from 0, and got \(\)"):
        thought(range(0))


@given(st.sampled_from(sorted(COUNTED)), st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True))
def test_the_cells_of_a_position_are_its_numbers_in_order(name: str, numbers: list[int]) -> None:
    verb = COUNTED[name]
    assert verb(*numbers).single() == tuple(verb(n) for n in numbers)


@pytest.mark.parametrize("position", [every(), last(), span("s"), last(span("s")), first("cat", occurrence=2)])
def test_a_position_without_numbers_is_one_cell(position: Position) -> None:
    assert position.single() == (position,)


@given(st.lists(st.integers(-5, 40), min_size=1, max_size=8).map(tuple))
def test_numbers_in_short_can_be_read_back(numbers: tuple[int, ...]) -> None:
    short = compact(numbers)
    if ", " not in short and "-" in short.lstrip("-"):
        low, _, high = short.rpartition("-") if not short.rpartition("-")[0].endswith("-") else short.rpartition("--")
        assert tuple(range(int(low), int(high) + 1)) == numbers
    else:
        assert tuple(map(int, short.split(", "))) == numbers


def test_a_run_of_numbers_is_shortened_only_in_order() -> None:
    assert [compact(n) for n in ((3, 4, 5), (3, 4), (5, 4, 3), (3, 4, 6))] == ["3-5", "3, 4", "5, 4, 3", "3, 4, 6"]
