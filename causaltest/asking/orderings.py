"""Orderings: predictions about several effects on the same pairs, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from numbers import Real

from causaltest.asking.predictions import Prediction, check_errors, check_smallest
from causaltest.errors import ClaimError
from causaltest.plain_numbers import make_plain

Name = Hashable
"""A key of the mapping that a claim's body returns: a layer, a head, a word."""


class Compared:
    """What any prediction about several effects asks of two of them, and at which size."""

    expecting: float | None
    power: float
    alpha: float
    smallest: float | None

    @property
    def threshold(self) -> None:
        """An order has none."""

    @property
    def assumed(self) -> float | None:
        """The size, of the smallest step or of the lead, for which the pairs needed are counted."""
        return self.smallest if self.expecting is None else self.expecting

    @property
    def comparison(self) -> Prediction:
        """What is asked of two members: that the later or the named one has the larger effect."""
        return Prediction("greater_than", 0.0, power=self.power, alpha=self.alpha)


@dataclass(frozen=True)
class Monotone(Compared):
    """The effects rise along the order. `expecting` and `smallest` are of the smallest step."""

    order: tuple[Name, ...]
    expecting: float | None = None
    power: float = 0.8
    alpha: float = 0.05
    smallest: float | None = None

    def __post_init__(self) -> None:
        check_names("monotone", self.order)
        if len(self.order) < 3:
            raise ClaimError(
                f"monotone({list(self.order)!r}) is a trend, and needs three effects or more. Of two, return the "
                "difference, late - early, and claim greater_than(0)."
            )
        check_sizes(self)

    def __str__(self) -> str:
        return f"rising {' < '.join(shortened(self.order))}"


@dataclass(frozen=True)
class Top(Compared):
    """The named effects are among the k largest. `expecting` and `smallest` are of the lead over the others."""

    k: int
    names: tuple[Name, ...]
    expecting: float | None = None
    power: float = 0.8
    alpha: float = 0.05
    smallest: float | None = None

    def __post_init__(self) -> None:
        check_names("top", self.names)
        if type(self.k) is not int or self.k < len(self.names):
            raise ClaimError(
                f"top(k={self.k!r}, {list(self.names)!r}): k is a whole number, at least as large as the "
                f"{len(self.names)} named."
            )
        check_sizes(self)

    def __str__(self) -> str:
        return f"{' and '.join(shortened(self.names))} in the top {self.k}"


Ordering = Monotone | Top


def monotone(
    order: Iterable[Name],
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Monotone:
    """The effects that the body returns by name rise along `order`, from the smallest to the largest.

    Raises ClaimError for an order of fewer than three names, or with one of them twice.
    """
    return Monotone(as_names(order), expecting, power, alpha, smallest)


def top(
    k: int,
    names: Name | list[Name],
    *,
    expecting: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    smallest: float | None = None,
) -> Top:
    """The named effects (one name, or a list of them) are among the k largest of those that the body returns.

    Raises ClaimError when k is smaller than the number of names.
    """
    return Top(k, tuple(names) if isinstance(names, list) else (names,), expecting, power, alpha, smallest)


def as_names(order: Iterable[Name]) -> tuple[Name, ...]:
    if isinstance(order, str) or not isinstance(order, Iterable):
        raise ClaimError(f"monotone takes a list of names, as in monotone([3, 6, 9]), and got {order!r}.")
    return tuple(order)


def check_names(word: str, names: tuple[Name, ...]) -> None:
    if not names:
        raise ClaimError(f"{word} names no effect: give the keys of the mapping that the body returns.")
    odd = next((name for name in names if not isinstance(name, Hashable)), None)
    if odd is not None:
        raise ClaimError(f"{word} names {odd!r}, which cannot be the key of a mapping.")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ClaimError(f"{word} names {twice!r} twice: give every effect once.")


def check_sizes(ordering: Monotone | Top) -> None:
    check_errors(ordering.alpha, ordering.power)
    check_smallest(ordering.smallest)
    for word, size in (("expecting", ordering.expecting), ("smallest", ordering.smallest)):
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, Real) or not math.isfinite(size) or size <= 0:
            raise ClaimError(f"{word}={size!r} would not make {ordering} true; a step or a lead lies above 0.")
    make_plain(ordering, "expecting", "power", "alpha", "smallest")


def shortened(names: tuple[Name, ...]) -> list[str]:
    """At most five of them."""
    words = [str(name) for name in names]
    return words if len(words) <= 5 else [*words[:2], "...", *words[-2:]]


def mismatch(prediction: Prediction | Ordering, *, several: bool) -> str | None:
    """What to return instead, where a prediction about one effect meets several, or the reverse."""
    if several and isinstance(prediction, Prediction):
        return (
            f"the prediction {prediction} is about one effect, and a mapping of several was given. Return one Effect, "
            "or claim monotone([...]) or top(k, name) of the mapping."
        )
    if not several and not isinstance(prediction, Prediction):
        return (
            f"the prediction {prediction} is about several effects, and one was given. Return a mapping from names to "
            "effects on the same pairs, such as {3: effect, 6: effect, 9: effect}."
        )
    return None
