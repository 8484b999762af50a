"""Effects as plain data and back, to the last bit: what was measured, so that it can be judged without a model.

Of the question there is what a report says of it and its canonical form.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from causaltest.effect import (
    Controls,
    Effect,
    Elsewhere,
    Exclusion,
    FullComponent,
    Kind,
    Numbers,
    PositiveControl,
    Question,
    SelfPatch,
    Waived,
)
from causaltest.effects import Effects, Measured
from causaltest.errors import RecordError


@dataclass(frozen=True)
class Recorded:
    """A question as it was written down."""

    summary: str
    site: str
    plain: Mapping[str, Any] = field(hash=False)

    def canonical(self) -> dict[str, Any]:
        """Plain data that two equal questions share."""
        return dict(self.plain)


def plain_measured(effect: Measured) -> dict[str, Any]:
    """An effect, or several by name, as mappings, lists, strings and numbers."""
    if isinstance(effect, Effects):
        members = [[plain_name(name), plain_measured(member)] for name, member in effect.members.items()]
        if len({json.dumps(name) for name, _ in members}) < len(members):
            raise RecordError(f"The names {list(effect.members)} cannot be told apart as texts: give others.")
        return {"effects": members}
    return {"question": plain_question(effect.question), "numbers": plain_numbers(effect.measured)}


def measured_of(data: Mapping[str, Any]) -> Measured:
    """The inverse of `plain_measured`. Raises KeyError, TypeError or ValueError for what is none."""
    if "effects" in data:
        members = [(key_of(name), measured_of(member)) for name, member in data["effects"]]
        if len(dict(members)) < len(members):
            raise ValueError("two effects have one name")
        return Effects({name: member for name, member in members if isinstance(member, Effect)})
    return Effect(question_of(data["question"]), numbers_of(data["numbers"]))


def plain_name(name: Hashable) -> Any:
    """A key of a mapping of effects; a tuple, such as a layer and a head, becomes a list."""
    if isinstance(name, tuple):
        return [plain_name(part) for part in name]
    return name if name is None or isinstance(name, int | str | float) else repr(name)


def key_of(name: Any) -> Any:
    """A name as it was before JSON, which knows no tuples."""
    return tuple(map(key_of, name)) if isinstance(name, list) else name


def plain_question(question: Question | None) -> dict[str, Any] | None:
    if question is None:
        return None
    return {"summary": question.summary, "site": question.site, "canonical": untupled(question.canonical())}


def question_of(data: Mapping[str, Any] | None) -> Recorded | None:
    return (
        None if data is None else Recorded(str(data["summary"]), str(data["site"]), dict(untupled(data["canonical"])))
    )


def plain_numbers(numbers: Numbers) -> dict[str, Any]:
    return {
        "values": listed(numbers.values),
        "pair_ids": list(numbers.pair_ids),
        "clusters": None if numbers.clusters is None else list(numbers.clusters),
        "kind": numbers.kind,
        "range": listed(numbers.range),
        "denominators": listed(numbers.denominators),
        "controls": plain_controls(numbers.controls),
        "clipped": float(numbers.clipped),
        "rounding": float(numbers.rounding),
        "pairs_total": numbers.pairs_total,
        "excluded": [[e.pair_id, e.reason] for e in numbers.excluded],
        "references": {name: listed(values) for name, values in numbers.references.items()},
        "provenance": dict(numbers.provenance),
        "estimated_by": numbers.estimated_by,
        "seen": list(numbers.seen),
    }


def numbers_of(data: Mapping[str, Any]) -> Numbers:
    """The inverse of `plain_numbers`. Raises KeyError, TypeError or ValueError for what is none."""
    pair_ids = texts(data["pair_ids"])
    n, limits, kind = len(pair_ids), data["range"], data["kind"]
    if kind not in get_args(Kind) or (kind == "ratio") != (data["denominators"] is not None):
        raise ValueError(f"kind {kind!r}")
    low_high = None if limits is None else floats(limits, 2)
    return Numbers(
        values=floats(data["values"], n),
        pair_ids=pair_ids,
        clusters=None if data["clusters"] is None else texts(data["clusters"], n),
        kind=kind,
        range=None if low_high is None else (low_high[0], low_high[1]),
        denominators=None if data["denominators"] is None else floats(data["denominators"], n),
        controls=controls_of(data["controls"], n),
        clipped=number(data["clipped"]),
        rounding=number(data["rounding"]),
        pairs_total=whole(data["pairs_total"]),
        excluded=tuple(Exclusion(text(pair_id), text(reason)) for pair_id, reason in data["excluded"]),
        references={text(name): floats(values, n) for name, values in data["references"].items()},
        provenance={text(name): text(value) for name, value in data["provenance"].items()},
        estimated_by=None if data["estimated_by"] is None else text(data["estimated_by"]),
        seen=texts(data["seen"]),
    )


def plain_controls(controls: Controls) -> dict[str, Any]:
    own, placebo, positive, full = controls.self_patch, controls.placebo, controls.positive, controls.full
    return {
        "self_patch": waived(own) or (None if not isinstance(own, SelfPatch) else listed((own.moved, own.tolerance))),
        "placebo": waived(placebo) or listed(placebo if isinstance(placebo, tuple) else None),
        "positive": waived(positive)
        or (
            None
            if not isinstance(positive, PositiveControl)
            else [float(positive.estimate), float(positive.needed), positive.what]
        ),
        "distance": listed(controls.distance),
        "full": None if full is None else [float(full.estimate), float(full.part), full.what],
        "elsewhere": [[place.what, listed(place.values), listed(place.distance)] for place in controls.elsewhere],
    }


def controls_of(data: Mapping[str, Any], n: int) -> Controls:
    own, placebo, positive, full = (data[name] for name in ("self_patch", "placebo", "positive", "full"))
    return Controls(
        self_patch=waiver(own) or (None if own is None else SelfPatch(*floats(own, 2))),
        placebo=waiver(placebo) or (None if placebo is None else floats(placebo, n)),
        positive=waiver(positive)
        or (None if positive is None else PositiveControl(number(positive[0]), number(positive[1]), text(positive[2]))),
        distance=None if data["distance"] is None else floats(data["distance"], n),
        full=None if full is None else FullComponent(number(full[0]), number(full[1]), text(full[2])),
        elsewhere=tuple(
            Elsewhere(text(what), floats(values, n), floats(moved, n)) for what, values, moved in data["elsewhere"]
        ),
    )


def waived(control: object) -> dict[str, str] | None:
    return {"waived": control.why} if isinstance(control, Waived) else None


def waiver(data: object) -> Waived | None:
    return Waived(str(data["waived"])) if isinstance(data, Mapping) else None


def listed(values: tuple[float, ...] | None) -> list[float] | None:
    """As plain floats: numbers of numpy are none of JSON's."""
    return None if values is None else [float(value) for value in values]


