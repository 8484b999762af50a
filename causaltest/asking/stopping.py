"""Stopping rules: how a claim may be looked at before all of its pairs are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from causaltest.errors import ClaimError

StoppingRule = Literal["obrien-fleming", "anytime"]

USUAL_LOOKS: dict[StoppingRule, int] = {"obrien-fleming": 4, "anytime": 20}
MOST_LOOKS: dict[StoppingRule, int] = {"obrien-fleming": 20, "anytime": 1000}
"""More looks of O'Brien-Fleming hardly stop earlier, and each of them asks more of the pairs."""


@dataclass(frozen=True)
class Stopping:
    """A rule by which alpha is spent over looks, and how many looks are planned."""

    rule: StoppingRule
    looks: int

    def __str__(self) -> str:
        return f"{self.rule}, {self.looks} looks"


def stopping_of(rule: StoppingRule | None, looks: int | None) -> Stopping | None:
    """The rule as it was declared; None where all pairs are measured and looked at once.

    Raises ClaimError for a rule that is not known, and for looks that are no number from 2 or have no rule.
    """
    if rule is None:
        if looks is not None:
            raise ClaimError(
                f'looks={looks} needs a rule that pays for them: stopping="obrien-fleming" or stopping="anytime". '
                "Looking again and again at one alpha finds an effect in a sixth of all nulls."
            )
        return None
    if rule not in get_args(StoppingRule):
        raise ClaimError(f"stopping={rule!r} is not known; it is one of {', '.join(get_args(StoppingRule))}.")
    looks = USUAL_LOOKS[rule] if looks is None else looks
    most = MOST_LOOKS[rule]
    if type(looks) is not int or not 2 <= looks <= most:
        raise ClaimError(f"looks={looks!r} must be a whole number from 2 to {most}; without a rule there is one look.")
    return Stopping(rule, looks)
