"""Joined: the effects that the same experiment has on several portions of its pairs, as one effect on all of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from causaltest.effect import (
    Effect,
    Elsewhere,
    FullComponent,
    Numbers,
    PositiveControl,
    SelfPatch,
    Waived,
    worse_positive,
    worse_self_patch,
)
from causaltest.errors import ClaimError

SHARED = ("kind", "range", "estimated_by")
"""What is the same in every portion, as the experiment is."""


def joined(effects: Sequence[Effect]) -> Effect:
    """One effect of portions that share no pair, in their order; all answer the question of the first.

    What is given per pair follows each other. Of what is measured once per portion, a share or an estimate becomes
    that of all pairs, and of a check the worst counts.

    Raises ClaimError where a portion answers another question than the first.
    """
    asked = [None if effect.question is None else effect.question.canonical() for effect in effects]
    if any(one != asked[0] for one in asked):
        raise ClaimError(
            "The claim's body measured another experiment at a later look than at the first, and the two make no one "
            "effect. Name one experiment, whichever look it is."
        )
    parts = [effect.measured for effect in effects]
    if len(parts) == 1:
        return effects[0]
    weights = [math.fsum(part.denominators) if part.denominators else float(len(part.values)) for part in parts]
    pairs = [float(len(part.values)) for part in parts]
    first = parts[0]
    given = {
        "controls": joined_fields([part.controls for part in parts], weights),
        "clipped": mean([part.clipped for part in parts], pairs),
        "rounding": max(part.rounding for part in parts),
        "pairs_total": sum(part.pairs_total for part in parts),
        "seen": tuple(dict.fromkeys(label for part in parts for label in part.seen)),
        "provenance": told_together([part.provenance for part in parts]),
        **{name: getattr(first, name) for name in SHARED},
    }
    others = [field.name for field in dataclasses.fields(Numbers) if field.name not in given]
    columns = {name: joined_values([getattr(part, name) for part in parts], weights) for name in others}
    return Effect(effects[0].question, Numbers(**given, **columns))


def joined_fields(parts: Sequence[Any], weights: Sequence[float]) -> Any:
    """A dataclass of which every field is joined."""
    names = [field.name for field in dataclasses.fields(parts[0])]
    return dataclasses.replace(
        parts[0], **{name: joined_values([getattr(part, name) for part in parts], weights) for name in names}
    )


def joined_values(given: Sequence[Any], weights: Sequence[float]) -> Any:
    """One value of each portion's, by what it is. What a portion lacks, all of them lack."""
    first = given[0]
    if any(one is None for one in given):
        return None
    if any(isinstance(one, SelfPatch) for one in given):
        return reduce(worse_self_patch, given)
    if any(isinstance(one, PositiveControl) for one in given) and any(isinstance(one, Waived) for one in given):
        # a portion that is its own control must not hide what the others measured
        return reduce(worse_positive, given)
    waived = next((one for one in given if isinstance(one, Waived)), None)
    if waived is not None:
        return waived
    if isinstance(first, PositiveControl):
        return dataclasses.replace(first, estimate=mean([one.estimate for one in given], weights))
    if isinstance(first, FullComponent):
        return dataclasses.replace(
            first,
            estimate=mean([one.estimate for one in given], weights),
            part=mean([one.part for one in given], weights),
        )
    if isinstance(first, Mapping):
        common = [name for name in first if all(name in one for one in given)]
        return {name: joined_values([one[name] for one in given], weights) for name in common}
    if isinstance(first, tuple) and first and isinstance(first[0], Elsewhere):
        return tuple(joined_fields(places, weights) for places in zip(*given, strict=True))
    if isinstance(first, tuple):
        return tuple(entry for one in given for entry in one)
    if dataclasses.is_dataclass(first):
        return joined_fields(given, weights)
    if any(one != first for one in given):
        raise TypeError(f"portions differ in {first!r}, and nothing says how such a value is joined")
    return first


def mean(numbers: Sequence[float], weights: Sequence[float]) -> float:
    """The mean by weights; the smallest where the weights have no sum."""
    total = math.fsum(weights)
    return math.fsum(n * w for n, w in zip(numbers, weights, strict=True)) / total if total else min(numbers)


def told_together(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Every note that a portion has; those that differ follow each other."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: "; ".join(dict.fromkeys(part[name] for part in parts if name in part)) for name in names}
