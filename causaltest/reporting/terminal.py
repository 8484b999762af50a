"""A claim's section and the table of all claims, as lines of plain text."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

from causaltest import __version__
from causaltest.judging.multiplicity import holm
from causaltest.reporting.columns import aligned
from causaltest.reporting.drift import drift_lines, drift_row, drift_word
from causaltest.reporting.origin import origin, origins
from causaltest.reporting.standing import changed, registered, standings, stood
from causaltest.results import ClaimResult

WIDTH = 116
LABEL = 12
PUBLISHED = "published"
LEAST_P = 1e-99
"""A p-value below this is not told apart from others: none of them is a measurement any more."""
GLUE = "\0"
"""Stands for a space where no line may break."""
SEEN_BEFORE = "pairs seen before"
MOST_VARIANTS = MOST_PAIRS = 20
"""What a section lists; --causal-json has all."""

LEAST_ROUNDING = 1e-5
"""Rounding below this is not told apart: it changes from processor to processor."""


def section(result: ClaimResult, *, every_pair: bool = False) -> str:
    """Everything about one claim; with `every_pair`, also why each pair that does not count is left out."""
    rows = [
        ("observed", observed(result)),
        ("p", p_values(result)),
        ("looks", looks(result)),
        ("eligible", eligible(result)),
        *(("excluded", line) for line in (excluded(result) if every_pair else ())),
        ("controls", controls(result)),
        ("to decide", needed(result)),
        *(("", line) for line in published(result)),
        ("drift", drift_row(result.drift)),
        ("because", result.reason),
        *(("note", note) for note in result.notes if note not in said_as_control(result)),
        *(("warning", warning(w)) for w in result.warnings if not w["accepted"]),
        *(("accepted", f"{w['name']}: {w['says']} ({w['source']}).") for w in result.warnings if w["accepted"]),
        *(("seen", seen) for seen in result.seen),
        *(("" if i else "registered", change) for i, change in enumerate(changed(result))),
        ("measured", origin(result)),
    ]
    return "\n".join(
        [
            f"CLAIM {result.id}  {result.verdict}  [{result.status}: {why_exploratory(result)}]",
            f'  "{result.sentence}"',
            *about(result),
            *(line for label, text in rows if text for line in row(label, text)),
            *variants(result),
            f"  {'reproduce':<{LABEL}}{command(result)}",
        ]
    )


def why_exploratory(result: ClaimResult) -> str:
    """The reason of the status in a few words: what has seen the pairs stands in rows of its own."""
    return SEEN_BEFORE if result.status_reason in result.seen else result.status_reason


def about(result: ClaimResult) -> list[str]:
    """What was asked and what was claimed; a long one is wrapped."""
    told = "  ".join(part for part in (result.question, result.prediction) if part)
    return textwrap.wrap(
        told,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def command(result: ClaimResult) -> str:
    """What to type to see it again, left whole."""
    return f"pytest {shlex.quote(result.nodeid)} --causal-seed={shlex.quote(result.suite_seed)}"


def headline(result: ClaimResult) -> str:
    """One line: what was seen, against what."""
    if result.estimate is None:
        return result.reason
    decide = f", {result.needed_n} pairs would decide" if result.verdict == "INCONCLUSIVE" and result.needed_n else ""
    return f"{number(result.estimate)} {bounds(result)}, claimed {result.prediction}{decide}"


def row(label: str, text: str) -> list[str]:
    """A label and its text, wrapped below itself; what stands between dots is kept on one line."""
    held = text.replace(" ", GLUE).replace(f"{GLUE}·{GLUE}", f"{GLUE}· ") if " · " in text else text
    wrapped = textwrap.wrap(held, WIDTH - LABEL - 2, break_long_words=False, break_on_hyphens=False) or [""]
    lines = [line.replace(GLUE, " ") for line in wrapped]
    return [f"  {label:<{LABEL}}{lines[0]}", *(f"  {'':<{LABEL}}{line}" for line in lines[1:])]


def warning(given: dict[str, str]) -> str:
    """What it says, who found it, and how to answer for it."""
    return f'{given["name"]}: {given["says"]} ({given["source"]}). To accept it: accept=["{given["name"]}"].'


def variants(result: ClaimResult) -> list[str]:
    """A line for each variant of a claim that has some; of many, the first of those that do not hold."""
    told = sorted(result.variants, key=lambda v: v["verdict"] == "SUPPORTED")[:MOST_VARIANTS]
    if not told:
        return []
    if len(told) == len(result.variants):
        told = result.variants
    table = [
        (
            v["name"],
            number(v["estimate"]),
            f"[{edge(v['lower'])}, {edge(v['upper'])}]",
            f"n {v['n']}",
            v["verdict"] + (" (shown above)" if v["shown"] else ""),
        )
        for v in told
    ]
    lines = aligned(table)
    if len(told) < len(result.variants):
        lines.append(f"and {len(result.variants) - len(told)} more, all of them in --causal-json")
    return [f"  {'' if i else 'variants':<{LABEL}}{line}" for i, line in enumerate(lines)]


def observed(result: ClaimResult) -> str:
    if result.estimate is None:
        return ""
    share = ""
    if result.kind == "binary" and 0 <= result.estimate <= 1:
        share = f"{round(result.estimate * result.n)}/{result.n} = "
    how = ", ".join(part for part in (*result.procedures, alpha(result)) if part)
    return f"{shown(result)}{share}{number(result.estimate)}   bounds {bounds(result)}{f' ({how})' if how else ''}"


def shown(result: ClaimResult) -> str:
    """What the number of a claim about an order is; one about an effect shows that effect."""
    if result.threshold is not None:
        return ""
    return "smallest step " if result.prediction.startswith("rising") else "lead "


def alpha(result: ClaimResult) -> str:
    if result.alpha is None:
        return ""
    if result.looks:
        return f"alpha {short(result.alpha)} at this look"
    if result.family_size == 1:
        return f"alpha {short(result.alpha)}"
    whole = result.alpha * result.family_size
    return f"alpha {short(whole)}/{result.family_size}: family {result.family}, {result.family_size} claims"


def short(alpha: float) -> str:
    """Write alpha as .05."""
    return f"{alpha:.3g}".removeprefix("0")


def p_values(result: ClaimResult) -> str:
    if result.p_value is None:
        return ""
    corrected = "" if result.p_adjusted is None else f", corrected {p_in_words(result.p_adjusted)}"
    return f"{p_in_words(result.p_value)}{corrected}"


def looks(result: ClaimResult) -> str:
    """Of a sequential claim: how far it went, at which alpha, and what that saved."""
    given = result.looks
    if not given:
        return ""
    rule = {"obrien-fleming": "O'Brien-Fleming", "anytime": "betting e-process, at any time"}[given["rule"]]
    here = ""
    if given["rule"] == "obrien-fleming" and given["alpha_here"] is not None:
        here = f", alpha {short(given['alpha_here'])} of {short(given['alpha'])} at this look"
    passed = "".join(f"; look {look} could not decide ({why})" for look, why in given["passed"].items())
    count = f"; {given['saved_runs']:,} of {given['planned_runs']:,} patched runs saved".replace(",", " ")
    saved = count if given["planned_runs"] else ""
    price = f"; {given['price']}" if given["price"] else ""
    return f"{given['taken']} of {given['planned']} ({rule}{here}){saved}{passed}{price}"


def eligible(result: ClaimResult) -> str:
    if not result.pairs_total:
        return ""
    rule = f" ({result.counted_if})" if result.counted_if else ""
    units = (
        "declared independent"
        if result.clusters is None
        else f"{result.clusters} cluster{'s' * (result.clusters != 1)}"
    )
    few = (result.n if result.clusters is None else result.clusters) < result.minimum_units
    least = f", minimum {result.minimum_units}" if few else ""
    why = "".join(f"; {count} excluded: {reason}" for reason, count in result.excluded.items())
    return f"{result.eligible} of {result.pairs_total} pairs{rule}, {units}{least}{why}"


def excluded(result: ClaimResult) -> list[str]:
    """A line for each pair that does not count, up to a page of them."""
    told = [f"{pair}: {why}" for pair, why in list(result.excluded_pairs.items())[:MOST_PAIRS]]
    rest = len(result.excluded_pairs) - len(told)
    return [*told, f"and {rest} more, all of them in --causal-json"] if rest else told


def controls(result: ClaimResult) -> str:
    given, parts = result.controls, []
    own = given.get("self_patch")
    if isinstance(own, dict):
        parts.append(self_patch_line(own))
    for name, value in (("placebo", placebo(result)), ("positive control", given.get("positive"))):
        if isinstance(value, dict):
            parts.append(f"{name} {number(value['estimate'])}{'' if value['passed'] else ' FAILED'}")
        elif isinstance(value, float):
            parts.append(f"{name} {number(value)}")
        elif isinstance(value, str):
            parts.append(f"{name} {value}")
    parts += [f"at {what}: {number(value)}" for what, value in (given.get("elsewhere") or {}).items()]
    if given.get("full_component") is not None:
        parts.append(f"full component {number(given['full_component'])}")
    if given.get("distance") is not None:
        parts.append(f"patch distance {given['distance']:.3g}")
    return " · ".join(parts)


def said_as_control(result: ClaimResult) -> set[str]:
    """Notes that repeat what stands among the controls: a control that was waived, and why."""
    names = {"placebo": "placebo", "positive": "positive control"}
    return {f"{name} {why}" for key, name in names.items() if isinstance(why := result.controls.get(key), str)}


def placebo(result: ClaimResult) -> str | None:
    """What it did, as a count where it is one, and whether the claim's own patch did more."""
    given = result.controls.get("placebo")
    if not isinstance(given, float):
        return given if isinstance(given, str) else None
    count = given * result.n
    whole = result.kind == "binary" and 0 <= given <= 1 and abs(count - round(count)) < 1e-9
    did = f"{round(count)}/{result.n}" if whole else number(given)
    if result.placebo_p is None or result.alpha is None:
        return did
    return f"{did}: {'beaten' if result.placebo_p <= result.alpha else 'not beaten'}"


