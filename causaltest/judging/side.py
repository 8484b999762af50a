"""Side: which way a claim points, and so whether a change of its effect is for it or against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from causaltest.asking.orderings import Ordering
from causaltest.asking.predictions import Prediction, negligible, unchanged

Word = Literal["HOLDS", "REGRESSED", "IMPROVED", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Side:
    """Above a threshold, below one, or about a middle."""

    way: Literal["up", "down", "about"]
    middle: float = 0.0
    """Of a range that is claimed."""

    def against(self, before: float, after: float) -> float:
        """How far the effect moved against the claim, on the face of the two estimates."""
        if self.way == "about":
            return abs(after - self.middle) - abs(before - self.middle)
        return before - after if self.way == "up" else after - before

    def question(self, margin: float) -> Prediction:
        """What the paired test is asked: of a claim that points down, about the change turned round."""
        return negligible(within=margin) if self.way == "about" else unchanged(margin=margin)

    def says(self, word: Word, margin: float) -> str:
        """What a word means for a claim of this side."""
        by = f"by more than the margin of {margin:g}"
        if self.way == "about":
            return {
                "HOLDS": f"It has not moved {by}",
                "REGRESSED": f"It is further from {self.middle:g}, {by}",
                "IMPROVED": f"It is nearer to {self.middle:g}, {by}",
                "INCONCLUSIVE": f"Whether it moved {by} is open",
            }[word]
        worse, better = ("fallen", "risen") if self.way == "up" else ("risen", "fallen")
        return {
            "HOLDS": f"It has not {worse} {by}",
            "REGRESSED": f"It has {worse} {by}",
            "IMPROVED": f"It has {better} {by}",
            "INCONCLUSIVE": f"Whether it has {worse} {by} is open",
        }[word]


def side_of(prediction: Prediction | Ordering) -> Side:
    """A claim of `at_least` and its kin points up, of `at_most` down; a range or `negligible` holds about its middle.

    The steps of an order are claimed to lie above zero.
    """
    if not isinstance(prediction, Prediction):
        return Side("up")
    if prediction.is_two_sided:
        return Side("about", (prediction.floor + prediction.ceiling) / 2)
    return Side("down" if prediction.relation == "at_most" else "up")
