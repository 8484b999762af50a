"""Templates: marked stretches become spans of both prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.pairs import Pair
from causaltest.asking.templates import Template
from causaltest.errors import PairsError

IOI = "When {io} and {s} went to the store, {s2=s} gave a drink to"


def stretches(pair: Pair, side: str) -> dict[str, str]:
    spans = pair.spans if side == "clean" else pair.corrupt_spans
    return {name: getattr(pair, side)[slice(*span)] for name, span in spans.items()}


def test_a_marked_text_is_filled_in_the_corrupt_prompt_and_named_in_both() -> None:
    pair = Pair.from_template(
        "The {relation:capital of} {subject:France} is", corrupt={"subject": "Upper Volta"}, answer=" Paris"
    )
    assert (pair.clean, pair.corrupt) == ("The capital of France is", "The capital of Upper Volta is")
    assert stretches(pair, "clean") == {"relation": "capital of", "subject": "France"}
    assert stretches(pair, "corrupt") == {"relation": "capital of", "subject": "Upper Volta"}
    assert (pair.answer, pair.corrupt_answer, pair.id) == (" Paris", None, None)
    assert pair.cluster == "The {relation} {subject} is", "two texts marked alike share their template"


def test_a_second_stretch_has_the_same_filler_under_a_name_of_its_own() -> None:
    pair = Pair.from_template(
        IOI,
        clean={"io": "Mary", "s": "John"},
        corrupt_template=IOI.replace("=s", "=io"),
        answer=" Mary",
        corrupt_answer=" John",
        cluster="store",
    )
    assert pair.clean == "When Mary and John went to the store, John gave a drink to"
    assert pair.corrupt == "When Mary and John went to the store, Mary gave a drink to"
    assert stretches(pair, "clean") == {"io": "Mary", "s": "John", "s2": "John"}
    assert stretches(pair, "corrupt") == {"io": "Mary", "s": "John", "s2": "Mary"}
    assert pair.cluster == "store"


def test_a_brace_is_written_twice() -> None:
    assert Template("{{{n:3}}} is a set").fill({}).text == "{3} is a set"


def test_a_filler_with_braces_is_text() -> None:
    assert Template("say {it}").fill({"it": "{x}"}) == ("say {x}", {"it": (4, 7)})


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "A template is a text that is not empty, and is ''"),
        (None, "A template is a text that is not empty, and is None"),
        ("a {b", r"has a '\{' at character 2 that is no mark: write \{name\}, \{name:text\} or \{name=other\}"),
        ("a }b", r"has a '\}' at character 2 that is no mark"),
        ("a {} b", r"has a '\{' at character 2"),
        ("a {1b} c", r"has a '\{' at character 2"),
        ("a {b:} c", r"has a '\{' at character 2"),
        ("a {b!r} c", r"has a '\{' at character 2"),
        ("{s} and {s}", r"Two stretches .* called 's'.*name of its own: \{s2=s\} is filled alike"),
    ],
)
def test_a_template_that_cannot_be_read_says_where(template: str, message: str) -> None:
    with pytest.raises(PairsError, match=message):
        Template(template)


@pytest.mark.parametrize("filler", ["", None, 3])
def test_a_filler_is_a_text(filler: object) -> None:
    with pytest.raises(PairsError, match=rf"The filler of 's' is {filler!r}; 'a \{{s\}}' needs a text for it"):
        Template("a {s}").fill({"s": filler})  # type: ignore[dict-item]


def test_a_missing_filler_and_one_too_many_are_named() -> None:
    with pytest.raises(PairsError, match="The filler of 's' is missing"):
        Pair.from_template("a {s}", corrupt={"s": "b"}, answer="c")
    with pytest.raises(PairsError, match=r"fillers for \['country'\], and the template has the slots \['subject'\]"):
        Pair.from_template("a {subject:x}", corrupt={"country": "b"}, answer="c")


def test_templates_that_mark_other_stretches_are_refused() -> None:
    with pytest.raises(PairsError, match=r"marks \['s'\] and the corrupt one \['t'\]"):
        Pair.from_template("a {s:x}", corrupt_template="b {t:y}", answer="c")


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
filler = plain.filter(bool)


@given(st.lists(st.tuples(plain, filler), min_size=1, max_size=4), plain)
def test_the_spans_are_the_fillers_whatever_the_text_around_them(parts: list[tuple[str, str]], end: str) -> None:
    escaped = [text.replace("{", "{{").replace("}", "}}") for text, _ in parts]
    template = "".join(f"{text}{{s{n}}}" for n, text in enumerate(escaped))
    template += end.replace("{", "{{").replace("}", "}}")
    filled = Template(template).fill({f"s{n}": f for n, (_, f) in enumerate(parts)})
    assert filled.text == "".join(text + f for text, f in parts) + end
    assert [filled.text[slice(*span)] for span in filled.spans.values()] == [f for _, f in parts]