def self_patch_line(own: dict[str, Any]) -> str:
    """Whether the self-patch was neutral, and within which rounding: the power of ten above what was measured."""
    if not own["neutral"]:
        return f"self-patch MOVED the run by {number(own['moved'])}"
    rounding = max(own.get("rounding") or 0.0, LEAST_ROUNDING)
    return f"self-patch neutral within 1e{math.ceil(round(math.log10(rounding), 6)):+03d}"


def needed(result: ClaimResult) -> str:
    if result.verdict in ("SUPPORTED", "REFUTED"):
        return ""
    power = f"{100 * result.power:.0f} % power, {'this family' if result.family_size > 1 else 'no family'}"
    ours = [f"{count} pairs {label}" for label, count in result.needed.items() if count and PUBLISHED not in label]
    if result.needed_n is not None and result.expecting is not None:
        ours.append(f"{result.needed_n}{'' if ours else ' pairs'} if you expect {as_given(result.expecting)}")
    return f"{'; '.join(ours)} ({power})" if ours else ""


def published(result: ClaimResult) -> list[str]:
    """The figure of the usual formula beside our own, with its name."""
    if not needed(result):
        return []
    return [f"({count}: the {label})" for label, count in result.needed.items() if count and PUBLISHED in label]


def summary(results: Sequence[ClaimResult]) -> list[str]:
    """The table, the counts, and what it cost."""
    names = ("claim", "estimate", "[bounds]", "", "n (clusters)", "p corr", "p holm", "placebo", "distance", "verdict")
    by_holm = holm_by_family(results)
    table = [(*names, "status"), *(cells(result, by_holm[i]) for i, result in enumerate(results))]
    if any(result.drift for result in results):
        words = ("drift", *(drift_word(result.drift) or "-" for result in results))
        table = [(*row, word) for row, word in zip(table, words, strict=True)]
    told = (*stood(results), missing(results), warned(results), *drift_lines(results), origins(results))
    more = [line for line in told if line]
    return [banner(results), "", *aligned(table), "", *more, totals(results)]


