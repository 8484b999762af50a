"""Pairs read from files and datasets: rows with Pair's own field names, or columns named for them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from causaltest.asking.pair import Pair
from causaltest.bounded import TooLarge, read_bounded
from causaltest.errors import PairsError
from causaltest.writing.canonical import once_each

LARGEST_FILE_BYTES = 1 << 30
MOST_ROWS = 1_000_000
LONGEST_LINE = 1 << 25
"""Characters of a line of JSON, which may take thirty times as many bytes when it is read."""
MOST_NAMED = 20
"""Columns that an error names."""
FIELDS = tuple(f.name for f in fields(Pair))
NEEDED = ("clean", "corrupt", "answer")
SPANS = "name: [first, past the last]"
OBJECTS = {"spans": SPANS, "corrupt_spans": SPANS, "chat": "system, turns, prefill and options"}
"""Fields that are objects, and what they hold; where a cell holds text, they stand in it as JSON."""
Columns = Mapping[str, str] | None
"""The column of a field. With it, columns that belong to no field are left alone."""


class Row(NamedTuple):
    """One row of a source, and what an error calls it."""

    where: str
    cells: Mapping[str, Any]


def read_jsonl(path: Path, columns: Columns) -> list[Pair]:
    return as_pairs(jsonl_rows(path), columns)


def read_csv(path: Path, columns: Columns, delimiter: str) -> list[Pair]:
    return as_pairs(csv_rows(path, delimiter), columns)


def read_parquet(path: Path, columns: Columns) -> list[Pair]:
    from causaltest.asking.parquet import parquet_rows  # pyarrow is an extra

    try:
        check_size(path)
    except OSError as error:
        raise PairsError(f"{path} cannot be read: {error}") from error
    # A table may hold pictures and the like beside; they are not decoded.
    wanted = None if columns is None else {*FIELDS, *columns.values()}
    rows = parquet_rows(path, wanted, most_bytes=LARGEST_FILE_BYTES)
    return as_pairs((Row(f"{path}, row {n}", cells) for n, cells in enumerate(rows, 1)), columns)


def read_dataset(dataset: Iterable[Mapping[str, Any]], columns: Columns) -> list[Pair]:
    if isinstance(dataset, Mapping | str) or not isinstance(dataset, Iterable):
        names = f" with {sorted(map(str, dataset))[:5]}" if isinstance(dataset, Mapping) else ""
        raise PairsError(
            f"A dataset is rows, each a mapping of columns, and this is a {type(dataset).__name__}{names}. Of a "
            'dataset with splits, give one: dataset["train"].'
        )
    return as_pairs((as_row(f"row {n}", cells) for n, cells in enumerate(dataset, 1)), columns)


def as_pairs(rows: Iterable[Row], columns: Columns) -> list[Pair]:
    """A pair of every row. Raises PairsError that names row and column."""
    unknown = sorted(set(columns or ()) - set(FIELDS))
    if unknown:
        raise PairsError(
            f"columns= says of a field which column it is read from, and {unknown} are no fields; those are "
            f"{list(FIELDS)}."
        )
    pairs = []
    for number, row in enumerate(rows, 1):
        if number > MOST_ROWS:
            raise PairsError(f"There are more than {MOST_ROWS} rows; measure on a part of them.")
        pairs.append(as_pair(row, columns))
    return pairs


def as_pair(row: Row, columns: Columns) -> Pair:
    where, cells = row
    of = {field: (columns or {}).get(field, field) for field in FIELDS}
    missing = sorted({of[f] for f in (*NEEDED, *(columns or ()))} - set(cells))
    unknown = sorted(map(str, set(cells) - set(FIELDS))) if columns is None else []
    if missing:
        raise PairsError(
            f"{where} lacks {missing}; the fields are {list(FIELDS)}, and its own are {sorted(cells)[:MOST_NAMED]}."
        )
    if unknown:
        raise PairsError(
            f"{where} has unknown fields {unknown[:MOST_NAMED]}; the fields are {list(FIELDS)}. Where columns are "
            'called otherwise, say which is which: columns={"clean": "prompt", ...}.'
        )
    given = {field: cells[column] for field, column in of.items() if cells.get(column) is not None}
    for field in set(OBJECTS) & set(given):
        given[field] = as_object(given[field], f"{where}: {of[field]}", OBJECTS[field])
    absent = next((f for f in NEEDED if f not in given), None)
    if absent is not None:
        raise PairsError(f"{where}: {of[absent]} is empty; a pair needs its {absent}.")
    try:
        return Pair(**given)
    except PairsError as error:
        raise PairsError(f"{where}: {error}{read_from(of)}") from error


def read_from(of: Mapping[str, str]) -> str:
    """Which column was read for which field, where they are called otherwise."""
    other = {field: column for field, column in of.items() if field != column}
    return f" (columns: {other})" if other else ""


def as_object(given: Any, where: str, what: str) -> dict[str, Any]:
    """A cell as an object; typed columns hold every name of any row, with nothing where a row lacks it."""
    if isinstance(given, str):
        given = parsed(given, where, "It is")
    if not isinstance(given, Mapping):
        raise PairsError(f"{where} must be an object of {what}.")
    return {name: value for name, value in given.items() if value is not None}


def parsed(text: str, where: str, what: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=once_each)
    except (ValueError, RecursionError) as error:
        raise PairsError(f"{where} is not JSON: {error}. {what} one object.") from error


def as_row(where: str, cells: Any) -> Row:
    if not isinstance(cells, Mapping):
        raise PairsError(
            f"{where} is a {type(cells).__name__}; each row is a mapping of columns. Of a table of pandas, give "
            'table.to_dict("records").'
        )
    return Row(where, cells)


def jsonl_rows(path: Path) -> Iterator[Row]:
    # Not splitlines(): it also cuts at U+2028 and its like, which JSON allows inside a text.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        if len(line) > LONGEST_LINE:
            raise PairsError(f"{where} has {len(line)} characters; a pair takes no more than {LONGEST_LINE}.")
        cells = parsed(line, where, "Each line is")
        if not isinstance(cells, dict):
            raise PairsError(f"{where} is a {type(cells).__name__}; each line is one object.")
        yield Row(where, cells)


def csv_rows(path: Path, delimiter: str) -> Iterator[Row]:
    """Rows under the names of the first; an empty cell is an absent one."""
    text = io.StringIO(read_text(path).removeprefix("\ufeff"), newline="")
    try:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        header = next(reader, [])
        twice = sorted(name for name, times in Counter(header).items() if times > 1)
        if twice:
            raise PairsError(f"{path} has two columns called {twice[0]!r}; each field is read from one.")
        for number, cells in enumerate(filter(None, reader), 1):
            where = f"{path}, row {number} (line {reader.line_num})"
            if len(cells) != len(header):
                raise PairsError(
                    f"{where} has {len(cells)} cells, and the first line names {len(header)} columns: "
                    f"{', '.join(header[:MOST_NAMED])}. A cell with {delimiter!r} or a line break in it stands in "
                    "double quotes."
                )
            yield Row(where, {name: cell or None for name, cell in zip(header, cells, strict=True)})
    except (csv.Error, TypeError) as error:
        raise PairsError(f"{path} cannot be read as CSV: {error}. JSONL holds any text: Pairs.from_jsonl.") from error


def read_text(path: Path) -> str:
    try:
        return read_bounded(path, LARGEST_FILE_BYTES).decode("utf-8")
    except TooLarge as error:
        raise PairsError(f"{path} has {error.size} bytes; a pairs file may have {LARGEST_FILE_BYTES}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PairsError(f"{path} cannot be read as UTF-8 text: {error}") from error


def check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        raise PairsError(f"{path} has {size} bytes; a pairs file may have {LARGEST_FILE_BYTES}.")
