"""Rows of a Parquet file. pyarrow comes with the extra `data`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from causaltest.errors import PairsError

ROWS_AT_ONCE = 256


def parquet_rows(path: Path, wanted: Collection[str] | None, *, most_bytes: int) -> Iterator[dict[str, Any]]:
    """The rows with their wanted columns, or with all of them.

    Raises PairsError when pyarrow is not installed, or the file is none that it can read, or holds
    more than `most_bytes` when it is unpacked.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise PairsError("Parquet files need pyarrow: pip install 'causaltest[data]'.") from error
    try:
        with ParquetFile(path) as file:
            unpacked = sum(file.metadata.row_group(n).total_byte_size for n in range(file.num_row_groups))
            if unpacked > most_bytes:
                raise PairsError(f"{path} unpacks to {unpacked} bytes; a pairs file may have {most_bytes}.")
            names = [name for name in file.schema_arrow.names if wanted is None or name in wanted]
            twice = sorted({name for name, times in Counter(names).items() if times > 1})
            if twice:
                raise PairsError(f"{path} has two columns called {twice[0]!r}; each field is read from one.")
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
                yield from batch.to_pylist()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise PairsError(f"{path} cannot be read as Parquet: {error}") from error
