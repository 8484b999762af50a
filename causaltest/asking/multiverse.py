"""Multiverse: the variants of one claim, declared together before any is measured.

A result that hangs on one arbitrary choice (the metric, how prompts were corrupted, the seed) is no finding. Running
every reasonable choice and showing them all is a multiverse analysis (Steegen et al. 2016, Perspectives on
Psychological Science 11:702).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from causaltest.asking.metrics import Metric
from causaltest.errors import ClaimError

MULTIVERSE_ATTRIBUTE = "__causal_multiverse__"
MOST_VARIANTS = 1000
WITHOUT_PARAMETER = ("model", "seed")
"""Axes that change the lab, so that the body need not know of them."""
LONGEST_LABEL = 60


@dataclass(frozen=True)
class Variant:
    """One choice on every axis."""

    name: str
    choices: Mapping[str, Any]


@dataclass(frozen=True)
class Multiverse:
    """The axes of a claim, and the share of all their combinations that must hold."""

    axes: Mapping[str, tuple[Any, ...]]
    share: float = 1.0

    @property
    def count(self) -> int:
        return math.prod(len(values) for values in self.axes.values())

    @property
    def needed(self) -> int:
        """How many variants must hold: the share of all, rounded up."""
        # 0.1 * 30 is 3.0000000000000004, and 3 of 30 are a tenth.
        return max(1, math.ceil(round(self.share * self.count, 9)))

    def variants(self) -> tuple[Variant, ...]:
        """All combinations, the last axis changing first."""
        labelled = [list(zip(labels(values), values, strict=True)) for values in self.axes.values()]
        return tuple(
            Variant(
                ", ".join(f"{axis}={label}" for axis, (label, _) in zip(self.axes, chosen, strict=True)),
                {axis: value for axis, (_, value) in zip(self.axes, chosen, strict=True)},
            )
            for chosen in itertools.product(*labelled)
        )

    def fit(self, sentence: str, parameters: Iterable[str]) -> None:
        """Raises ClaimError for an axis that the body has no parameter for."""
        known = tuple(parameters)
        for axis in self.axes:
            if axis not in known and axis not in WITHOUT_PARAMETER:
                raise ClaimError(
                    f"claim.multiverse({axis}=[...]): the body of {sentence!r} has no parameter {axis!r}, so its "
                    f"variants would all be the same. It has {', '.join(known) or 'none'}; add {axis} to them."
                )


def multiverse_of(axes: Mapping[str, Any], share: float) -> Multiverse:
    """The axes as they were declared.

    Raises ClaimError without axes, for an axis that is no list, is empty or has one value twice, for a share outside
    (0, 1], and for more combinations than 1000.
    """
    if not axes:
        raise ClaimError("claim.multiverse() has no axis; give one as metric=[logit_diff, accuracy].")
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise ClaimError(
            f"share={share!r} must lie above 0 and be at most 1: the share of the variants that must hold. "
            "1 is the default: all of them."
        )
    made = Multiverse({axis: values_of(axis, given) for axis, given in axes.items()}, float(share))
    if made.count > MOST_VARIANTS:
        sizes = " x ".join(str(len(values)) for values in made.axes.values())
        raise ClaimError(
            f"claim.multiverse has {sizes} = {made.count:,} combinations, and {MOST_VARIANTS:,} are accepted: each is "
            "an experiment with all of its controls. Leave out the choices that nobody would defend."
        )
    return made


def values_of(axis: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        one = label(given) if isinstance(given, Metric) else repr(given)
        raise ClaimError(f"claim.multiverse({axis}={one}) takes a list of values: {axis}=[{one}, ...].")
    values = tuple(given)
    if not values:
        raise ClaimError(f"claim.multiverse({axis}=[]) has no values, so there is nothing to measure.")
    for i, value in enumerate(values):
        if any(alike(value, other) for other in values[:i]):
            raise ClaimError(
                f"claim.multiverse({axis}=[...]) has {label(value)} twice: a variant counts once, or its vote would "
                "count double."
            )
    if axis == "model" and not all(isinstance(value, str) and value for value in values):
        raise ClaimError(f'claim.multiverse(model=[...]) takes names such as "organism:ducks", and got {values!r}.')
    return values


def alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:
        # Arrays and the like have no single answer; two of them are two choices.
        return False


def labels(values: tuple[Any, ...]) -> tuple[str, ...]:
    """A short name for each value; those that read alike are told apart by what they hold, or by number."""
    for named in (label, detail):
        names = tuple(named(value) for value in values)
        if len(set(names)) == len(names):
            return names
    return tuple(f"{name} #{i}" for i, name in enumerate(names, 1))


def detail(value: Any) -> str:
    """A metric with its range, which its own name leaves out."""
    if not isinstance(value, Metric) or value.range is None:
        return label(value)
    return f"{value}({value.range[0]:g} to {value.range[1]:g})"


def label(value: Any) -> str:
    """What a report calls a value."""
    if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
        return str(value.__name__)
    text = str(value)
    return text if len(text) <= LONGEST_LABEL and not text.startswith("<") else type(value).__name__
