"""`python -m benchmarks.faults [NAME ...]`: runs faults in their long form, and writes the table of reliability.md.

Each is kept when it is done, so that it can be run again without the others, and beside them. A module of this package
named NAME has `run() -> Sequence[Result]`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from benchmarks.faults.table import NAMES, keep, write_table


def main(names: Sequence[str]) -> int:
    for name in names or NAMES:
        results = import_module(f"benchmarks.faults.{name}").run()
        keep(name, results)
        for result in results:
            print(f"{'held' if result.held else 'MISSED'}: {result.figure}: {result.measured}")
    write_table()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
