"""Members: several effects ready to be compared; and what a procedure found about their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from causaltest.asking.orderings import Name
from causaltest.effects import Effects
from causaltest.judging.bounds import Bound
from causaltest.judging.comparing import Comparison, comparison_of
from causaltest.judging.sample import Layouts, Sample
from causaltest.judging.settings import Asked, Settings


@dataclass(frozen=True, eq=False)
class Members:
    """The members of the claim in canonical order of their pairs, and what was fixed for all of them."""

    effects: Effects
    samples: dict[Name, Sample]
    settings: Settings
    asked: Asked
    layouts: Layouts

    @property
    def sample(self) -> Sample:
        """Any of them, for what they share."""
        return next(iter(self.samples.values()))

    def against(self, first: Name, second: Name) -> Comparison:
        found = comparison_of(self.effects[first], self.effects[second], self.settings.prediction, self.layouts)
        if self.asked.minimum_units is None:
            return found
        rule = dataclasses.replace(found.rule, minimum_units=self.asked.minimum_units)
        return dataclasses.replace(found, rule=rule)


@dataclass(frozen=True, eq=False)
class Found:
    """What the procedures say: the number shown, its bounds, the p-value, and the words for them."""

    estimate: float
    bound: Bound
    p: float
    procedures: tuple[str, ...]
    comparisons: Sequence[Comparison]
    observed: str
    refuted: str
    supported: str
    undecided: str
    shown: str
    """What the number shown is."""
    notes: tuple[str, ...] = ()
    when_supported: tuple[str, ...] = ()
    is_trend: bool = False
    """Whether the claim can be SUPPORTED while the bounds of the number shown include zero."""

    @property
    def minimum_units(self) -> int:
        return max(c.rule.minimum_units for c in self.comparisons)
