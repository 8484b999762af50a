"""What a run keeps of its claims: from the report of each, by whichever process it ran in, to the baselines' files.

kept         a claim as the text that its report carries
finish       at the end, where all reports arrive
-> left_out  the claims of a baseline that the run did not measure
-> write_kept -> write_one  each file read again, merged and written
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from causaltest.baseline_options import Asked, in_ci
from causaltest.covered import covers
from causaltest.errors import RecordError
from causaltest.recording.baseline import Baseline, read_baseline, write_baseline
from causaltest.recording.saved import SavedClaim, claim_of, plain_claim
from causaltest.recording.wording import counted

MOST_NAMED = 5


class Results(Protocol):
    """Where the results of all claims arrive, as the plugin has it."""

    lines: dict[str, str]
    kept: list[str]
    notes: list[str]

    def fail(self, session: pytest.Session, told: str) -> None:
        """Says it in the report and fails the run."""


def kept(claim: SavedClaim, file: Path, how: str, folder: Path) -> str:
    """A claim to be written, as text that travels from a worker: its numbers are plain floats."""
    return json.dumps({"file": str(file), "how": how, "folder": str(folder), "claim": plain_claim(claim)})


def finish(results: Results, session: pytest.Session) -> None:
    """Writes what is to be kept, and names the claims of a baseline that the run has left out."""
    top, asked = session.config.rootpath, Asked.of(session.config)
    told = [json.loads(line) for line in results.lines.values()]
    drifts = [result["drift"] for result in told if result["drift"]]
    failed = [name for result in told if not result["drift"] for name in (result["id"], result["nodeid"])]
    stopped = session.shouldstop or session.shouldfail
    for file in dict.fromkeys(drift["file"] for drift in drifts):
        measured = [drift["id"] for drift in drifts if drift["file"] == file]
        beside = not stopped and asked.folder is None and covers(session.config, (top / file).parent.parent)
        results.notes += left_out(top / file, file, measured, failed) if beside else []
    try:
        results.notes += written_lines(write_kept(results.kept), top)
    except (OSError, RecordError) as error:
        why = f"the baseline could not be written: {error}"
        if asked.save is None and asked.update is None:
            # Nobody has asked for it: it would only have been created beside.
            results.notes.append(why)
        else:
            results.fail(session, why)


def left_out(path: Path, file: str, measured: Iterable[str], failed: Sequence[str]) -> list[str]:
    """Names a baseline's claims that were not measured, in one sentence; those that failed are told of elsewhere."""
    try:
        absent = sorted(set(read_baseline(path).claims) - set(measured))
    except (OSError, RecordError):
        # None yet, or one that is told of elsewhere.
        return []
    gone = [id for id in absent if not any(name == id or name.endswith(f"/{id}") for name in failed)]
    if not gone:
        return []
    more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
    # An id that would rewrite the terminal, as a file of somebody else may hold, is shown escaped.
    named = ", ".join(id if id.isprintable() else repr(id) for id in gone[:MOST_NAMED])
    one = len(gone) == 1
    return [
        f"baseline {file} has {'a claim that was' if one else f'{len(gone)} claims that were'} not measured now: "
        f"{named}{more}. If {'it was' if one else 'they were'} renamed or removed on purpose, delete the file and save "
        "again with --causal-save."
    ]


def shown(file: Path, top: Path) -> str:
    """A baseline's file as it is named in reports."""
    return file.relative_to(top).as_posix() if file.is_relative_to(top) else str(file)


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
    by_file: dict[Path, list[Kept]] = {}
    for line in lines:
        data = json.loads(line)
        one = Kept(data["how"], data["folder"], claim_of(data["claim"]))
        by_file.setdefault(Path(data["file"]), []).append(one)
    return [write_one(file, claims) for file, claims in sorted(by_file.items())]


@dataclass(frozen=True)
class Kept:
    """A claim that is to be written."""

    how: str
    """"saved", "new" or "changed"."""
    folder: str
    """That of its record, or of its file."""
    claim: SavedClaim


def write_one(file: Path, claims: Sequence[Kept]) -> Written:
    try:
        # Read again: another run may have written it while this one measured.
        before, created = read_baseline(file), False
    except FileNotFoundError:
        before, created = Baseline({}), True
    latest: dict[str, Kept] = {}
    for one in claims:
        other = latest.setdefault(one.claim.id, one)
        if other.folder != one.folder:
            raise RecordError(
                f"{file} would hold two claims with the id {one.claim.id!r}, of {other.folder} and {one.folder}: run "
                "one folder at a time, or leave out --causal-baselines."
            )
        # A test that was run again: what came last counts, as in every report.
        latest[one.claim.id] = one
    after = before.with_claims(one.claim for one in latest.values())
    write_baseline(file, after)
    hows = [one.how for one in latest.values()]
    return Written(
        file, {how: hows.count(how) for how in dict.fromkeys(hows)}, created, len(after.claims) - len(latest)
    )


def written_lines(written: Iterable[Written], top: Path) -> list[str]:
    """What was written, a sentence each."""
    return [sentence_of(w, shown(w.file, top)) for w in written]


def sentence_of(written: Written, file: str) -> str:
    total = sum(written.counts.values())
    if written.created:
        ours = " CI is set: what is not committed is gone with this machine." if in_ci() else ""
        named = f"{file} with {counted(total, 'claim')}"
        return f"baseline created: {named}. Commit it; --causal-compare compares with it.{ours}"
    words = {"saved": "saved", "new": "added", "changed": "replaced"}
    told = ", ".join(f"{counted(n, 'claim')} {words[how]}" for how, n in written.counts.items())
    rest = f"; {counted(written.stayed, 'claim')} left as {'it was' if written.stayed == 1 else 'they were'}"
    return f"baseline {file}: {told}{rest if written.stayed else ''}"
