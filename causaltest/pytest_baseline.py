"""Baselines in a run of pytest: what --causal-save, --causal-compare and --causal-update ask of every claim.

A claim is compared where it runs, and what is to be kept of it travels in its report, so that one process writes
(pytest_kept.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from causaltest.asking.claims import Claim
from causaltest.asking.questions import experiments_of
from causaltest.baseline_options import Asked
from causaltest.effects import Measured
from causaltest.errors import RecordError
from causaltest.once import judging_seed
from causaltest.printable import printable
from causaltest.pytest_kept import kept, shown
from causaltest.recording.baseline import SUFFIX, Baseline, baseline_file, read_baseline
from causaltest.recording.saved import SavedClaim
from causaltest.report_properties import KEPT
from causaltest.results import ClaimResult

NEW, UNKEPT = "new", "not kept"
"""Causes of a claim that was compared with nothing."""
USUAL_MARGIN = 0.1
"""Of recovery and drop, which are shares of what there is to recover or to lose."""
MOVED = ("REGRESSED", "IMPROVED")


class Baselines:
    """The baselines that a run compares its claims with, each read once."""

    def __init__(self, config: pytest.Config) -> None:
        self.asked = Asked.of(config)
        self.top = config.rootpath
        self.seed = judging_seed(str(config.getoption("causal_seed")))
        self._read: dict[Path, Baseline | None] = {}

    def check(self, folders: Iterable[Path]) -> None:
        """Raises UsageError for a baseline of these folders that cannot be read: before anything is measured."""
        for folder in dict.fromkeys(folders):
            for name in filter(None, (self.asked.compare, self.asked.save)):
                try:
                    self.baseline(self.file(folder, name))
                except RecordError as error:
                    raise pytest.UsageError(printable(str(error))) from error

    def file(self, folder: Path, name: str) -> Path:
        """Where the baseline of a folder's claims stands."""
        return baseline_file(folder, name) if self.asked.folder is None else self.asked.folder / f"{name}{SUFFIX}"

    def baseline(self, file: Path) -> Baseline | None:
        """The baseline in a file as it was when it was first asked for; None where there is none."""
        if file not in self._read:
            try:
                self._read[file] = read_baseline(file)
            except FileNotFoundError:
                self._read[file] = None
        return self._read[file]

    def keeper(
        self, claim: Claim, folder: Path, properties: list[tuple[str, object]]
    ) -> Callable[[Callable[[], SavedClaim]], dict[str, Any]] | None:
        """What is done with a claim of a folder as it was measured; None where no option asks for anything."""
        if not self.asked.anything:
            return None

        def keep(make: Callable[[], SavedClaim]) -> dict[str, Any]:
            file = self.file(folder, self.asked.compare or self.asked.save or "")
            try:
                measured = make()
            except RecordError as error:
                return {**nothing(f"Not kept: {error}", UNKEPT), "id": "", "file": shown(file, self.top)}
            margin, whose = self.margin_of(claim, measured)
            measured = replace(measured, margin=margin)
            drift: dict[str, Any] = {}
            if self.asked.compare is not None:
                drift = self.compared(measured, file) | {
                    "id": measured.id,
                    "file": shown(file, self.top),
                    "whose": whose,
                }
                if drift["kept"] and self.asked.save != self.asked.compare:
                    properties.append((KEPT, kept(measured, file, drift["kept"], folder)))
            if self.asked.save is not None:
                properties.append((KEPT, kept(measured, self.file(folder, self.asked.save), "saved", folder)))
            return drift

        return keep

    def compared(self, now: SavedClaim, file: Path) -> dict[str, Any]:
        """A claim beside its baseline, as fields of its result; and as what it is to be kept, if at all."""
        baseline, invalid = self.baseline(file), now.told["verdict"] == "INVALID"
        before = None if baseline is None else baseline.claims.get(now.id)
        if before is None:
            if invalid:
                return nothing("There is no baseline of it, and an INVALID claim makes none.", UNKEPT)
            if baseline is None:
                return nothing("There was no baseline: this run is it.", NEW, kept="new")
            if self.asked.update is not None:
                return nothing("The baseline had no such claim: it is added now.", NEW, kept="new")
            return nothing("The baseline has no such claim yet: --causal-update=new adds it.", NEW)
        from causaltest.drifted import drifted  # late: a baseline that is only written compares nothing

        drift = drifted(before, now, margin=now.margin, seed=self.seed, across_models=self.asked.across_models)
        if before.margin is not None and before.margin != now.margin and drift.cause != "experiment":
            drift = replace(drift, sentence=f"{drift.sentence} In the baseline its margin was {before.margin:g}.")
        moved = drift.word in MOVED or drift.cause == "experiment" or before.told["verdict"] == "INVALID"
        replaced = self.asked.update == "changed" and moved and not invalid
        return {**finite(asdict(drift)), "kept": "changed" if replaced else ""}

    def fails(self, result: ClaimResult) -> bool:
        """Whether a claim fails for having regressed: unless that was just taken for its new baseline."""
        return self.asked.fail and result.drift.get("word") == "REGRESSED" and not result.drift["kept"]

    def margin_of(self, claim: Claim, measured: SavedClaim) -> tuple[float | None, str]:
        """The margin of a claim, and who has declared it: the claim, the suite, or nobody."""
        if claim.margin is not None:
            return float(claim.margin), "declared by the claim"
        if self.asked.margin is not None:
            return self.asked.margin, "declared for the suite"
        return usual_margin(effect for _, effect in measured.effects), "the default"


def usual_margin(effects: Iterable[Measured]) -> float | None:
    """That of recoveries and drops; None for effects in the units of their metric, or of values that were given."""
    quantities = {e.quantity for effect in effects for e in experiments_of(effect.question)}
    return USUAL_MARGIN if quantities and quantities <= {"recovery", "drop"} else None


def nothing(told: str, cause: str, *, kept: str = "") -> dict[str, Any]:
    """The drift of a claim that has none, and why."""
    return {"word": "", "cause": cause, "sentence": told, "kept": kept}


def finite(data: Any) -> Any:
    """The same of lists and mappings, with None for every number that does not exist."""
    if isinstance(data, Mapping):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
