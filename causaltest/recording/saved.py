"""Effects as plain data and back: what was measured, so that it can be judged again without a model.

Everything that the judge reads comes back to the last bit. Of the question there is what a report says of it and its
canonical form; the experiments themselves are in the claim's spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from causaltest.effect import (
    Controls,
    Effect,
    Elsewhere,
    Exclusion,
    FullComponent,
    Numbers,
    PositiveControl,
    Question,
    SelfPatch,
    Waived,
)
from causaltest.effects import Effects, Measured


@dataclass(frozen=True)
class Recorded:
    """A question as it was written down."""

    summary: str
    site: str
    plain: Mapping[str, Any] = field(hash=False)

    def canonical(self) -> dict[str, Any]:
        """Plain data that two equal questions share."""
        return dict(self.plain)


@dataclass(frozen=True)
class SavedClaim:
    """One claim as it was measured: what a baseline keeps and a bundle packs."""

    id: str
    """Within its record, or its node id where it has none."""
    spec: Mapping[str, Any]
    """Its spec's fields (recording/spec.py)."""
    seed: str
    """The suite's."""
    told: Mapping[str, Any]
    """The verdict as the ledger has it: verdict, estimate, lower, upper, n, alpha."""
    effects: tuple[tuple[str, Measured], ...]
    """What was measured; of a claim in variants each under its variant's name, else one under ""."""
    played: Mapping[str, Any] | None = None
    """Of a sequential claim: `units`, of each look that brought new ones its number and those that count by then; the
    `order` of play of all units; and the `largest`, in pairs."""


def plain_measured(effect: Measured) -> dict[str, Any]:
    """An effect, or several by name, as mappings, lists, strings and numbers."""
    if isinstance(effect, Effects):
        return {"effects": [[name, plain_measured(member)] for name, member in effect.members.items()]}
    return {"question": plain_question(effect.question), "numbers": plain_numbers(effect.measured)}


def measured_of(data: Mapping[str, Any]) -> Measured:
    """The inverse of `plain_measured`. Raises KeyError, TypeError or ValueError for what is none."""
    if "effects" in data:
        members = {key_of(name): measured_of(member) for name, member in data["effects"]}
        return Effects({name: member for name, member in members.items() if isinstance(member, Effect)})
    return Effect(question_of(data["question"]), numbers_of(data["numbers"]))


def key_of(name: Any) -> Any:
    """A name as it was before JSON, which knows no tuples."""
    return tuple(map(key_of, name)) if isinstance(name, list) else name


def plain_question(question: Question | None) -> dict[str, Any] | None:
    if question is None:
        return None
    return {"summary": question.summary, "site": question.site, "canonical": question.canonical()}


def question_of(data: Mapping[str, Any] | None) -> Recorded | None:
    return None if data is None else Recorded(str(data["summary"]), str(data["site"]), dict(data["canonical"]))


def plain_numbers(numbers: Numbers) -> dict[str, Any]:
    return {
        "values": list(numbers.values),
        "pair_ids": list(numbers.pair_ids),
        "clusters": listed(numbers.clusters),
        "kind": numbers.kind,
        "range": listed(numbers.range),
        "denominators": listed(numbers.denominators),
        "controls": plain_controls(numbers.controls),
        "clipped": numbers.clipped,
        "rounding": numbers.rounding,
        "pairs_total": numbers.pairs_total,
        "excluded": [[e.pair_id, e.reason] for e in numbers.excluded],
        "references": {name: list(values) for name, values in numbers.references.items()},
        "provenance": dict(numbers.provenance),
        "estimated_by": numbers.estimated_by,
        "seen": list(numbers.seen),
    }


def numbers_of(data: Mapping[str, Any]) -> Numbers:
    low_high = data["range"]
    return Numbers(
        values=tuple(data["values"]),
        pair_ids=tuple(data["pair_ids"]),
        clusters=tupled(data["clusters"]),
        kind=data["kind"],
        range=None if low_high is None else (low_high[0], low_high[1]),
        denominators=tupled(data["denominators"]),
        controls=controls_of(data["controls"]),
        clipped=data["clipped"],
        rounding=data["rounding"],
        pairs_total=data["pairs_total"],
        excluded=tuple(Exclusion(pair_id, reason) for pair_id, reason in data["excluded"]),
        references={name: tuple(values) for name, values in data["references"].items()},
        provenance=dict(data["provenance"]),
        estimated_by=data["estimated_by"],
        seen=tuple(data["seen"]),
    )


def plain_controls(controls: Controls) -> dict[str, Any]:
    own, placebo, positive, full = controls.self_patch, controls.placebo, controls.positive, controls.full
    return {
        "self_patch": waived(own) or (None if not isinstance(own, SelfPatch) else [own.moved, own.tolerance]),
        "placebo": waived(placebo) or listed(placebo if isinstance(placebo, tuple) else None),
        "positive": waived(positive)
        or (None if not isinstance(positive, PositiveControl) else [positive.estimate, positive.needed, positive.what]),
        "distance": listed(controls.distance),
        "full": None if full is None else [full.estimate, full.part, full.what],
        "elsewhere": [[place.what, list(place.values), list(place.distance)] for place in controls.elsewhere],
    }


def controls_of(data: Mapping[str, Any]) -> Controls:
    own, placebo, positive, full = (data[name] for name in ("self_patch", "placebo", "positive", "full"))
    return Controls(
        self_patch=waiver(own) or (None if own is None else SelfPatch(*own)),
        placebo=waiver(placebo) or tupled(placebo),
        positive=waiver(positive) or (None if positive is None else PositiveControl(*positive)),
        distance=tupled(data["distance"]),
        full=None if full is None else FullComponent(*full),
        elsewhere=tuple(Elsewhere(what, tuple(values), tuple(moved)) for what, values, moved in data["elsewhere"]),
    )


def waived(control: object) -> dict[str, str] | None:
    return {"waived": control.why} if isinstance(control, Waived) else None


def waiver(data: object) -> Waived | None:
    return Waived(str(data["waived"])) if isinstance(data, Mapping) else None


def listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def tupled(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
