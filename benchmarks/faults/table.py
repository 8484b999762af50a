"""Table: what each fault gave last, in results.json, and the table of reliability.md that is written of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.result import Result

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
KEPT = Path(__file__).with_name("results.json")
NAMES = ("warm", "kills", "damage", "fuzz", "processes", "ray_speed", "ray_kill", "disk", "soak", "streaming")
"""Faults, in the order of the table."""
BEGIN, END = "<!-- faults: written by python -m benchmarks.faults -->", "<!-- /faults -->"


def kept(name: str) -> list[Result]:
    """What a fault gave last."""
    return [Result(**line) for line in everything().get(name, ())]


def keep(name: str, results: Sequence[Result]) -> None:
    """Puts results in the place of those of the same fault. The others are read now: another run may have just put
    its own there."""
    lines = everything() | {name: [asdict(result) for result in results]}
    KEPT.write_text(json.dumps(lines, indent=1, sort_keys=True) + "\n")


def everything() -> dict[str, list[dict[str, object]]]:
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def write_table() -> None:
    """Puts the table in the place of the one before."""
    lines = ["| | at least | aim | measured | how |", "|---|---|---|---|---|"]
    for one in (result for name in NAMES for result in kept(name)):
        measured = one.measured if one.held else f"**{one.measured}** (missed)"
        lines.append(f"| {one.figure} | {one.at_least} | {one.aim} | {measured} | {one.how} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")
