"""--causal-json: every field of every claim, sorted, and never half written."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from causaltest.reporting.claims_json import FIELDS, MORE, write_json
from causaltest.results import ClaimResult

RESULT = ClaimResult(
    "b", "a.py::b", "Ducks – größer.", ">= 0.5", 0.5, "SUPPORTED", "Observed.", controls={"placebo": 0.5}
)


def test_every_field_of_a_result_is_written_and_each_once() -> None:
    fields = [f.name for f in dataclasses.fields(ClaimResult)]
    assert sorted((*FIELDS, *MORE)) == sorted(fields)


def test_the_file_is_a_list_of_claims_sorted_by_id(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "claims.json"
    write_json(path, [dataclasses.replace(RESULT, id=i).to_json() for i in "cab"])
    written = json.loads(path.read_text(encoding="utf-8"))
    assert [c["id"] for c in written] == ["a", "b", "c"]
    assert [tuple(c) for c in written] == [(*FIELDS, *MORE)] * 3
    assert ClaimResult(**written[1]) == RESULT
    assert "größer" in path.read_text(encoding="utf-8"), "readable, not escaped"


def test_no_claims_are_an_empty_list(tmp_path: Path) -> None:
    write_json(tmp_path / "claims.json", [])
    assert json.loads((tmp_path / "claims.json").read_text()) == []


def test_a_failure_half_way_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.json"
    write_json(path, [RESULT.to_json()])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError("No space left on device")

    # What is written comes to the disk here.
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, [])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    for i in "xy":
        write_json(path, [dataclasses.replace(RESULT, id=i).to_json()])
    assert [c["id"] for c in json.loads(path.read_text())] == ["y"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claims.json"]
