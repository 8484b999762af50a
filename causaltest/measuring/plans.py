"""Plan: experiments on one set of pairs that are measured together, and what is read beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causaltest.asking.experiment import Experiment
from causaltest.measuring.attribution import estimating
from causaltest.measuring.batch import ReadArms
from causaltest.measuring.engine import Shortcuts


@dataclass(frozen=True)
class Plan:
    """Experiments in the order in which they are planned. Their order and the budget fix every bit of the numbers."""

    experiments: tuple[Experiment, ...]
    neutral: bool = False
    """With what `Study.neutral` reads."""
    roughly: bool = False
    """With what `Study.roughly` reads of the first."""

    @property
    def what(self) -> str:
        """What a progress bar calls it."""
        count, noun = len(self.experiments), "site" if self.neutral or self.roughly else "experiment"
        return f"1 {noun}" if count == 1 else f"{count} {noun}s"

    @property
    def estimates(self) -> bool:
        return self.experiments[0].patching.method.estimates

    @property
    def arms(self) -> ReadArms | None:
        """What reads all arms off the unpatched runs; None where they are run."""
        return estimating(self.experiments[0].patching.method) if self.estimates else None

    def parts_key(self, shortcuts: Shortcuts, budget: int) -> tuple[list[str], dict[str, bool], list[Any]]:
        """What tells the parts of this plan from all others of its model: its members, what is read beside them, and
        what decides its waves."""
        flags = {"neutral": self.neutral, "roughly": self.roughly}
        return (
            [e.digest for e in self.experiments],
            flags,
            [shortcuts.forks, shortcuts.trims, len(shortcuts.fused), budget],
        )
