"""`python -m benchmarks.faults [NAME ...]`: runs faults in their long form, and writes the table of reliability.md.

Each is kept when it is done, so that it can be run again without the others. A module of this package named NAME has
`run() -> Sequence[Result]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.faults.result import Result

ROOT = Path(__file__).parents[2]
PAGE, KEPT = ROOT / "docs" / "reliability.md", Path(__file__).parent / "results.json"
NAMES = ("warm", "kills", "damage", "fuzz", "processes", "ray_speed", "ray_kill", "disk", "soak", "streaming")
BEGIN, END = "<!-- faults: written by python -m benchmarks.faults -->", "<!-- /faults -->"


def main(names: Sequence[str]) -> int:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for name in names or NAMES:
        results = import_module(f"benchmarks.faults.{name}").run()
        kept[name] = [asdict(result) for result in results]
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        for result in results:
            print(f"{'held' if result.held else 'MISSED'}: {result.figure}: {result.measured}")
    written([Result(**one) for name in NAMES for one in kept.get(name, ())])
    return 0


def written(results: Sequence[Result]) -> None:
    """Puts the table in the place of the one before."""
    lines = ["| | at least | aim | measured | how |", "|---|---|---|---|---|"]
    for one in results:
        measured = one.measured if one.held else f"**{one.measured}** (missed)"
        lines.append(f"| {one.figure} | {one.at_least} | {one.aim} | {measured} | {one.how} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
