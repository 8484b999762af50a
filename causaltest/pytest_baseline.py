"""Baselines in a run of pytest: what --causal-save, --causal-compare and --causal-update ask of every claim.

A claim is compared where it runs, and what is to be kept of it travels in its report, so that one process writes.

Baselines.keeper -> compared   a claim beside its baseline
                 -> kept       the property of the report, where it is to be written
write_kept                     all of them, at the end, where all reports arrive
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from causaltest.asking.claims import Claim
from causaltest.asking.questions import experiments_of
from causaltest.baseline_options import Asked, in_ci
from causaltest.effects import Measured
from causaltest.errors import RecordError
from causaltest.once import judging_seed
from causaltest.recording.baseline import Baseline, baseline_file, read_baseline, write_baseline
from causaltest.recording.saved import SavedClaim, claim_of, plain_claim
from causaltest.results import ClaimResult

KEPT = "causaltest kept"
MOST_NAMED = 5
USUAL_MARGIN = 0.1
"""Of recovery and drop, which are shares of what there is to recover or to lose."""
MOVED = ("REGRESSED", "IMPROVED")


class Results(Protocol):
    """Where the results of all claims arrive, as the plugin has it."""

    lines: dict[str, str]
    kept: list[str]
    notes: list[str]

    def fail(self, session: pytest.Session, told: str) -> None:
        """Says it in the report and fails the run."""


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
                    self.baseline(baseline_file(folder, name))
                except RecordError as error:
                    raise pytest.UsageError(str(error)) from error

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
    ) -> Callable[[SavedClaim], dict[str, Any]] | None:
        """What is done with a claim of a folder as it was measured; None where no option asks for anything."""
        if not self.asked.anything:
            return None

        def keep(measured: SavedClaim) -> dict[str, Any]:
            margin, whose = self.margin_of(claim, measured)
            measured = replace(measured, margin=margin)
            drift: dict[str, Any] = {}
            if self.asked.compare is not None:
                file = baseline_file(folder, self.asked.compare)
                drift = self.compared(measured, file) | {"id": measured.id, "file": self.shown(file), "whose": whose}
                if drift["kept"] and self.asked.save != self.asked.compare:
                    properties.append((KEPT, kept(measured, file, drift["kept"])))
            if self.asked.save is not None:
                properties.append((KEPT, kept(measured, baseline_file(folder, self.asked.save), "saved")))
            return drift

        return keep

    def compared(self, now: SavedClaim, file: Path) -> dict[str, Any]:
        """A claim beside its baseline, as fields of its result; and as what it is to be kept, if at all."""
        baseline, invalid = self.baseline(file), now.told["verdict"] == "INVALID"
        before = None if baseline is None else baseline.claims.get(now.id)
        if before is None:
            new = baseline is None or self.asked.update is not None
            told = "There was no baseline: this run is it." if baseline is None else "The baseline has no such claim"
            if invalid:
                told = "There is no baseline, and an INVALID claim is none."
            elif baseline is not None:
                told += ": it is added now." if new else " yet: --causal-update=new adds it."
            return {"word": "", "cause": "", "sentence": told, "kept": "" if invalid or not new else "new"}
        from causaltest.drifted import drifted  # late: a baseline that is only written compares nothing

        drift = drifted(before, now, margin=now.margin, seed=self.seed)
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

    def shown(self, file: Path) -> str:
        """A file as it is named in reports."""
        return file.relative_to(self.top).as_posix() if file.is_relative_to(self.top) else str(file)


def usual_margin(effects: Iterable[Measured]) -> float | None:
    """That of recoveries and drops; None for effects in the units of their metric, or of values that were given."""
    quantities = {e.quantity for effect in effects for e in experiments_of(effect.question)}
    return USUAL_MARGIN if quantities and quantities <= {"recovery", "drop"} else None


def kept(claim: SavedClaim, file: Path, how: str) -> str:
    """A claim to be written, as text that travels from a worker: its numbers are plain floats."""
    return json.dumps({"file": str(file), "how": how, "claim": plain_claim(claim)})


@dataclass(frozen=True)
class Written:
    """A baseline that a run has written, and how many of its claims."""

    file: Path
    counts: Mapping[str, int]
    created: bool
    stayed: int
    """Claims of the file that this run has not touched."""


def write_kept(lines: Iterable[str]) -> list[Written]:
    """Writes what reports have brought, one file after the other; claims that did not run stay as they are.

    Raises OSError where a file cannot be written, and RecordError where the one that is there cannot be read.
    """
    by_file: dict[Path, list[tuple[str, SavedClaim]]] = {}
    for line in lines:
        data = json.loads(line)
        by_file.setdefault(Path(data["file"]), []).append((data["how"], claim_of(data["claim"])))
    return [write_one(file, claims) for file, claims in sorted(by_file.items())]


def write_one(file: Path, claims: Sequence[tuple[str, SavedClaim]]) -> Written:
    try:
        # Read again: another run may have written it while this one measured.
        before, created = read_baseline(file), False
    except FileNotFoundError:
        before, created = Baseline({}), True
    latest = {claim.id: (how, claim) for how, claim in claims}
    after = before.with_claims(claim for _, claim in latest.values())
    write_baseline(file, after)
    hows = [how for how, _ in latest.values()]
    return Written(
        file, {how: hows.count(how) for how in dict.fromkeys(hows)}, created, len(after.claims) - len(latest)
    )


def written_lines(written: Iterable[Written], top: Path) -> list[str]:
    """What was written, a sentence each."""
    return [sentence_of(w, w.file.relative_to(top) if w.file.is_relative_to(top) else w.file) for w in written]


def sentence_of(written: Written, file: Path) -> str:
    total = sum(written.counts.values())
    if written.created:
        ours = " CI is set: what is not committed is gone with this machine." if in_ci() else ""
        return f"baseline created: {file.as_posix()} with {claims(total)}. Commit it, and later runs compare.{ours}"
    words = {"saved": "saved", "new": "added", "changed": "replaced"}
    told = ", ".join(f"{claims(n)} {words[how]}" for how, n in written.counts.items())
    return f"baseline {file.as_posix()}: {told}; {claims(written.stayed)} left as they were"


def claims(n: int) -> str:
    return "1 claim" if n == 1 else f"{n} claims"


def finish(results: Results, session: pytest.Session) -> None:
    """Writes what is to be kept, and names the claims of a baseline that the run has left out."""
    top = session.config.rootpath
    drifts = [drift for line in results.lines.values() if (drift := json.loads(line)["drift"])]
    for file in dict.fromkeys(drift["file"] for drift in drifts):
        measured = [drift["id"] for drift in drifts if drift["file"] == file]
        results.notes += left_out(top / file, file, measured) if whole(session, top / file) else []
    try:
        results.notes += written_lines(write_kept(results.kept), top)
    except (OSError, RecordError) as error:
        results.fail(session, f"the baseline could not be written: {error}")


def left_out(path: Path, file: str, measured: Iterable[str]) -> list[str]:
    """Names a baseline's claims that were not measured, in one sentence."""
    try:
        gone = sorted(set(read_baseline(path).claims) - set(measured))
    except (OSError, RecordError):
        # None yet, or one that is told of elsewhere.
        return []
    if not gone:
        return []
    more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
    named = ", ".join(gone[:MOST_NAMED])
    return [
        f"in {file} and not measured now: {named}{more}. If {'it was' if len(gone) == 1 else 'they were'} renamed or "
        "removed on purpose, delete the file and save again with --causal-save."
    ]


def whole(session: pytest.Session, file: Path) -> bool:
    """Whether all claims of a baseline's folder were asked to run."""
    option, folder = session.config.option, file.parent.parent
    chosen = [
        getattr(option, name, None) for name in ("keyword", "markexpr", "lf", "deselect", "ignore", "ignore_glob")
    ]
    if any(chosen) or session.shouldstop or session.shouldfail:
        return False
    roots = [session.config.invocation_params.dir / argument for argument in session.config.args]
    return any("::" not in str(root) and folder.is_relative_to(root.resolve()) for root in roots)


def finite(data: Any) -> Any:
    """The same of lists and mappings, with None for every number that does not exist."""
    if isinstance(data, Mapping):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
