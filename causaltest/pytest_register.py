"""Registering: the claims of a pytest run are rehearsed, and enter the lock of their folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from causaltest.asking.claims import Claim
from causaltest.covered import covers
from causaltest.effects import Measured
from causaltest.errors import RecordError
from causaltest.once import labs_of
from causaltest.printable import printable
from causaltest.promised import promised
from causaltest.quiet_setup import QuietSetup
from causaltest.recorded import as_spec
from causaltest.recording.amendment import Amended, amend
from causaltest.recording.earlier import Earlier
from causaltest.recording.record import Record, Records
from causaltest.recording.registration import Candidate, Registered, register
from causaltest.recording.seen import SeenLog, sightings_of
from causaltest.recording.sighted import Sighted
from causaltest.recording.spec import Sources
from causaltest.recording.wording import counted
from causaltest.refusals import why_refused
from causaltest.results import Known

Prepared = tuple[Claim, Mapping[str, Any], Known]

NAMED = 10
"""Claims that are named, where the same is told of many."""


def prepare(config: pytest.Config) -> None:
    """Says what is registered where no path was given: the folder `claims`, else pytest's own testpaths.

    Raises UsageError for workers, each of which would write a lock of its part, and where there is nothing to name.
    """
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("Claims are registered in one process: leave out -n, or give -n 0.")
    usual = config.invocation_params.dir / "claims"
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        if usual.is_dir():
            config.args = [str(usual)]
        elif config.args_source == pytest.Config.ArgsSource.INVOCATION_DIR:
            raise pytest.UsageError(
                "There is no folder claims here, and pytest's testpaths names none: say which claims are registered, "
                "as in `causaltest register FOLDER`."
            )


@dataclass
class Registration:
    """What a run of `causaltest register` gathers, and then writes."""

    config: pytest.Config
    log: SeenLog
    """What has seen which pairs so far."""
    records: Records
    refused: dict[str, str] = field(default_factory=dict)
    """By node id, why."""
    skipped: dict[str, str] = field(default_factory=dict)
    done: list[tuple[Record, Registered]] = field(default_factory=list)
    amended: list[tuple[Record, list[Amended]]] = field(default_factory=list)
    _entered: dict[str, tuple[Path, Candidate]] = field(default_factory=dict)
    """By node id, in which folder's lock."""
    _sighted: dict[Path, Sighted | None] = field(default_factory=dict)
    _sources: Sources = field(default_factory=Sources)

    @property
    def candidates(self) -> dict[Path, list[Candidate]]:
        """What is to be registered, by the folder of its lock."""
        given: dict[Path, list[Candidate]] = {}
        for folder, candidate in self._entered.values():
            given.setdefault(folder, []).append(candidate)
        return given

    @cached_property
    def earlier(self) -> Earlier:
        """What came before this registration."""
        return Earlier(self.log.looks())

    def record(self, file: Path) -> Record:
        """The record above a test file, or the one that is begun in the folder that was named."""
        return self.records.of(file) or self.records.at(begun_in(self.config, file))

    def run(self, session: pytest.Session, prepared: Callable[[pytest.Function], Prepared]) -> None:
        """Rehearses every claim of the session, and writes those that can be registered.

        Raises UsageError where they would begin two records.
        """
        if session.testsfailed and not self.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection, so nothing was registered")
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        with QuietSetup(self.config) as quiet:
            for item, following in zip_longest(items, items[1:]):
                with self.refusing(item):
                    quiet.set_up(item)
                    self.enter(item.nodeid, *prepared(item))
                with self.refusing(item):
                    quiet.tear_down(item, following)
        self.write()
        session.testsfailed += len(self.refused) + sum(len(done.renamed) for _, done in self.done)

    @contextmanager
    def refusing(self, item: pytest.Function) -> Iterator[None]:
        """Keeps why a claim cannot be registered, so that the others are."""
        try:
            yield
        except pytest.skip.Exception as reason:
            self.skipped[item.nodeid] = str(reason)
        except (Exception, pytest.fail.Exception) as error:
            self.refused[item.nodeid] = why_refused(error, self.config.invocation_params.dir)
            self._entered.pop(item.nodeid, None)

    def enter(self, nodeid: str, claim: Claim, arguments: Mapping[str, Any], known: Known) -> None:
        """Rehearses a claim and keeps its spec."""
        assert known.record is not None
        effects = promised(claim, arguments, known)
        questions = [effect.question for effect in effects]
        spec = as_spec(claim, questions, known, labs_of(arguments), sources=self._sources)
        seen = tuple(dict.fromkeys([*self.earlier.told(questions), *self.in_ledger(known, effects)]))
        self._entered[nodeid] = (known.record.folder, Candidate(spec, seen))

    def in_ledger(self, known: Known, effects: Sequence[Measured]) -> list[str]:
        """What the ledger knows of looks at a claim's pairs."""
        assert known.record is not None
        folder = known.record.folder
        if folder not in self._sighted:
            self._sighted[folder] = known.record.sighted() if known.record.ledger.lines else None
        sighted = self._sighted[folder]
        return [] if sighted is None else sighted.told(sightings_of(effects), by=(known.record_id,))

    def write(self) -> None:
        """Writes the locks. Raises UsageError where two would be begun, or one cannot be read or written."""
        given = self.candidates
        begun = [folder for folder in given if not Record(folder).lock_file.exists()]
        if len(begun) > 1:
            raise pytest.UsageError(
                f"These claims have no lock in common: {', '.join(self.seen_from_here(f) for f in begun)} would each "
                "get one. Register one folder at a time, or name the folder above them."
            )
        for folder, candidates in given.items():
            record = Record(folder)
            try:
                families = in_families(candidates, record)
                if ids := self.config.getoption("causal_amend"):
                    why, was = self.config.getoption("causal_why"), self.config.getoption("causal_was")
                    self.amended.append((record, amend(record, families, ids, why=why, was=was)))
                else:
                    whole = not (self.refused or self.skipped) and covers(self.config, folder)
                    self.done.append((record, register(record, families, whole=whole)))
            except RecordError as error:
                raise pytest.UsageError(printable(str(error))) from error
            except OSError as error:
                raise pytest.UsageError(f"{record.lock_file} could not be written: {error}") from error

    def lines(self) -> list[str]:
        """What is told: what entered, what did not and why, and what to do next."""
        told: list[str] = []
        for record, amended in self.amended:
            lock = self.seen_from_here(record.lock_file)
            told += [f"{lock}: {counted(len(amended), 'claim')} amended", *(f"  {one}" for one in amended)]
            told.append(f'Commit it before anything is measured: git add {lock} && git commit -m "Amend claims"')
        for record, done in self.done:
            told += self.entered(record, done)
        for nodeid, why in self.skipped.items():
            told += ["", f"skipped, and not registered: {nodeid}", f"  {why}"]
        for nodeid, why in self.refused.items():
            told += ["", f"refused, and not registered: {nodeid}", *(f"  {line}" for line in why.splitlines())]
        left = [
            counted(len(some), "claim") + what
            for some, what in ((self.refused, " refused"), (self.skipped, " skipped"))
            if some
        ]
        if left:
            told += ["", f"{' and '.join(left)}: what is not registered can still be run, and is EXPLORATORY."]
        # Where a lock could not be written, pytest tells why.
        return told or ([] if self._entered else ["No claims were found."])

    def entered(self, record: Record, done: Registered) -> list[str]:
        lock = self.seen_from_here(record.lock_file)
        new = set(done.new)
        candidates = [c for c in self.candidates[record.folder] if c.spec.id in new]
        if new:
            told = [f"{lock}: batch {done.batch}, {counted(len(new), 'new claim')}"]
            families = Counter(c.spec.fields["family"]["name"] for c in candidates)
            told += [f"  {name}: {counted(size, 'claim')} in one family" for name, size in sorted(families.items())]
        else:
            told = [f"{lock}: nothing new"]
        if done.unchanged:
            as_before = "as it is" if len(done.unchanged) == 1 else "as they are"
            told.append(f"  {counted(len(done.unchanged), 'claim')} registered before, {as_before}")
        seen = [c for c in candidates if c.seen]
        if seen:
            told.append(f"  {len(seen)} of them cannot be confirmatory on these pairs, which were looked at before:")
            told += [f"    {c.spec.id}: {c.seen[0]}" for c in seen[:NAMED]]
            told += [f"    and {len(seen) - NAMED} more"] if len(seen) > NAMED else []
        told += [f"  {sentence}." for sentence in done.sentences(self.seen_from_here(record.folder))]
        if new:
            told.append(f'Commit it before anything is measured: git add {lock} && git commit -m "Register claims"')
        return told

    def seen_from_here(self, path: Path) -> str:
        return os.path.relpath(path, self.config.invocation_params.dir)


def in_families(candidates: Sequence[Candidate], record: Record) -> list[Candidate]:
    """The candidates, of which those that are new are in families of their own batch: whatever is registered before
    or after them has its own alpha."""
    new = [c.spec for c in candidates if c.spec.id not in record.lock.entries]
    sizes = Counter(spec.fields["family"]["name"] for spec in new)
    return [
        c
        if c.spec.id in record.lock.entries
        else replace(c, spec=c.spec.in_family_of(sizes[c.spec.fields["family"]["name"]]))
        for c in candidates
    ]


def begun_in(config: pytest.Config, file: Path) -> Path:
    """The folder in which a new record begins: the one that was named, or that of the file that was."""
    base = config.invocation_params.dir
    named = [(base / str(argument).split("::", 1)[0]).resolve() for argument in config.args]
    above = [path if path.is_dir() else path.parent for path in named if path in (file, *file.parents)]
    return above[0] if above else file.parent
