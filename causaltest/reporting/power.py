"""The pairs that each claim needs, as lines of plain text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from causaltest.judging.planning import Need
from causaltest.power_plan import PowerPlan, PowerRow
from causaltest.reporting.terminal import row
from causaltest.writing.whole_file import write_whole

NAMED = 3
"""Of claims with the same answer, how many are named before the others are counted."""


def power_lines(plan: PowerPlan) -> list[str]:
    """A paragraph for each claim, and what holds for all."""
    told = [line for part in plan.rows for line in (*paragraph(part), "")]
    return [*told, *foot(plan)]


def paragraph(part: PowerRow) -> list[str]:
    """What one claim needs, has, and rests on."""
    claim = part.first.claim
    names = [foreseen.id for foreseen in part.claims]
    others = len(names) - NAMED
    head = [*names[:NAMED], *([f"and {others} more, which need the same"] if others > 0 else [])]
    asked = f"{claim.prediction}, power {plain(claim.prediction.power)}, {alpha(part)}"
    rows = [("claims", asked)]
    if part.reason:
        rows.append(("no number", part.reason))
    elif part.expects:
        rows += [("needs", needed(part.needs[0])), ("there are", there(part.needs[0]))]
    else:
        rows.append(("needs", "no effect is expected (expecting=, or --effect), so here are three:"))
        rows += [("", needed(need)) for need in part.needs]
        rows.append(("there are", units(part.needs[0].there.units, part.needs[0].there.pairs)))
    if part.needs:
        rows.append(("assumed", "; ".join(part.needs[0].question.truth.words)))
    rows += [("note", note) for note in part.notes]
    lines = [line for label, text in rows if text for line in row(label, text)]
    return [*head, f'  "{claim.sentence}"', *lines]


def alpha(part: PowerRow) -> str:
    whole, size = part.first.claim.prediction.alpha, part.first.family.size
    if size == 1:
        return f"alpha {plain(whole)}"
    return f"alpha {plain(whole)}/{size} (family {part.first.family.name}, {size} claims)"


def needed(need: Need) -> str:
    """The pairs at one effect, and where the number comes from."""
    at = f"if the effect is {need.effect:g}"
    if need.units is None or need.pairs is None:
        return f"{at}: no number ({need.how})"
    spread = "" if need.low == need.high else f", give or take: {need.low:,} to {need.high:,}"
    lasting = "" if need.lasting in (None, need.pairs) else f"; from {need.lasting:,} on the power never falls below it"
    return f"{units(need.units, need.pairs)} {at} ({need.how}{spread}{lasting})"


def there(need: Need) -> str:
    """The pairs that the claim has, and how many it lacks."""
    point, design = need.there, need.question.design
    has = f"{units(design.units, design.pairs)}: power {share(point.power)} at that effect"
    if point.units < design.units:
        has = f"{units(design.units, design.pairs)}: power {share(point.power)} with {point.pairs:,} of them"
    if need.units is None:
        return has
    if need.enough:
        return f"{has}; enough"
    lacking = need.units - design.units
    if design.iid:
        return f"{has}; {lacking:,} more are needed, which share nothing with each other"
    pairs = need.pairs - design.pairs if need.pairs is not None else 0
    return f"{has}; {lacking:,} more clusters are needed ({pairs:,} pairs), and not paraphrases in those there are"


def units(clusters: int, pairs: int) -> str:
    return f"{pairs:,} pairs" if clusters == pairs else f"{pairs:,} pairs in {clusters:,} clusters"


def share(power: float) -> str:
    """Two digits, and never 1 where it is only near to it."""
    if 0.995 <= power:
        return "above .99"
    return "below .01" if power < 0.005 else f"{power:.2f}".removeprefix("0")


def plain(number: float) -> str:
    return f"{number:g}".removeprefix("0")


def foot(plan: PowerPlan) -> list[str]:
    told = (
        "Pairs are those that count: for right-or-wrong metrics, where the clean run gives the answer and the corrupt "
        "run does not. What is simulated is judged by the judge's own rule "
        f"(--causal-seed={plan.suite_seed}), and good to about a tenth. What is assumed is a guess until a pilot says "
        "better."
    )
    return [line.strip() for line in row("", told)] if plan.rows else []


def write_power(path: Path, plan: PowerPlan) -> None:
    """The plan as one JSON object, in a file that is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_dict(plan), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode(errors="backslashreplace"))


def as_dict(plan: PowerPlan) -> dict[str, Any]:
    """Plain data: the claims sorted by id, each with its own answer."""
    claims = [claim_dict(part, place) for part in plan.rows for place in range(len(part.claims))]
    return {
        "suite_seed": plan.suite_seed,
        "assumptions": asdict(plan.assumptions),
        "claims": sorted(claims, key=lambda claim: str(claim["id"])),
    }


def claim_dict(part: PowerRow, place: int) -> dict[str, Any]:
    foreseen = part.claims[place]
    prediction, design = foreseen.claim.prediction, part.design
    return {
        "id": foreseen.id,
        "nodeid": foreseen.nodeid,
        "sentence": foreseen.claim.sentence,
        "prediction": str(prediction),
        "power": prediction.power,
        "alpha": part.alpha,
        "family": foreseen.family.name,
        "family_size": foreseen.family.size,
        "kind": None if design is None else design.kind,
        "pairs": None if design is None else design.pairs,
        "clusters": None if design is None or design.iid else design.units,
        "needs": [need_dict(need) for need in part.needs],
        "curve": None if part.curve is None else part.curve.as_dict(),
        "notes": list(part.notes),
        "reason": part.reason or None,
    }


def need_dict(need: Need) -> dict[str, Any]:
    return {
        "effect": need.effect,
        "pairs": need.pairs,
        "clusters": None if need.question.design.iid else need.units,
        "low": need.low,
        "high": need.high,
        "lasting": need.lasting,
        "how": need.how,
        "enough": need.enough,
        "assumed": list(need.question.truth.words),
        "power_there": asdict(need.there),
    }
