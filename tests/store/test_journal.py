"""The journal of what is being measured together."""

from __future__ import annotations

import pytest

from causaltest.store.entry import Entry
from causaltest.store.folder import Store
from causaltest.store.journal import GAP, MOST, PART, PLAN, Journal
from causaltest.store.kept import Kept
from causaltest.store.surroundings import Surroundings


@pytest.fixture
def journal(tmp_path):
    return Journal(Kept(Store(tmp_path), Surroundings({"called": "a model"})), ["pairs", "False", "patched"])


def test_what_was_begun_stands_until_it_ends(journal):
    journal.begin(["a", "b"])
    journal.begin(["c"])
    assert journal.begun() == [["a", "b"], ["c"]]
    journal.end(["a", "b"])
    assert journal.begun() == [["c"]]
    journal.end(["c"])
    assert journal.begun() == [] and journal.kept.get(PLAN, journal.of) is None


def test_a_company_that_is_begun_again_stands_once_and_last(journal):
    for members in (["a"], ["b"], ["a"]):
        journal.begin(members)
    assert journal.begun() == [["b"], ["a"]]


def test_the_oldest_are_forgotten(journal):
    for n in range(MOST + 3):
        journal.begin([str(n)])
    assert journal.begun() == [[str(n)] for n in range(3, MOST + 3)]


def test_the_end_takes_all_parts_those_behind_a_gap_too(journal):
    assert GAP == 2
    for n in (0, 2, 3):
        journal.kept.put(PART, [["a", "b"], {}, n], Entry({}))
    journal.kept.put(PART, [["a", "c"], {}, 0], Entry({}))
    journal.end(["b", "a"])
    assert not any(journal.kept.get(PART, [["a", "b"], {}, n]) for n in range(4))
    assert journal.kept.get(PART, [["a", "c"], {}, 0]) is not None


def test_parts_are_let_go_of_unread(journal, monkeypatch):
    """They are as large as all that the plan has read."""
    for n in (0, 1, 3):
        journal.kept.put(PART, [["a"], {}, n], Entry({}))
    looked, look_at = [], Store.look_at
    monkeypatch.setattr(Store, "look_at", lambda self, kind, key: looked.append(kind) or look_at(self, kind, key))
    journal.end(["a"])
    assert PART not in looked and not list((journal.kept.store.folder / PART).rglob("*.safetensors"))


@pytest.mark.parametrize("said", [None, "begun", [[]], [["a", 1]], {"a": "b"}, [["a"], 3]])
def test_what_is_no_company_is_passed_over(journal, said):
    journal.kept.put(PLAN, journal.of, Entry({"begun": said}))
    assert journal.begun() == ([["a"]] if said == [["a"], 3] else [])
