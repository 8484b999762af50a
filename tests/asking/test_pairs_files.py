"""Pairs from CSV, Parquet and datasets: what is read back, and what is refused by row and column.

JSONL is in test_pairs.py.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from causaltest.asking import pairs_files
from causaltest.asking.pairs import Pair, Pairs
from causaltest.errors import PairsError

ONE = Pair(clean="Paris is in", corrupt="Rome is in", answer=" France", cluster="capitals", spans={"city": (0, 5)})
TWO = Pair("Oslo, is\nin", 'He said "Bern" is in', " Norway", " Swiss", "quotes", "two", {}, {})
Rows = list[dict[str, Any]]


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_csv(path: Path, rows: Rows, **form: Any) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, **form)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: json.dumps(v) if isinstance(v, dict) else v for name, v in row.items()})


def write_parquet(path: Path, rows: Rows) -> None:
    names = dict.fromkeys(name for row in rows for name in row)
    parquet.write_table(pyarrow.Table.from_pylist([dict.fromkeys(names) | row for row in rows]), path)


WAYS: dict[str, tuple[Callable[[Path, Rows], None], Callable[..., Pairs]]] = {
    "jsonl": (write_jsonl, Pairs.from_jsonl),
    "csv": (write_csv, Pairs.from_csv),
    "parquet": (write_parquet, Pairs.from_parquet),
}


def through(way: str, path: Path, rows: Rows, **options: Any) -> Pairs:
    """What rows are after they were written to a file and read."""
    if way == "dataset":
        return Pairs.from_dataset(rows, **options)
    write, read = WAYS[way]
    write(path / f"pairs.{way}", rows)
    return read(path / f"pairs.{way}", **options)


every_way = pytest.mark.parametrize("way", [*WAYS, "dataset"])
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)


@every_way
def test_pairs_are_read_back_the_same(way: str, tmp_path: Path) -> None:
    pairs = Pairs([ONE, TWO])
    assert through(way, tmp_path, [p.as_dict() for p in pairs]) == pairs


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"clean": texts, "corrupt": texts, "answer": texts},
            optional={"corrupt_answer": texts, "spans": st.just({"s": [0, 1]})},
        ),
        min_size=1,
        max_size=3,
    )
)
@pytest.mark.parametrize("way", ["csv", "parquet"])
def test_any_text_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, way: str, rows: list[dict[str, Any]]
) -> None:
    wanted = Pairs([Pair(**row) for row in rows], iid=True)
    assert through(way, tmp_path_factory.mktemp("pairs"), rows, iid=True) == wanted


@every_way
def test_columns_say_what_is_called_otherwise_and_leave_the_rest_alone(way: str, tmp_path: Path) -> None:
    rows = [
        {"prompt": "Paris is in", "corrupt": "Rome is in", "target": " France", "topic": "a", "id": "x", "hard": 3},
        {"prompt": "Oslo is in", "corrupt": "Bern is in", "target": " Norway", "topic": "b", "id": "y", "hard": 4},
    ]
    columns = {"clean": "prompt", "answer": "target", "cluster": "topic"}
    pairs = through(way, tmp_path, rows, columns=columns)
    assert list(pairs) == [
        Pair("Paris is in", "Rome is in", " France", None, "a", "x"),
        Pair("Oslo is in", "Bern is in", " Norway", None, "b", "y"),
    ]
    with pytest.raises(PairsError, match=r"lacks .*'answer'.*; the fields are"):
        through(way, tmp_path, rows)
    whole = [{"clean": "a b", "corrupt": "a c", "answer": "d", "hard": "3"}]
    with pytest.raises(PairsError, match=r"unknown fields \['hard'\]; .* say which is which: columns=\{"):
        through(way, tmp_path, whole)
    with pytest.raises(PairsError, match=r"lacks \['aim'\].*its own are \['corrupt', .*'prompt'"):
        through(way, tmp_path, rows, columns=columns | {"answer": "aim"})
    with pytest.raises(PairsError, match=r"columns= .* \['anwser'\] are no fields; those are \['clean'"):
        through(way, tmp_path, rows, columns={"anwser": "target"})


GOOD = {"clean": "a b", "corrupt": "a c", "answer": "d", "cluster": "x", "spans": {"s": [0, 1]}}
WHERE = {"jsonl": r"pairs\.jsonl, line 2", "csv": r"pairs\.csv, row 2 \(line 3\)", "parquet": r"pairs\.parquet, row 2"}
BAD = {
    "no answer": ({"answer": None}, r"answer is empty; a pair needs its answer"),
    "a blank prompt": ({"clean": "  "}, r"A pair's clean must be a text that is not empty"),
    "a span outside": ({"spans": {"s": [0, 9]}}, r"Span 's' is .* has 3 characters"),
}


@every_way
@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_row_is_refused_by_file_row_and_column(
    way: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PairsError, match=f"{WHERE.get(way, 'row 2')}: {message}"):
        through(way, tmp_path, [GOOD, GOOD | change])


def test_a_refused_value_says_from_which_column_it_was_read() -> None:
    with pytest.raises(PairsError, match=r"row 1: A pair's clean .* is 3. \(columns: \{'clean': 'prompt'\}\)"):
        Pairs.from_dataset([{"prompt": 3, "corrupt": "a", "answer": "b"}], columns={"clean": "prompt"})


def test_spans_that_only_some_rows_name_are_absent_elsewhere(tmp_path: Path) -> None:
    """A typed column has every name in every row."""
    rows = [GOOD | {"spans": {"s": [0, 1]}}, GOOD | {"spans": {"t": [1, 2]}}, GOOD | {"spans": None}]
    assert [p.spans for p in through("parquet", tmp_path, rows)] == [{"s": (0, 1)}, {"t": (1, 2)}, {}]


@pytest.mark.parametrize("cell", ["[1, 2]", "3", '"s"'])
def test_spans_in_a_cell_are_an_object(cell: str) -> None:
    with pytest.raises(PairsError, match="row 1: spans must be an object of name"):
        Pairs.from_dataset([GOOD | {"spans": cell}])
    with pytest.raises(PairsError, match="row 1: spans is not JSON"):
        Pairs.from_dataset([GOOD | {"spans": cell + "{"}])


# CSV


def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """A byte order mark, semicolons, the line ends of Windows, and an empty line."""
    path = tmp_path / "pairs.csv"
    path.write_bytes(b'\xef\xbb\xbfclean;corrupt;answer;cluster\r\na;b;c;x\r\n\r\n"d;\r\ne";f;g;y\r\n')
    pairs = Pairs.from_csv(path, delimiter=";")
    assert [(p.clean, p.answer) for p in pairs] == [("a", "c"), ("d;\r\ne", "g")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_may_end_in_any_way_and_a_cell_keeps_its_own(end: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(f'clean,corrupt,answer{end}"a{end}b",c,d{end}'.encode())
    assert Pairs.from_csv(path)[0].clean == f"a{end}b"


BAD_CSV = {
    "a cell too many": ("clean,corrupt,answer\na,b,c\na,b,c,d\n", r"row 2 \(line 3\) has 4 cells, .* names 3 columns"),
    "a cell too few": ("clean,corrupt,answer\na,b\n", r"row 1 \(line 2\) has 2 cells"),
    "a column twice": ("clean,clean,answer\na,b,c\n", "has two columns called 'clean'"),
    "an open quote": ('clean,corrupt,answer\n"a,b,c\n', "cannot be read as CSV: .*JSONL holds any text"),
    "a long cell": ("clean,corrupt,answer\n" + "a" * 200_000 + ",b,c\n", "cannot be read as CSV: field larger"),
    "no row": ("clean,corrupt,answer\n", "at least one Pair"),
    "nothing": ("", "at least one Pair"),
}


@pytest.mark.parametrize(("text", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_bad_csv_is_refused_with_the_reason(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(PairsError, match=message):
        Pairs.from_csv(path)


def test_a_delimiter_is_one_character(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("clean")
    with pytest.raises(PairsError, match=r"cannot be read as CSV: .*delimiter"):
        Pairs.from_csv(path, delimiter="::")


# Parquet


def test_what_is_no_parquet_is_refused_by_its_path(tmp_path: Path) -> None:
    text = tmp_path / "pairs.parquet"
    text.write_text("clean,corrupt,answer")
    for path in (text, tmp_path / "missing.parquet", tmp_path):
        with pytest.raises(PairsError, match=rf"{path.name} cannot be read"):
            Pairs.from_parquet(path)


def test_a_column_that_is_not_asked_for_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Iterable[str]] = []
    read = parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        parquet.ParquetFile, "iter_batches", lambda self, **by: asked.append(by["columns"]) or read(self, **by)
    )
    row = {"prompt": "a", "corrupt": "b", "answer": "c", "picture": b"x" * 1000}
    through("parquet", tmp_path, [row], columns={"clean": "prompt"})
    assert asked == [["prompt", "corrupt", "answer"]]


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "pairs.parquet", [GOOD])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(PairsError, match=r"Parquet files need pyarrow: pip install 'causaltest\[data\]'"):
        Pairs.from_parquet(tmp_path / "pairs.parquet")


def test_a_file_that_unpacks_to_more_than_is_accepted_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [GOOD | {"clean": f"{n} " + "a" * 20} for n in range(2000)]
    write_parquet(tmp_path / "pairs.parquet", rows)
    packed = (tmp_path / "pairs.parquet").stat().st_size
    monkeypatch.setattr(pairs_files, "LARGEST_FILE_BYTES", packed + 1)
    with pytest.raises(PairsError, match=rf"unpacks to \d+ bytes; a pairs file may have {packed + 1}"):
        Pairs.from_parquet(tmp_path / "pairs.parquet")


# All of them


@pytest.mark.parametrize("way", WAYS)
def test_a_file_of_too_many_bytes_is_not_opened(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_files, "LARGEST_FILE_BYTES", 10)
    with pytest.raises(PairsError, match=r"has \d+ bytes; a pairs file may have 10"):
        through(way, tmp_path, [GOOD])


@every_way
def test_too_many_rows_are_refused(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_files, "MOST_ROWS", 2)
    assert len(through(way, tmp_path, [GOOD] * 2)) == 2
    with pytest.raises(PairsError, match="There are more than 2 rows"):
        through(way, tmp_path, [GOOD] * 3)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"train": [GOOD], "test": []}, r'a dict with \[\'test\', \'train\'\].*give one: dataset\["train"\]'),
        ("pairs.csv", "this is a str"),
        (3, "this is a int"),
        (["clean", "corrupt"], r'row 1 is a str; each row is a mapping of columns.*to_dict\("records"\)'),
        ([], "at least one Pair"),
    ],
)
def test_what_is_no_dataset_is_refused(dataset: Iterable[Mapping[str, Any]], message: str) -> None:
    with pytest.raises(PairsError, match=message):
        Pairs.from_dataset(dataset)
