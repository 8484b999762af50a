"""Pairs drawn from templates: distinct, the same for a seed, and as many as there are."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking import draws
from causaltest.asking.draws import shuffled
from causaltest.asking.pairs import Pairs
from causaltest.errors import PairsError

CAPITALS = {"France": "Paris", "Italy": "Rome", "Mali": "Bamako", "Chad": "N'Djamena", "Upper Volta": "Ouagadougou"}
ANSWERS = {country: f" {city}" for country, city in CAPITALS.items()}
FORMS = ["The capital of {country} is", "{country}'s capital is called"]
NAMES = ["Mary", "John", "Ann", "Tom"]
IOI = "When {io} and {s} went to the store, {s2=s} gave a drink to"


def capitals(n: int = 20, seed: int = 0, **changes: object) -> Pairs:
    given = {"template": FORMS[0], "fillers": {"country": CAPITALS}, "answer": ANSWERS}
    return Pairs.from_template(**given | changes, n=n, seed=seed)  # type: ignore[arg-type]


def ioi(n: int = 12, **changes: object) -> Pairs:
    given = {
        "template": IOI,
        "corrupt": IOI.replace("=s", "=io"),
        "fillers": {"io": NAMES, "s": NAMES},
        "where": lambda f: f["io"] != f["s"],
        "answer": " {io}",
        "corrupt_answer": " {s}",
    }
    return Pairs.from_template(**given | changes, n=n, seed=0)  # type: ignore[arg-type]


def test_all_pairs_that_there_are_come_out_once() -> None:
    pairs = capitals(20)
    drawn = {(p.clean, p.corrupt, p.answer, p.corrupt_answer) for p in pairs}
    form = FORMS[0].replace("{country}", "{}")
    assert drawn == {
        (form.format(a), form.format(b), ANSWERS[a], ANSWERS[b]) for a, b in itertools.permutations(CAPITALS, 2)
    }
    for p in pairs:
        assert p.clean[slice(*p.spans["country"])] in CAPITALS
        assert p.corrupt[slice(*p.corrupt_spans["country"])] in CAPITALS
        assert p.cluster == FORMS[0]


def test_more_than_there_are_is_refused_with_how_many_there_are() -> None:
    with pytest.raises(PairsError, match="The fillers give 20 distinct pairs, and n=21 are asked for"):
        capitals(21)
    with pytest.raises(PairsError, match="The fillers give 12 distinct pairs, and n=13"):
        ioi(13)
    with pytest.raises(PairsError, match="The fillers give 0 distinct pairs"):
        capitals(1, answer=" Paris")


@pytest.mark.parametrize("n", [0, -1, 1.0, True, None])
def test_how_many_is_a_whole_number(n: object) -> None:
    with pytest.raises(PairsError, match="how many pairs are drawn is a whole number from 1"):
        capitals(n)  # type: ignore[arg-type]


def test_more_pairs_begin_with_the_fewer() -> None:
    assert capitals(20)[:7] == capitals(7)
    assert capitals(30, template=FORMS)[:7] == capitals(7, template=FORMS)


def test_the_order_in_which_fillers_are_given_decides_nothing() -> None:
    backwards = dict(reversed(CAPITALS.items()))
    assert capitals(fillers={"country": backwards}) == capitals(fillers={"country": set(CAPITALS)}) == capitals()
    two = {"day": ["Monday", "Friday"], "country": list(CAPITALS)}
    form = "On {day} the capital of {country} is"
    both = [capitals(template=form, fillers=dict(f), vary="country") for f in (two.items(), reversed(two.items()))]
    assert both[0] == both[1]


def test_a_seed_is_the_same_in_every_process() -> None:
    code = (
        "from causaltest import Pairs\n"
        "print(Pairs.from_template('a {x} b', fillers={'x': {'p', 'q', 'r', 's'}}, answer='{x}', n=9, seed=3).digest)"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": h, "PYTHONPATH": ":".join(sys.path)},
                       capture_output=True, text=True, check=True).stdout
        for h in "12"
    }  # fmt: skip
    assert len(told) == 1


def test_another_seed_draws_others() -> None:
    assert len({capitals(5, seed) for seed in range(5)}) == 5


def test_templates_take_turns_and_are_the_clusters() -> None:
    pairs = capitals(11, template=FORMS)
    assert [pairs.clusters.count(form) for form in FORMS] == [6, 5]  # type: ignore[union-attr]
    alone = capitals(6)
    mine = [p for p in pairs if p.cluster == FORMS[0]]
    assert [(p.clean, p.corrupt) for p in mine] == [(p.clean, p.corrupt) for p in alone]


def test_a_template_that_is_used_up_leaves_the_rest_to_others() -> None:
    forms = ["{a} is small: {x}", "only {x}"]
    fillers = {"a": ["one", "two", "three"], "x": ["p", "q"]}
    pairs = Pairs.from_template(forms, fillers=fillers, vary="x", answer=" {x}", n=8, seed=0)
    assert [pairs.clusters.count(form) for form in forms] == [6, 2]  # type: ignore[union-attr]


def test_a_cluster_is_a_slot_or_what_is_made_of_the_fillers() -> None:
    for p in capitals(cluster="country"):
        assert p.cluster == p.clean[slice(*p.spans["country"])]
    for p in capitals(cluster=lambda f: f["country"][0]):
        assert p.cluster == p.clean[p.spans["country"][0]]


def test_only_the_varied_slot_differs_and_everywhere_it_stands() -> None:
    form = "{name} lives in {country}. In {again=country}, {name2=name} speaks"
    fillers = {"name": NAMES, "country": ["France", "Italy"]}
    for p in Pairs.from_template(form, fillers=fillers, vary="country", answer=" {country}", n=8, seed=1):
        clean, corrupt = ({s: t[slice(*at)] for s, at in spans.items()} for t, spans in
                          ((p.clean, p.spans), (p.corrupt, p.corrupt_spans)))  # fmt: skip
        assert clean["name"] == clean["name2"] == corrupt["name"] == corrupt["name2"]
        assert clean["country"] == clean["again"] != corrupt["country"] == corrupt["again"]
        assert (p.answer, p.corrupt_answer) == (f" {clean['country']}", f" {corrupt['country']}")


def test_who_got_the_drink() -> None:
    pairs = ioi()
    assert len({p.clean for p in pairs}) == 12
    for p in pairs:
        names = {s: p.clean[slice(*at)] for s, at in p.spans.items()}
        assert names["io"] != names["s"] == names["s2"]
        assert p.corrupt[slice(*p.corrupt_spans["s2"])] == names["io"]
        assert (p.answer, p.corrupt_answer) == (f" {names['io']}", f" {names['s']}")


def test_an_answer_may_be_a_function_of_the_fillers() -> None:
    years = [f"{n:02}" for n in range(2, 99)]
    pairs = Pairs.from_template(
        "The war lasted from the year 17{start} to the year 17",
        fillers={"start": years},
        answer=lambda f: f"{int(f['start']) + 1:02}",
        n=50,
        seed=0,
    )
    for p in pairs:
        assert int(p.answer) == int(p.clean[slice(*p.spans["start"])]) + 1
        assert int(str(p.corrupt_answer)) == int(p.corrupt[slice(*p.corrupt_spans["start"])]) + 1


def test_pairs_whose_answers_are_the_same_are_not_drawn() -> None:
    continents = {"France": " Europe", "Italy": " Europe", "Mali": " Africa"}
    pairs = capitals(4, fillers={"country": continents}, answer=continents)
    assert all(p.answer != p.corrupt_answer for p in pairs)
    with pytest.raises(PairsError, match="The fillers give 4 distinct pairs"):
        capitals(5, fillers={"country": continents}, answer=continents)


def test_fillers_that_make_the_same_prompts_make_one_pair() -> None:
    """p and qr read as pq and r do."""
    fillers = {"a": ["p", "pq"], "b": ["qr", "r"], "x": ["1", "2"]}
    given = {"fillers": fillers, "vary": "x", "answer": " {x}", "seed": 0}
    pairs = Pairs.from_template("{a}{b} {x}", **given, n=6)  # type: ignore[arg-type]
    assert len({(p.clean, p.corrupt) for p in pairs}) == 6
    with pytest.raises(PairsError, match="The fillers give 6 distinct pairs"):
        Pairs.from_template("{a}{b} {x}", **given, n=7)  # type: ignore[arg-type]


def test_where_holds_in_both_prompts() -> None:
    short = capitals(2, where=lambda f: len(f["country"]) == 4)
    assert {p.answer for p in short} == {" Bamako", " N'Djamena"}


def test_a_condition_that_next_to_nothing_meets_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "MOST_MISSES", 50)
    fillers: Mapping[str, list[str]] = {s: [str(n) for n in range(1000)] for s in "abcdef"}
    with pytest.raises(PairsError, match=r"0 pairs were found, and then 50 combinations .* where= accepts too few"):
        Pairs.from_template(
            "{a}{b}{c}{d}{e}{f}", fillers=fillers, vary="a", answer="{a}", where=lambda f: False, n=1, seed=0
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": []}, "at least one; these are 0"),
        ({"template": [FORMS[0], FORMS[0]]}, "given once each, and at least one; these are 2"),
        ({"fillers": {"country": "France"}}, "The fillers of 'country' are a list of texts, .* are 'France'"),
        ({"fillers": {"country": []}}, "The fillers of 'country' are a list of texts"),
        ({"fillers": {"country": ["a", ""]}}, "The fillers of 'country' are a list of texts"),
        ({"fillers": {"country": ["a", 3]}}, "The fillers of 'country' are a list of texts"),
        ({"fillers": {"country": ["a", "b", "a"]}}, "The fillers of 'country' hold 'a' twice"),
        ({"fillers": {"land": ["a"]}}, r"fillers for \['land'\], and the templates have the slots \['country'\]"),
        ({"fillers": {}}, r"vary= says in which slot clean and corrupt differ; fillers are given for \[\]"),
        ({"vary": "city"}, r"vary='city' is the slot .* given for \['country'\]"),
        ({"template": [FORMS[0], "The land is"]}, r"stands in every template, and not in 'The land is'"),
        ({"answer": {"France": " Paris"}}, r"The answers have none for '.*'; they have \['France'\]"),
        ({"cluster": "city"}, r"cluster='city' is no slot .* names one of \['country'\] or is a function"),
        ({"corrupt": "Not {country}"}, "corrupt_answer= says what the corrupt run should give"),
        ({"corrupt": "Not {country}", "vary": "country"}, "no slot varies: leave vary= out"),
        ({"corrupt": ["a", "b"]}, "There are 1 templates and 2 corrupt ones"),
        ({"template": "{a} {b}", "fillers": {"a": "xy", "b": ["p", "q"]}}, "The fillers of 'a' are a list"),
        ({"template": "{a} {b}", "fillers": {"a": ["x"], "b": ["p", "q"]}}, r"vary= says .* for \['a', 'b'\]"),
        ({"template": "{country} {b}"}, "The filler of 'b' is missing"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PairsError, match=message):
        capitals(1, **changes)


def test_a_table_of_answers_goes_by_one_slot() -> None:
    with pytest.raises(PairsError, match=r"A table of answers goes by one slot, and there are \['io', 's'\]"):
        ioi(1, answer={"Mary": " Mary"})


@given(st.integers(0, 40), st.integers(0, 2**32))
def test_a_shuffle_has_every_number_once(count: int, seed: int) -> None:
    assert sorted(shuffled(count, random.Random(seed))) == list(range(count))


def test_every_order_is_as_likely() -> None:
    """24 orders of four, 100 draws each: chi-squared with 23 degrees is below 49.7 in 999 of 1000."""
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for seed in range(2400):
        counts[tuple(shuffled(4, random.Random(seed)))] += 1
    assert sum((n - 100) ** 2 / 100 for n in counts.values()) < 49.7


def test_a_shuffle_of_more_than_fits_into_memory_begins_at_once() -> None:
    numbers = shuffled(10**30, random.Random(0))
    assert len({next(numbers) for _ in range(100)}) == 100
