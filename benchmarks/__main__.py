"""`python -m benchmarks`: every row, the figure and the table; with `--only`, some rows of it again.

Each row is kept when it is done, under build/, and the table is written from all that are kept: a run
that is interrupted loses one row, and a row can be measured again without the others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.row import Options, Row
from benchmarks.rows import ROWS, measure

ROOT = Path(__file__).parent.parent
TABLE, FIGURE = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "img" / "cost.png"
KEPT = ROOT / "build" / "benchmarks"
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
DRAW = "figure"


def main(arguments: Sequence[str] | None = None) -> int:
    given = parsed(arguments)
    options = Options(given.repeat, given.threads, given.every)
    if given.into is not None:
        return in_this_process(given.only[0], options, given.into)
    from benchmarks.table import written

    rows = []
    for name in given.only or [*ROWS, DRAW]:
        rows += in_its_own(name, options)
        written([row for kept in ROWS for row in kept_rows(kept)], options, TABLE, figure=FIGURE.exists())
    print("\n".join(map(told, rows)))
    print(f"{TABLE.relative_to(ROOT)} written")
    return int(any(row.failed for row in rows))


def kept_rows(name: str) -> list[Row]:
    """What a row gave when it was last measured."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        return [Row(name, "", notes="Not measured yet.")]
    return [Row(**row) for row in json.loads(path.read_text())]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    default = Options()
    parser.add_argument("--only", action="append", choices=[*ROWS, DRAW], help="this row; may be given more than once")
    parser.add_argument("--repeat", type=int, default=default.repeats, help="paired repetitions")
    parser.add_argument("--threads", type=int, default=default.threads)
    parser.add_argument("--every", type=int, default=default.every, help="peers' slow loops: every so-many-th layer")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def in_its_own(name: str, options: Options) -> list[Row]:
    """A row measured in a new process, so that no peer's import, hook or memory reaches another's."""
    print(name, file=sys.stderr, flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "rows.json"
        counts = [f"--repeat={options.repeats}", f"--threads={options.threads}", f"--every={options.every}"]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", f"--only={name}", *counts, f"--into={into}"],
            cwd=ROOT,
            env=os.environ | SETTINGS | threads,
            check=False,
        )
        if into.exists():
            rows = [Row(**row) for row in json.loads(into.read_text())]
            if options.repeats != Options().repeats:
                rows = [replace(row, notes=f"{row.notes} Repetitions: {options.repeats}.".strip()) for row in rows]
        else:
            rows = [Row(name, "", failed=True, notes=f"The process ended with {done.returncode}.")]
    if name != DRAW:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}.json").write_text(json.dumps([row.as_dict() for row in rows]))
    print("\n".join(f"  {told(row)}" for row in rows), file=sys.stderr)
    print(f"  {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return rows


def in_this_process(name: str, options: Options, into: Path) -> int:
    import torch

    torch.set_num_threads(options.threads)
    try:
        if name == DRAW:
            from benchmarks.figure import drawn

            drawn(FIGURE)
            rows = []
        else:
            rows = measure(name, options)
    except Exception as error:
        # One row that fails must not take the others with it; it stands in the table as failed.
        traceback.print_exc()
        rows = [Row(name, "", failed=True, notes=f"{type(error).__name__}: {str(error).splitlines()[0]}")]
    into.write_text(json.dumps([row.as_dict() for row in rows]))
    return int(any(row.failed for row in rows))


def told(row: Row) -> str:
    """A row on one line."""
    spread = "" if row.lowest is None else f" ({row.lowest:.2f} to {row.highest:.2f})"
    figure = "" if row.figure is None else f"{row.figure:.2f} {row.unit}{spread}"
    wanted = "" if row.at_least is None else f"[wanted {row.at_least:g}, aim {row.aim:g}: {row.outcome}]"
    parts = [f"{row.what} | {row.against}", f"{row.ours} / {row.theirs}", figure, wanted or row.outcome, row.notes]
    return "  ".join(filter(None, parts))


if __name__ == "__main__":
    sys.exit(main())