def holm_by_family(results: Sequence[ClaimResult]) -> list[float]:
    """Holm's p-value of each claim in its family; claims of the family that did not run, or have none, count as 1."""
    found = [1.0] * len(results)
    families: dict[str, list[int]] = {}
    for i, result in enumerate(results):
        families.setdefault(result.family, []).append(i)
    for members in families.values():
        absent = max(0, max(results[i].family_size for i in members) - len(members))
        p_values = [1.0 if (p := results[i].p_value) is None else p for i in members]
        for i, p in zip(members, holm([*p_values, *[1.0] * absent]), strict=False):
            found[i] = p
    return found


def missing(results: Sequence[ClaimResult]) -> str:
    """Says which claims Holm's p-values had to do without."""
    families = {result.family: result.family_size for result in results}
    absent = sum(size - sum(r.family == name for r in results) for name, size in families.items())
    if absent <= 0:
        return ""
    claims = "1 claim of these families" if absent == 1 else f"{absent} claims of these families"
    count = "counts" if absent == 1 else "count"
    return f"p holm: {claims} did not run, and {count} as p = 1; verdicts go by p corr, which needs no other claim"


def warned(results: Sequence[ClaimResult]) -> str:
    """How often each warning came up."""
    open_ones = [w["name"] for result in results for w in result.warnings if not w["accepted"]]
    accepted = sum(bool(w["accepted"]) for result in results for w in result.warnings)
    counts = ", ".join(f"{name} {open_ones.count(name)}" for name in dict.fromkeys(open_ones))
    told = [counts, f"{accepted} accepted" if accepted else ""]
    return (
        f"warnings: {'; '.join(t for t in told if t)} (each is told in its claim's section, with -v)"
        if any(told)
        else ""
    )


