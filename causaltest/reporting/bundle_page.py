"""The page of a bundle: claims, statuses and verdicts to be read in a browser, from the record alone.

It loads nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from causaltest.effects import Effects
from causaltest.judging.version import STATISTICS
from causaltest.printable import printable
from causaltest.recording.bundle import Bundle
from causaltest.recording.lock import Entry
from causaltest.recording.saved import SavedClaim
from causaltest.recording.spec import summaries
from causaltest.recording.wording import counted
from causaltest.rejudged import asked_by
from causaltest.results import control_fields

Look = Mapping[str, Any]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { font-size: 1.1rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; font-size: .9rem } td, th { text-align: left; padding: .2rem .8rem .2rem 0 }
th { font-weight: 600 } td { vertical-align: top } code { font-size: .85em; overflow-wrap: anywhere }
"""


def page(bundle: Bundle) -> str:
    """The HTML of a bundle's page."""
    return "\n".join(
        ["<!doctype html>", '<html lang="en">', *head(), "<body>", *body(bundle), "</body>", "</html>", ""]
    )


def head() -> list[str]:
    return ["<head>", '<meta charset="utf-8">', "<title>Claims on record</title>", f"<style>{STYLE}</style>", "</head>"]


def body(bundle: Bundle) -> Iterator[str]:
    lock, lines, at = bundle.lock, bundle.lines, bundle.committed
    looks = [line for line in lines if line["kind"] == "look"]
    yield "<h1>Claims on record</h1>"
    stands = f"The lock stands in commit <code>{shown(at.commit)}</code>." if at.commit else ""
    yield (
        f"<p>{counted(len(lock.entries), 'claim')} registered, {counted(len(looks), 'look')}. {stands}"
        f"{shown(f'No commit has the lock: {at.why_not}.') if not at.commit else ''} Packed by causaltest "
        f"{shown(bundle.version)}, version {STATISTICS} of the statistics. <code>causaltest verify</code> with the "
        "file that this page came in judges every verdict again.</p>"
    )
    for id in sorted({*lock.entries, *(str(look["claim"]) for look in looks)}):
        mine = [look for look in looks if look["claim"] == id]
        yield from section(id, lock.entries.get(id), mine, bundle.effects.claims.get(id))
    others = [line for line in lines if line["kind"] in ("sweep", "search")]
    if others:
        yield "<h2>What else has looked at pairs</h2>"
        yield table(("when", "what"), [(line["at"], sighted(line)) for line in others])


def section(id: str, entry: Entry | None, looks: Sequence[Look], saved: SavedClaim | None) -> Iterator[str]:
    """One claim."""
    spec = entry.spec if entry is not None else saved.spec if saved is not None else None
    yield f"<h2>{shown(spec['sentence'] if spec is not None else id)}</h2>"
    rows: list[tuple[str, str]] = [("claim", id)]
    if spec is not None:
        rows += said(id, spec)
    if entry is None:
        rows.append(("registered", "no"))
    else:
        amended = f", and amended {counted(len(entry.prior), 'time')} since" if entry.prior else ""
        rows += [
            ("registered", f"in batch {entry.batch}{amended}"),
            ("spec", entry.digest),
            *(("seen before", sentence) for sentence in entry.seen),
        ]
    if saved is not None:
        rows += measured(saved)
    yield table((), rows)
    if not looks:
        yield "<p>Not measured yet.</p>"
        return
    yield table(
        ("looked at", "status", "verdict", "estimate", "bounds", "n", "alpha", "seed", "commit"),
        [
            (
                look["at"],
                look["status"],
                look["verdict"],
                short(look.get("estimate")),
                f"[{short(look.get('lower'))}, {short(look.get('upper'))}]",
                look.get("n", ""),
                short(look.get("alpha")),
                look["seed"],
                str(look.get("commit", ""))[:8],
            )
            for look in looks
        ],
    )


def said(id: str, spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a spec says, in rows."""
    asked = asked_by(SavedClaim(id, spec, "", {}, ()))
    stopping, variants, alpha = asked.stopping, asked.variants, asked.prediction.alpha
    return [
        (
            "predicted",
            f"{asked.prediction}, at alpha {alpha:g} / {asked.family_size} claims of {spec['family']['name']}",
        ),
        *(("asked", question) for question in summaries(spec)),
        *([] if stopping is None else [("stopping rule", str(stopping))]),
        *([] if variants is None else [("variants", f"{variants.needed} of {variants.count} must hold")]),
        *(("model", plainly(model)) for model in spec["models"]),
        *(("pairs", plainly(pairs)) for pairs in spec["pairs"]),
    ]


def measured(saved: SavedClaim) -> Iterator[tuple[str, str]]:
    """The controls of what was measured, and what measured it."""
    for name, effect in saved.effects:
        numbers = (effect.joint if isinstance(effect, Effects) else effect).measured
        controls = {what: value for what, value in control_fields(numbers).items() if value is not None}
        yield f"controls {name}".strip(), plainly(controls)
        if numbers.excluded:
            yield f"excluded {name}".strip(), f"{len(numbers.excluded)} of {numbers.pairs_total} pairs"
    if saved.effects:
        yield "measured by", plainly(numbers.provenance)


def plainly(data: Any) -> str:
    """Plain data in a line."""
    if isinstance(data, Mapping):
        return ", ".join(f"{name} {plainly(value)}" for name, value in data.items() if value not in (None, "", {}, []))
    if isinstance(data, list | tuple):
        return ", ".join(map(plainly, data))
    return f"{data:.4g}" if isinstance(data, float) else str(data)


def short(number: Any) -> str:
    """Four digits of a number, which in a ledger may be a string."""
    try:
        return "" if number is None else f"{float(number):.4g}"
    except (TypeError, ValueError):
        return str(number)


def sighted(line: Look) -> str:
    return "; ".join(f"{one.get('kind', '')} {one.get('what', '')}" for one in line.get("sightings", ()))


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under names; without names the first of each row is one."""
    top = "".join(f"<th>{shown(name)}</th>" for name in names)
    parts = [f"<tr>{top}</tr>"] if names else []
    for row in rows:
        first = f"<th>{shown(row[0])}</th>" if not names else f"<td>{shown(row[0])}</td>"
        parts.append(f"<tr>{first}{''.join(f'<td>{shown(cell)}</td>' for cell in row[1:])}</tr>")
    return f"<table>{''.join(parts)}</table>"


def shown(text: Any) -> str:
    """Text as HTML; what would steer how a page is read, such as a mark that turns its direction, stands as a "?"."""
    return escape(printable(str(text)))
