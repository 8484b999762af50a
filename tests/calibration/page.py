"""docs/calibration.md from a run of the parts: nothing in it is typed by hand."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy
import scipy

from calibration import coverage, drift, exact, looks, null, organism, pilot, planning, sites, suites
from calibration.row import Row

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"

PARTS: Mapping[int, tuple[ModuleType, ...]] = {
    1: (exact,),
    2: (null, suites),
    3: (coverage,),
    4: (planning,),
    5: (sites,),
    6: (looks,),
    7: (drift,),
    8: (organism,),
    9: (pilot,),
}
"""Each module has `rows()`, which the tests run, and some have `long_rows()`, the same at greater length."""

TITLES = {
    1: "1. Exact tests, by adding up every sample",
    2: "2. Claims that are just not true",
    3: "3. Bounds: how often the truth lies beyond them",
    4: "4. Power",
    5: "5. Sweeps",
    6: "6. Looking before the end",
    7: "7. Unchanged since the baseline",
    8: "8. The planted organism, from pairs to verdict",
    9: "9. The retracted pilot",
}
SHORT, LONG = "What the tests measure", "The same at greater length"

HEAD = """\
# Calibration

What the judge does when the truth is known. `make calibration` writes this page from a run; `make test` runs its
first half again and compares. Seeds are fixed, so the figures are the same each time. Which procedure judges which
claim, and why, stands in [statistics](statistics.md).

**How to read it.** Each line is a figure and the limits in which it must lie.

- A *check* is about the project's own judge: how often it said something false, or how often it saw what was there.
  The limits of a rate are the 99.9 % binomial band of the level that is promised, alpha = .05, at so many repeats: a
  rate inside is what a right procedure gives, and one that is wrong by little may fall inside too. Where a
  procedure is exact or several must agree, the rate may be lower than alpha, and only the upper limit counts. The
  judge's minimum numbers of units are switched off, so that they hide nothing.
- A *negative control* is a wrong procedure, or a fault put in on purpose, run on the same kind of sample. Its limits
  say where it must lie for the check to be worth something: a check that lets it pass could not fail.
- *Published* figures promise nothing. They are the price of a metric without a range, and of long tails.

"Exact" under repeats: every sample there is was counted with its probability, and nothing was simulated. A figure
outside of its limits is marked so, and fails the tests.
"""

Cells = tuple[str, str, str, str, str]
"""A line of a table: what, measured, limits, repeats, remark."""
Half = dict[int, list[Cells]]
"""The lines of each part."""


def write(parts: Iterable[int] = ()) -> None:
    """Runs these parts, or all, and writes the page anew; the lines of the others stay as they are."""
    wanted = sorted(set(parts)) or list(PARTS)
    short, long, seconds = read() if set(wanted) < set(PARTS) else ({}, {}, {})
    for part in wanted:
        started = time.process_time()
        short[part] = [cells(row) for module in PARTS[part] for row in module.rows()]
        seconds[part] = time.process_time() - started
        more = [cells(row) for module in PARTS[part] if hasattr(module, "long_rows") for row in module.long_rows()]
        long |= {part: more} if more else {}
        PAGE.write_text(page(short, long, seconds))


def page(short: Half, long: Half, seconds: Mapping[int, float]) -> str:
    """The whole page."""
    versions = f"numpy {numpy.__version__}, scipy {scipy.__version__}, Python {platform.python_version()}"
    took = ", ".join(f"part {part} {seconds[part]:.1f} s" for part in sorted(seconds))
    return "\n".join(
        [
            HEAD,
            f"Written with {versions}. Processor time of what the tests measure:\n{took}.\n",
            f"## {SHORT}\n",
            *sections(short),
            f"## {LONG}\n",
            *sections(long),
        ]
    )


def sections(half: Half) -> list[str]:
    """A table per part, in their order."""
    return [f"### {TITLES[part]}\n\n{table(half[part])}" for part in sorted(half)]


def table(body: Sequence[Cells]) -> str:
    """Markdown whose columns are as wide as what they hold."""
    lines = [("what", "measured", "limits", "repeats", ""), *body]
    widths = [max(len(line[n]) for line in lines) for n in range(5)]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def cells(row: Row) -> Cells:
    repeats = "exact" if row.repeats is None else f"{row.repeats:,}".replace(",", " ")
    remarks = ("" if row.kind == "check" else row.kind, "" if row.holds else "**outside**")
    return row.what, number(row.measured), limits(row), repeats, ", ".join(filter(None, remarks))


def limits(row: Row) -> str:
    if row.kind == "published":
        return ""
    if row.low == row.high:
        return number(row.low)
    return f"{number(row.low)} to {number(row.high)}"


def number(value: float) -> str:
    """A rate with four places and no leading zero, a count without any."""
    if value == round(value):
        return f"{value:.0f}"
    if abs(value) < 1e-4:
        return f"{value:.0e}"
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}")


def read() -> tuple[Half, Half, dict[int, float]]:
    """What the page says now: both halves, and the seconds that each part took."""
    text = PAGE.read_text()
    first, second = text.split(f"\n## {LONG}\n")
    seconds = {int(part): float(took) for part, took in re.findall(r"part (\d) ([\d.]+) s", first)}
    return half_of(first), half_of(second), seconds


def half_of(text: str) -> Half:
    half: Half = {}
    for section in text.split("\n### ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
        half[int(section[0])] = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines]  # type: ignore[misc]
    return half