def cells(result: ClaimResult, by_holm: float) -> tuple[str, ...]:
    placebo = result.controls.get("placebo")
    units = "iid" if result.clusters is None else str(result.clusters)
    return (
        result.id,
        "-" if result.estimate is None else number(result.estimate),
        bounds(result),
        result.prediction,
        f"{result.n} ({units})" if result.n else "-",
        "-" if result.p_adjusted is None else p_number(result.p_adjusted),
        "-" if result.p_value is None else p_number(by_holm),
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
    return f"causaltest {__version__}{measured}{registered(results)} · seed {results[0].suite_seed}"


def totals(results: Sequence[ClaimResult]) -> str:
    words = ("SUPPORTED", "REFUTED", "INCONCLUSIVE", "INVALID", "ERROR")
    counts = [f"{n} {word.lower()}" for word in words if (n := sum(r.verdict == word for r in results))]
    cost = {name: sum(r.runs.get(name, 0) for r in results) for name in ("patched_runs", "forwards", "reused_runs")}
    ran = f" · {cost['patched_runs']} patched runs in {cost['forwards']} forwards" if cost["patched_runs"] else ""
    kept = f" ({cost['reused_runs']} clean and corrupt runs reused)" if cost["reused_runs"] else ""
    return ", ".join(counts) + standings(results) + ran + kept


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


def as_given(value: float) -> str:
    """A number that somebody wrote, with two decimals at least."""
    return f"{value:.2f}" if round(value, 2) == value else f"{value:g}"


def p_in_words(value: float) -> str:
    """Two decimals where they say enough."""
    return f"{value:.2f}" if value >= 0.1 else p_number(value)


def p_number(value: float) -> str:
    if value < LEAST_P:
        return f"< {LEAST_P:g}"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
