"""Registering: the claims of a pytest run are rehearsed, and enter the lock of their folder."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from causaltest.asking.claims import Claim
from causaltest.asking.settings import Settings
from causaltest.errors import RecordError
from causaltest.once import labs_of
from causaltest.promised import promised
from causaltest.quiet_setup import QuietSetup
from causaltest.recording.amendment import Amended, amend
from causaltest.recording.earlier import Earlier
from causaltest.recording.record import Record, record_of
from causaltest.recording.registration import Candidate, Registered, register
from causaltest.recording.seen import SeenLog
from causaltest.recording.spec import Sources, spec_of
from causaltest.refusals import why_refused
from causaltest.results import Known

Prepared = tuple[Claim, Mapping[str, Any], Known]
OBJECTS_BEFORE_COLLECTING = 100_000
"""Ten thousand claims are a million objects, none of which is garbage."""

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
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTING, *before[1:])
    config.add_cleanup(lambda: gc.set_threshold(*before))


@dataclass
class Registration:
    """What a run of `causaltest register` gathers, and then writes."""

    config: pytest.Config
    seed: str
    settings: Settings
    log: SeenLog
    """What has seen which pairs so far."""
    refused: dict[str, str] = field(default_factory=dict)
    """By node id, why."""
    skipped: dict[str, str] = field(default_factory=dict)
    done: list[tuple[Record, Registered]] = field(default_factory=list)
    amended: list[Amended] = field(default_factory=list)
    _records: dict[Path, Record] = field(default_factory=dict)
    _candidates: dict[Path, list[Candidate]] = field(default_factory=dict)
    _sources: Sources = field(default_factory=Sources)

    @cached_property
    def earlier(self) -> Earlier:
        """What came before this registration."""
        return Earlier(self.log.looks())

    def record(self, file: Path) -> Record:
        """The record above a test file, or the one that is begun in the folder that was named."""
        if file.parent not in self._records:
            found = record_of(file, top=self.config.rootpath)
            folder = begun_in(self.config, file) if found is None else found.folder
            known = {record.folder: record for record in self._records.values()}
            self._records[file.parent] = known.get(folder) or found or Record(folder)
        return self._records[file.parent]

    def run(self, session: pytest.Session, prepared: Callable[[pytest.Function], Prepared]) -> None:
        """Rehearses every claim of the session, and writes those that can be registered.

        Raises UsageError where they would begin two records.
        """
        if session.testsfailed and not self.config.option.continue_on_collection_errors:
            raise session.Interrupted(f"{session.testsfailed} errors during collection, so nothing was registered")
        items = [item for item in session.items if isinstance(item, pytest.Function)]
        with QuietSetup(self.config) as quiet:
            for item, following in zip(items, [*items[1:], None], strict=True):
                try:
                    quiet.set_up(item)
                    self.enter(item.nodeid, *prepared(item))
                except pytest.skip.Exception as reason:
                    self.skipped[item.nodeid] = str(reason)
                except (Exception, pytest.fail.Exception) as error:
                    self.refused[item.nodeid] = why_refused(error, item.name, self.config.invocation_params.dir)
                finally:
                    quiet.tear_down(item, following)
        session.testsfailed += len(self.refused)
        self.write()

    def enter(self, nodeid: str, claim: Claim, arguments: Mapping[str, Any], known: Known) -> None:
        """Rehearses a claim and keeps its spec."""
        assert known.record is not None
        questions = [effect.question for effect in promised(claim, arguments, known)]
        spec = spec_of(
            claim,
            questions,
            id=known.record_id,
            family=(known.record_family, known.family.size),
            settings=self.settings,
            suite_seed=self.seed,
            labs=labs_of(arguments),
            parameters=known.parameters,
            sources=self._sources,
        )
        seen = self.earlier.told(questions)
        self._candidates.setdefault(known.record.folder, []).append(Candidate(spec, seen))

    def write(self) -> None:
        """Writes the locks. Raises UsageError where two would be begun, or one cannot be read or written."""
        begun = [folder for folder in self._candidates if not Record(folder).lock_file.exists()]
        if len(begun) > 1:
            raise pytest.UsageError(
                f"These claims have no lock in common: {', '.join(self.seen_from_here(f) for f in begun)} would each "
                "get one. Register one folder at a time, or name the folder above them."
            )
        for folder, candidates in self._candidates.items():
            record = Record(folder)
            try:
                if amending := self.config.getoption("causal_amend"):
                    option = self.config.getoption
                    self.amended += amend(
                        record, candidates, amending, why=option("causal_why"), was=option("causal_was")
                    )
                else:
                    self.done.append((record, register(record, in_families(candidates, record))))
            except RecordError as error:
                raise pytest.UsageError(str(error)) from error
            except OSError as error:
                raise pytest.UsageError(f"{record.lock_file} could not be written: {error}") from error

    def lines(self) -> list[str]:
        """What is told: what entered, what did not and why, and what to do next."""
        told = [str(one) for one in self.amended]
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
        return told or ["No claims were found."]

    def entered(self, record: Record, done: Registered) -> list[str]:
        lock = self.seen_from_here(record.lock_file)
        if not done.new:
            told = [f"{lock}: nothing new"]
        else:
            told = [f"{lock}: batch {done.batch}, {counted(len(done.new), 'new claim')}"]
            families = {
                e.spec["family"]["name"]: e.spec["family"]["size"] for e in map(record.lock.entries.get, done.new) if e
            }
            told += [f"  {name}: {counted(size, 'claim')} in one family" for name, size in sorted(families.items())]
        if done.unchanged:
            told.append(f"  {counted(len(done.unchanged), 'claim')} registered before, as they are")
        seen = [id for id in done.new if record.lock.entries[id].seen]
        if seen:
            told.append(f"  {len(seen)} of them cannot be confirmatory on these pairs, which were looked at before:")
            told += [f"    {id}: {record.lock.entries[id].seen[0]}" for id in seen[:NAMED]]
            told += [f"    and {len(seen) - NAMED} more"] if len(seen) > NAMED else []
        told += [f"  {sentence}." for sentence in done.sentences()]
        if done.new:
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


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
