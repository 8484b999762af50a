"""What tests are given by fixtures: a maker of labs, and the folder of the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from causaltest.asking.lab import Lab
from causaltest.asking.stopping import Stopping
from causaltest.report_properties import SAID
from causaltest.survivors import Survivors
from causaltest.sweep import SweepMap


@dataclass(frozen=True)
class LabMaker:
    """`make_lab`: a model's name to its lab. In rehearsal, to a lab that measures nothing."""

    make: Callable[[str], Lab]
    made: list[Lab] = field(default_factory=list, compare=False)
    """The labs that were asked for."""

    def __call__(self, name: str) -> Lab:
        lab = self.make(name)
        self.made.append(lab)
        return lab

    def rehearsal(self) -> LabMaker:
        """The same without models."""
        return LabMaker(lambda name: self(name).rehearsal())

    def in_portion(self, stopping: Stopping, look: int) -> LabMaker:
        """The same, whose labs measure what is new at a look."""
        return LabMaker(lambda name: self(name).in_portion(stopping, look))


@dataclass(frozen=True)
class ReportFolder:
    """Where maps and figures of a run go."""

    path: Path
    _properties: list[tuple[str, object]]

    def rehearsal(self) -> ReportFolder:
        """A folder that nobody sees, for a body that is only rehearsed."""
        return ReportFolder(self.path, [])

    def say(self, text: str) -> None:
        """Prints a text in the report's section, also when the test passes or runs on a worker."""
        self._properties.append((SAID, str(text)))

    def heatmap(self, sweep: SweepMap, name: str, *, title: str = "", survivors: Survivors | None = None) -> Path:
        """A PNG of a sweep: estimates, what moved nothing crossed out, and what survives framed."""
        from causaltest.reporting.plots import heatmap

        path = (self.path / name).with_suffix(".png")
        return heatmap(sweep, path, title=title or sweep.summary, survivors=survivors)
