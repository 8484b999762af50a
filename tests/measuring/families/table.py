"""docs/models.md, written from the records of `models.json`: `python table.py` writes it, `make models` both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECORDS, PAGE = HERE / "models.json", HERE.parents[2] / "docs" / "models.md"

HEAD = """\
# Models

A component is *offered* for a model when the model's own numbers bear it out as it is loaded: what attention and
the MLP add must add up to what a block does to the residual stream, the heads, projected, must be what attention
adds, and q, k and v must move what they move in any attention. What fails is disabled with the reason, and asking
for it is an error that says it: a site that is guessed is a result that is wrong in silence. So your model may
offer more or less than its family does here, and `lab` tells you.

The table is written by the tests (`make models`), from tiny random models of transformers {version}. Every "yes"
is measured: the component was replaced and set to zero, in every layer and at several positions and parts, and the
logits were those of one hook in one full forward on modules that were named by hand. "some" is measured in the
layers that have the component. Families with a word in parentheses are the same classes configured otherwise.
"Whole runs" are slower and no less right: where a run cannot begin at its patch, all of it is computed.
"""
SECTIONS = {
    "Decoders": lambda facts: not ({"encoder", "encoder and decoder"} | STATEFUL) & facts,
    "State spaces, recurrences and hybrids": lambda facts: bool(STATEFUL & facts),
    "Encoders and encoder-decoders": lambda facts: bool({"encoder", "encoder and decoder"} & facts),
}
STATEFUL = {"state space", "recurrent"}


def page(records: Mapping[str, Any]) -> str:
    """The whole page."""
    notes: dict[str, int] = {}
    families = records["families"]
    parts = [HEAD.format(version=records["transformers"])]
    for title, belongs in SECTIONS.items():
        mine = {name: record for name, record in families.items() if belongs(set(record["facts"]))}
        components = next(iter(mine.values()))["components"]
        parts.append(f"## {title}\n")
        parts.append(table(["family", "model class", "what it has", *components], rows(mine, notes)))
    parts.append("\n".join(f"[^{number}]: {upper(why)}" for why, number in notes.items()) + "\n")
    return "\n".join(parts)


def rows(families: Mapping[str, Any], notes: dict[str, int]) -> list[list[str]]:
    """A row per family; a reason is numbered where it is first met."""
    found = []
    for name, record in families.items():
        row = [f"`{name}`", f"`{record['model']}`", ", ".join(record["facts"])]
        if record["whole_runs"]:
            why = f"every patched run is a whole run: {record['whole_runs']}."
            row[2] = ", ".join([*record["facts"], "whole runs"]) + mark(why, notes)
        found.append(
            row + [cell(said.replace(record["model"], "the class"), notes) for said in record["components"].values()]
        )
    return found


def cell(said: str, notes: dict[str, int]) -> str:
    if said == "offered":
        return "yes"
    status, _, why = said.partition(": ")
    return ("some" if status == "some" else "no") + mark(why, notes)


def mark(why: str, notes: dict[str, int]) -> str:
    return f"[^{notes.setdefault(why, len(notes) + 1)}]"


def upper(why: str) -> str:
    return why[:1].upper() + why[1:]


def table(head: list[str], body: list[list[str]]) -> str:
    """Markdown whose columns are as wide as what they hold."""
    widths = [max(len(row[n]) for row in [head, *body]) for n in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    return "".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(RECORDS.read_text())))
