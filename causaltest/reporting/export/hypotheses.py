"""What is claimed: each family with its claims, what has been changed since, and what was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from causaltest.recording.asked import summary_of
from causaltest.recording.changes import changes, differences
from causaltest.recording.wording import counted, day
from causaltest.reporting.export.methods import is_difference
from causaltest.reporting.export.study import Claims, Family, Fields, Study
from causaltest.reporting.export.wording import (
    expected,
    folded,
    listed,
    number,
    one_line,
    predicted,
    runs,
    several,
)

MOST_PLACES = 6
"""Lines about the sites of one claim before the others are counted."""


def hypotheses(study: Study) -> list[str]:
    """A paragraph for each family, a numbered line for each claim."""
    told, place = [], 0
    for family in study.families:
        told.append(family_head(family))
        for group in family.groups:
            place += 1
            told.append(claim_line(group, place))
    return told


def family_head(family: Family) -> str:
    when = f", registered {family.registered[:10]}" if family.registered else ""
    part = "" if family.told == family.size else f", of which {family.told} {be(family.told)} told here"
    return f"Family {family.name} ({counted(family.size, 'claim')}{part}){when}. {shared_alpha(family)}"


def shared_alpha(family: Family) -> str:
    """What alpha each of its claims is judged at."""
    if family.size == 1:
        return f"Alpha {listed(map(number, family.alphas))}."
    shares = [f"{number(alpha)}/{family.size} = {alpha / family.size:.2g}" for alpha in family.alphas]
    return (
        f"The claims share alpha {listed(map(number, family.alphas))}: each is judged at {listed(shares)} (Bonferroni)."
    )


def claim_line(group: Claims, place: int) -> str:
    """What a claim says and predicts, and where it is measured; its parameters, stopping rule and amendments."""
    spec = group.spec
    claimed = f"{predicted(group.prediction)}{expected(group.prediction)}"
    told = [f'{place}. "{one_line(spec["sentence"])}" Predicted: the {effect_of(group)} {claimed}.']
    if len(group) > 1:
        told.append(f"{counted(len(group), 'claim')}: {parameters(group)}.")
    if spec["variants"] is not None:
        told.append(variants_sentence(spec["variants"]))
    told.append(f"Measured: {'; '.join(places(group))}.")
    if spec["stopping"] is not None:
        told.append(f"It may be looked at {spec['stopping']['looks']} times ({rule_name(spec['stopping'])}).")
    told += [f"Amended{why}" for why in amended(group)]
    return " ".join(told)


def effect_of(group: Claims) -> str:
    """What a prediction is about."""
    return "difference" if is_difference(group.spec["asked"]) else "effect"


def parameters(group: Claims) -> str:
    """The parameters in which the claims of a test differ, each with its values."""
    names = list(group.spec.get("parameters") or {})
    told = []
    for name in names:
        values = [entry.spec["parameters"].get(name) for entry in group.entries]
        if all(type(value) is int and value >= 0 for value in values):
            each = runs(values)
        else:
            each = "; ".join(several(dict.fromkeys(map(shown, values))))
        if len(set(map(shown, values))) > 1:
            told.append(f"{name} = {each}")
    return ", ".join(told) or "; ".join(several(entry.id.partition("[")[2].rstrip("]") for entry in group.entries))


def shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("component") or value.get("kind"))
    return str(value)


def places(group: Claims) -> list[str]:
    """Where and how it is measured, told together where only numbers differ."""
    lines = folded([line for entry in group.entries for line in summaries(entry.spec["asked"])])
    return lines if len(lines) <= MOST_PLACES else [*lines[:MOST_PLACES], f"and {len(lines) - MOST_PLACES} more"]


def summaries(asked: Any) -> list[str]:
    if isinstance(asked, Mapping) and "effects" in asked:
        return [line for one in asked["effects"] for line in summaries(one["asked"])]
    if isinstance(asked, Mapping) and "variants" in asked:
        return [line for one in asked["variants"].values() for line in summaries(one)]
    return [" ".join(summary_of(asked).split())]


def variants_sentence(variants: Fields) -> str:
    count, share = len(variants["names"]), float(variants["share"])
    needed = "all of them" if share == 1 else f"{number(100 * share)} % of them"
    names = "; ".join(several(variants["names"]))
    return f"It is measured in {counted(count, 'variant')} ({names}) and holds where {needed} do."


def rule_name(stopping: Fields) -> str:
    return {"obrien-fleming": "O'Brien-Fleming", "anytime": "anytime"}.get(stopping["rule"], str(stopping["rule"]))


def amended(group: Claims) -> list[str]:
    """What each amendment changed."""
    (first, *_) = group.entries
    versions = [*first.prior, first.spec]
    return [
        f" since it was first registered: {'; '.join(changes(differences(before, after)))}."
        for before, after in pairwise(versions)
    ]


def amendments(study: Study) -> list[str]:
    """When and why claims were amended."""
    return [
        f"Amended on {day(event)}: {event['claim']}, because: {one_line(str(event['why']))}"
        for event in study.amendments
    ]


def looked_at(study: Study) -> str:
    """What the ledger says of these claims, for whoever would take the form for older than it is; empty: no look."""
    if not study.looks:
        return ""
    claims, total = len({line["claim"] for line in study.looks}), len(study.entries)
    told = f"{counted(claims, 'claim')} of {total:,} {has(claims)} been measured since they were registered"
    if claims == total:
        told = f"{'The claim has' if total == 1 else f'All {total:,} claims have'} been measured since registration"
    dates = sorted(day(line) for line in study.looks)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return f"{told} ({counted(len(study.looks), 'look')} in the ledger, {span})."


def seen_before(study: Study) -> list[tuple[str, int]]:
    """What had seen the pairs before registration: each sentence, with how many claims it is about."""
    found: dict[str, int] = {}
    for entry in study.entries:
        for sentence in entry.seen:
            found[sentence] = found.get(sentence, 0) + 1
    return sorted(found.items())


def unseen(study: Study) -> int:
    """Of how many claims nothing had seen the pairs."""
    return sum(not entry.seen for entry in study.entries)


def sentences(study: Study) -> list[str]:
    """Each claim's sentence once."""
    return list(dict.fromkeys(one_line(group.spec["sentence"]) for group in study.groups))


def has(n: int) -> str:
    return "has" if n == 1 else "have"


def be(n: int) -> str:
    return "is" if n == 1 else "are"
