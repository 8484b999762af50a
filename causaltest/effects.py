"""Effects: several effects on the same pairs, by name, for claims about their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from causaltest.effect import (
    Controls,
    Effect,
    Numbers,
    Question,
    Waived,
    larger_excess,
    paired_difference,
    smaller_distances,
    worse_positive,
    worse_self_patch,
)
from causaltest.errors import ClaimError, JudgementError

Name = Hashable
NAMED_IN_FULL = 4


@dataclass(frozen=True)
class Effects:
    """Effects by name, such as one per layer; in rehearsal each is the promise of one.

    Raises JudgementError without any effect, or when two are not about the same pairs by the same kind of metric.
    """

    members: Mapping[Name, Effect]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", dict(self.members))
        if not self.members:
            raise JudgementError("The mapping of effects is empty: return at least two, each under its name.")
        for name, effect in self.members.items():
            if not isinstance(effect, Effect):
                raise JudgementError(
                    f"The mapping holds {type(effect).__name__} under {name!r}, and each entry must be an Effect: end "
                    "it with .recovery(metric) or its kin."
                )
        if not self.in_rehearsal:
            self._check_same_pairs()

    def _check_same_pairs(self) -> None:
        (first, effect), *others = self.members.items()
        for name, other in others:
            try:
                paired_difference(effect.measured, other.measured)
            except JudgementError as error:
                raise JudgementError(f"Of the effects {first!r} and {name!r}: {error}") from None

    @property
    def in_rehearsal(self) -> bool:
        return any(effect.numbers is None for effect in self.members.values())

    @property
    def question(self) -> Question | None:
        """All their questions as one; None where no member has any."""
        questions = {name: effect.question for name, effect in self.members.items()}
        return Together(questions) if any(q is not None for q in questions.values()) else None

    @cached_property
    def joint(self) -> Effect:
        """A stand-in for what the members share: pairs and clusters; and of each control the worst.

        Its values are those of the first member. Raises RehearsalRead in rehearsal.
        """
        every = [effect.measured for effect in self.members.values()]
        numbers = dataclasses.replace(
            every[0],
            controls=reduce(worse_controls, every[1:], every[0]).controls,
            clipped=max(numbers.clipped for numbers in every),
            rounding=max(numbers.rounding for numbers in every),
            seen=tuple(dict.fromkeys(label for numbers in every for label in numbers.seen)),
        )
        waived = Waived("the control of a comparison is its other members")
        numbers = dataclasses.replace(numbers, controls=dataclasses.replace(numbers.controls, placebo=waived))
        return Effect(self.question, numbers)

    def __getitem__(self, name: Name) -> Effect:
        if name not in self.members:
            raise JudgementError(f"There is no effect under {name!r}; the mapping holds {list(self.members)}.")
        return self.members[name]

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"Effects({', '.join(f'{name!r}: {effect!r}' for name, effect in self.members.items())})"

    def __bool__(self) -> bool:
        raise ClaimError("Effects are neither true nor false: return them from a @claim, or judge them.")


@dataclass(frozen=True)
class Together:
    """The question of several effects."""

    questions: Mapping[Name, Question | None]

    @property
    def summary(self) -> str:
        return self._told({name: "values" if q is None else q.summary for name, q in self.questions.items()})

    @property
    def site(self) -> str:
        return self._told({name: "values" if q is None else q.site for name, q in self.questions.items()})

    def canonical(self) -> dict[str, Any]:
        return {
            "effects": [
                [name if isinstance(name, int | str) else repr(name), None if q is None else q.canonical()]
                for name, q in self.questions.items()
            ]
        }

    def _told(self, words: Mapping[Name, str]) -> str:
        told = [f"{name}: {word}" for name, word in words.items()]
        if len(told) > NAMED_IN_FULL:
            told = [told[0], f"{len(told) - 2} more", told[-1]]
        return "; ".join(told)


Measured = Effect | Effects
"""What a claim's body returns."""


def members_of(effect: Measured | None) -> list[Effect]:
    """The effect, or each of several; none where there is none."""
    if effect is None:
        return []
    return [effect] if isinstance(effect, Effect) else list(effect.members.values())


def worse_controls(first: Numbers, second: Numbers) -> Numbers:
    """The first, with the worse of each control of the two."""
    where = {pair_id: i for i, pair_id in enumerate(second.pair_ids)}
    order = [where[pair_id] for pair_id in first.pair_ids]
    ours, theirs = first.controls, second.controls
    return dataclasses.replace(
        first,
        controls=Controls(
            self_patch=worse_self_patch(ours.self_patch, theirs.self_patch),
            positive=worse_positive(ours.positive, theirs.positive),
            distance=smaller_distances(ours.distance, theirs.distance, order),
            full=larger_excess(ours.full, theirs.full),
        ),
    )
