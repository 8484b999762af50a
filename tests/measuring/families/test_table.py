"""docs/models.md is what the records say, and its notes are the reasons."""

import json

from families.table import PAGE, RECORDS, page

RECORD = {"model": "TinyForCausalLM", "facts": ["parallel"], "whole_runs": ""}


def records(**families):
    state = {**RECORD, "facts": ["state space"], "components": {"q": "offered", "k": "offered"}}
    return {"transformers": "5.0", "families": {**families, "state": state, "text": {**state, "facts": ["encoder"]}}}


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(json.loads(RECORDS.read_text())), "run make models"


def test_a_reason_is_one_note_wherever_it_is_given():
    one = {**RECORD, "components": {"q": "disabled: it is odd.", "k": "some: it is odd."}}
    two = {**RECORD, "components": {"q": "offered", "k": "refused: nobody knows it."}}
    lines = page(records(one=one, two=two)).splitlines()
    row = {name: next(line for line in lines if line.startswith(f"| `{name}`")) for name in ("one", "two")}
    assert row["one"].split("|")[4:6] == [" no[^1] ", " some[^1] "]
    assert [cell.strip() for cell in row["two"].split("|")[4:6]] == ["yes", "no[^2]"]
    assert lines[-2:] == ["[^1]: It is odd.", "[^2]: Nobody knows it."]


def test_whole_runs_are_said_of_the_family():
    one = {**RECORD, "components": {"q": "offered", "k": "offered"}, "whole_runs": "it looks ahead"}
    text = page(records(one=one))
    assert "parallel, whole runs[^1]" in text
    assert text.endswith("[^1]: Every patched run is a whole run: it looks ahead.\n")


def test_the_columns_of_a_table_are_of_one_width():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    heads = [n for n, line in enumerate(lines) if line.startswith("| family")]
    assert len(heads) == 3
    for start, stop in zip(heads, [*heads[1:], len(lines)], strict=True):
        assert len({len(line) for line in lines[start:stop]}) == 1
