"""docs/benchmarks.md, written from the rows that are kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.row import Options, Row

PACKAGES = ("causaltest", "torch", "transformers", "nnsight", "pyvene", "transformer-lens", "numpy", "scipy")
HEAD = """# Benchmarks

Written by `make bench`; do not edit. Every ratio was measured side by side in one process: ours and theirs in turn,
the order turned round each time, on the same random weights with the same number of threads, in inference mode. What
stands are medians, with the lowest and the highest of the repetitions. Theirs over ours: 8 x means that ours takes an
eighth of the time. In the same run the peer's numbers were compared with ours, and a row whose numbers differ by more
than 1e-4 has no ratio. Our time includes the clean and the corrupt run and everything from the prompts on; opening
the lab is left out, as wrapping the model is for the peers.
"""
FIGURE = """
## How cost grows

![Time of a sweep beside its arithmetic floor, by layers, positions and pairs](img/cost.png)

Residual stream, every layer, GPT-2 small's width, beside the arithmetic floor and one full forward per site. The
floor takes the rate that the machine has on 168 tokens at once; on more it is faster, so that a long prompt can
come out below it.
"""


def written(rows: Sequence[Row], options: Options, path: Path, *, figure: bool) -> None:
    parts = [HEAD, machine(options), "", *table(rows), "", *notes(rows)]
    text = "\n".join(parts) + "\n" + (FIGURE if figure else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def machine(options: Options) -> str:
    versions = ", ".join(f"{name} {installed(name)}" for name in PACKAGES)
    return (
        f"{processor()}, {os.cpu_count()} cores, {options.threads} threads, {options.repeats} repetitions. "
        f"Python {platform.python_version()}, {versions}; all in one virtual environment."
    )


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(rows: Sequence[Row]) -> list[str]:
    head = ["what", "against", "ours", "theirs", "figure", "wanted", "aim", "outcome", "numbers differ by"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cells(n, row))} |" for n, row in enumerate(rows, 1)]


def cells(number: int, row: Row) -> list[str]:
    mark = f" [{number}]" if row.notes else ""
    apart = "" if row.worst_difference is None else f"{row.worst_difference:.0e}"
    wanted = ["" if w is None else f"{sign(row)} {w:g} {row.unit}" for w in (row.at_least, row.aim)]
    return [row.what + mark, row.against, row.ours, row.theirs, figure(row), *wanted, row.outcome, apart]


def figure(row: Row) -> str:
    if row.figure is None:
        return ""
    spread = "" if row.lowest is None or row.highest is None else f" ({row.lowest:.2f} to {row.highest:.2f})"
    return f"**{row.figure:.2f} {row.unit}**{spread}"


def sign(row: Row) -> str:
    return "≥" if row.better == "more" else "≤"


def notes(rows: Sequence[Row]) -> list[str]:
    return [f"{n}. {row.notes}" for n, row in enumerate(rows, 1) if row.notes]
