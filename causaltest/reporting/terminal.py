"""A claim's section and the table of all claims, as lines of plain text."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

from causaltest import __version__
from causaltest.results import ClaimResult

WIDTH = 110
LABEL = 12
PUBLISHED = "published"


LEAST_ROUNDING = 1e-5
"""Rounding below this is not told apart: it changes from processor to processor."""


def section(result: ClaimResult) -> str:
    """Everything about one claim."""
    rows = [
        ("observed", observed(result)),
        ("p", p_values(result)),
        ("looks", looks(result)),
        ("eligible", eligible(result)),
        ("controls", controls(result)),
        ("to decide", needed(result)),
        ("because", result.reason),
        *(("note", note) for note in result.notes),
        ("reproduce", f"pytest {shlex.quote(result.nodeid)} --causal-seed={shlex.quote(result.suite_seed)}"),
    ]
    head = [
        f"CLAIM {result.id}  {result.verdict}  [{result.status}: {result.status_reason}]",
        f'  "{result.sentence}"',
        f"  {result.question}  {result.prediction}",
    ]
    return "\n".join([*head, *(line for label, text in rows if text for line in row(label, text))])


def headline(result: ClaimResult) -> str:
    """One line: what was seen, against what."""
    if result.estimate is None:
        return result.reason
    decide = f", {result.needed_n} pairs would decide" if result.verdict == "INCONCLUSIVE" and result.needed_n else ""
    return f"{number(result.estimate)} {bounds(result)}, claimed {result.prediction}{decide}"


def row(label: str, text: str) -> list[str]:
    """A label and its text, wrapped below itself; commands are left whole."""
    if label == "reproduce":
        return [f"  {label:<{LABEL}}{text}"]
    lines = textwrap.wrap(text, WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"  {label:<{LABEL}}{lines[0]}", *(f"  {'':<{LABEL}}{line}" for line in lines[1:])]


def observed(result: ClaimResult) -> str:
    if result.estimate is None:
        return ""
    share = ""
    if result.kind == "binary" and 0 <= result.estimate <= 1:
        share = f"{round(result.estimate * result.n)}/{result.n} = "
    how = ", ".join(part for part in (*result.procedures, alpha(result)) if part)
    return f"{share}{number(result.estimate)}   bounds {bounds(result)}{f' ({how})' if how else ''}"


def alpha(result: ClaimResult) -> str:
    if result.alpha is None:
        return ""
    if result.looks:
        return f"alpha {result.alpha:.2g} at this look"
    if result.family_size == 1:
        return f"alpha {result.alpha:g}"
    whole = result.alpha * result.family_size
    return f"alpha {whole:g}/{result.family_size}: family {result.family}, {result.family_size} claims"


def p_values(result: ClaimResult) -> str:
    if result.p_value is None:
        return ""
    corrected = "" if result.p_adjusted is None else f", corrected {p_number(result.p_adjusted)}"
    return f"{p_number(result.p_value)}{corrected}"


def looks(result: ClaimResult) -> str:
    """Of a sequential claim: how far it went, at which alpha, and what that saved."""
    given = result.looks
    if not given:
        return ""
    rule = {"obrien-fleming": "O'Brien-Fleming", "anytime": "betting e-process, at any time"}[given["rule"]]
    here = ""
    if given["rule"] == "obrien-fleming" and given["alpha_here"] is not None:
        here = f", alpha {share(given['alpha_here'])} of {share(given['alpha'])} at this look"
    passed = "".join(f"; look {look} could not decide ({why})" for look, why in given["passed"].items())
    count = f"; {given['saved_runs']:,} of {given['planned_runs']:,} patched runs saved".replace(",", " ")
    saved = count if given["planned_runs"] else ""
    price = f"; {given['price']}" if given["price"] else ""
    return f"{given['taken']} of {given['planned']} ({rule}{here}){saved}{passed}{price}"


def share(alpha: float) -> str:
    """Write an alpha with two digits and without its leading zero."""
    return f"{alpha:.2g}".removeprefix("0")


def eligible(result: ClaimResult) -> str:
    if not result.pairs_total:
        return ""
    units = "declared independent" if result.clusters is None else f"{result.clusters} clusters"
    why = "".join(f"; {count} excluded: {reason}" for reason, count in result.excluded.items())
    return f"{result.eligible} of {result.pairs_total} pairs, {units}{why}"


def controls(result: ClaimResult) -> str:
    given, parts = result.controls, []
    own = given.get("self_patch")
    if isinstance(own, dict):
        parts.append(self_patch_line(own))
    for name, value in (("placebo", given.get("placebo")), ("positive control", given.get("positive"))):
        if isinstance(value, dict):
            parts.append(f"{name} {number(value['estimate'])}{'' if value['passed'] else ' FAILED'}")
        elif isinstance(value, float):
            parts.append(f"{name} {number(value)}")
        elif isinstance(value, str):
            parts.append(f"{name} {value}")
    if given.get("full_component") is not None:
        parts.append(f"full component {number(given['full_component'])}")
    if given.get("distance") is not None:
        parts.append(f"patch distance {given['distance']:.3g}")
    return " · ".join(parts)


def self_patch_line(own: dict[str, Any]) -> str:
    """Whether the self-patch was neutral, and within which rounding: the power of ten above what was measured."""
    if not own["neutral"]:
        return f"self-patch MOVED the run by {number(own['moved'])}"
    rounding = max(own.get("rounding") or 0.0, LEAST_ROUNDING)
    return f"self-patch neutral within 1e{math.ceil(round(math.log10(rounding), 6)):+03d}"


def needed(result: ClaimResult) -> str:
    if result.verdict in ("SUPPORTED", "REFUTED"):
        return ""
    power = f"{result.power:.0%} power, {'this family' if result.family_size > 1 else 'no family'}"
    ours = [f"{count} pairs {label}" for label, count in result.needed.items() if count and PUBLISHED not in label]
    if result.needed_n is not None and result.expecting is not None:
        ours.append(f"{result.needed_n} pairs if you expect {number(result.expecting)}")
    known = [f"{count}: the {label}" for label, count in result.needed.items() if count and PUBLISHED in label]
    told = f"{'; '.join(ours)} ({power})" if ours else ""
    return " ".join([told, *(f"({line})" for line in known)]).strip()


def summary(results: Sequence[ClaimResult]) -> list[str]:
    """The table, the counts, and what it cost."""
    header = ("claim", "estimate", "[bounds]", "", "n (clusters)", "p corr", "placebo", "distance", "verdict", "status")
    table = [header, *(cells(result) for result in results)]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return [banner(results), "", *lines, "", totals(results)]


def cells(result: ClaimResult) -> tuple[str, ...]:
    placebo = result.controls.get("placebo")
    units = "iid" if result.clusters is None else str(result.clusters)
    return (
        result.id,
        "-" if result.estimate is None else number(result.estimate),
        bounds(result),
        result.prediction,
        f"{result.n} ({units})",
        "-" if result.p_adjusted is None else p_number(result.p_adjusted),
        number(placebo) if isinstance(placebo, float) else "-" if placebo is None else "waived",
        "-" if result.controls.get("distance") is None else f"{result.controls['distance']:.3g}",
        result.verdict,
        result.status,
    )


def banner(results: Sequence[ClaimResult]) -> str:
    models = dict.fromkeys(
        f"{r.model}@{r.provenance['weights'][:6]}" if "weights" in r.provenance else str(r.model)
        for r in results
        if r.model
    )
    kinds = dict.fromkeys(f"{r.provenance.get('dtype')}, {r.provenance.get('device')}" for r in results if r.model)
    measured = f" · {', '.join(models)} ({'; '.join(kinds)})" if models else ""
    return f"causaltest {__version__}{measured} · seed {results[0].suite_seed}"


def totals(results: Sequence[ClaimResult]) -> str:
    words = ("SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID", "ERROR")
    counts = [f"{n} {word.lower()}" for word in words if (n := sum(r.verdict == word for r in results))]
    cost = {name: sum(r.runs.get(name, 0) for r in results) for name in ("patched_runs", "forwards", "reused_runs")}
    ran = f" · {cost['patched_runs']} patched runs in {cost['forwards']} forwards" if cost["patched_runs"] else ""
    kept = f" ({cost['reused_runs']} clean and corrupt runs reused)" if cost["reused_runs"] else ""
    return ", ".join(counts) + ran + kept


def bounds(result: ClaimResult) -> str:
    if result.lower is None and result.upper is None:
        return "-"
    return f"[{edge(result.lower)}, {edge(result.upper)}]"


def edge(value: float | None) -> str:
    return "?" if value is None else number(value)


def number(value: float | None) -> str:
    """Three decimals, or three digits where that would show none."""
    if value is None:
        return "?"
    return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1000 else f"{value:.3g}"


def p_number(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