def untupled(data: Any) -> Any:
    """The same with lists for tuples, as it comes back."""
    if isinstance(data, Mapping):
        return {str(name): untupled(value) for name, value in data.items()}
    return [untupled(item) for item in data] if isinstance(data, list | tuple) else data


class Row(tuple[float, ...]):
    """Numbers that are known to be floats, so that effects which share them neither copy nor check them again."""


class Words(tuple[str, ...]):
    """The same of texts."""


def text(data: Any) -> str:
    if not isinstance(data, str):
        raise TypeError(f"{data!r} is no text")
    return data


def texts(data: Any, n: int | None = None) -> tuple[str, ...]:
    if not isinstance(data, list | Words) or (n is not None and len(data) != n):
        raise ValueError(f"not one text for each of {n} pairs")
    return data if isinstance(data, Words) else Words(text(item) for item in data)


def whole(data: Any) -> int:
    if type(data) is not int:
        raise TypeError(f"{data!r} is no whole number")
    return data


def number(data: Any) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise TypeError(f"{data!r} is no number")
    try:
        return float(data)
    except OverflowError as error:
        raise ValueError("a whole number that no float can hold") from error


def floats(data: Any, n: int) -> tuple[float, ...]:
    if not isinstance(data, list | Row) or len(data) != n:
        raise ValueError(f"not one number for each of {n}")
    return data if isinstance(data, Row) else Row(number(item) for item in data)
