"""Registering: the claims of a pytest run are rehearsed, and enter the lock of their folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from causaltest.asking.claims import Claim
from causaltest.asking.settings import Settings
from causaltest.errors import CausaltestError, RecordError
from causaltest.once import rehearse
from causaltest.recording.amendment import amend
from causaltest.recording.record import Record, record_of
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import spec_of
from causaltest.results import Known


class Registration:
    """What a run of `causaltest register` gathers, and then writes."""

    def __init__(self, seed: str, settings: Settings) -> None:
        self.seed = seed
        self.settings = settings
        self._records: dict[Path, Record] = {}
        self._candidates: dict[Path, list[Candidate]] = {}
        self._refused: dict[str, str] = {}

    def record(self, file: Path, config: pytest.Config) -> Record:
        """The record above a test file, or the one that is begun in the folder that was named."""
        if file.parent not in self._records:
            found = record_of(file, top=config.rootpath)
            named = [Path(str(a).split("::", 1)[0]).resolve() for a in config.args]
            above = [n if n.is_dir() else n.parent for n in named if n in (file, *file.parents)]
            self._records[file.parent] = found or Record(above[0] if above else file.parent)
        return self._records[file.parent]

    def enter(self, claim: Claim, arguments: Mapping[str, Any], known: Known, item: pytest.Function) -> None:
        """Rehearses a claim and keeps its spec, or the reason why it has none."""
        assert known.record is not None
        try:
            effect = rehearse(claim, arguments)
            if effect is None:
                self._refused[item.nodeid] = "its body reads a number before it has chosen its experiment"
                return
            spec = spec_of(
                claim,
                [effect.question],
                id=known.record_id,
                family=(known.record_family, known.family.size),
                settings=self.settings,
                suite_seed=self.seed,
            )
        except CausaltestError as error:
            self._refused[item.nodeid] = str(error)
            return
        self._candidates.setdefault(known.record.folder, []).append(Candidate(spec))

    def write(self, reporter: pytest.TerminalReporter) -> None:
        """Writes the locks, and says what entered them."""
        reporter.section("causal registration")
        for folder, candidates in self._candidates.items():
            record, option = Record(folder), reporter.config.getoption
            try:
                if option("causal_amend"):
                    amended = amend(
                        record, candidates, option("causal_amend"), why=option("causal_why"), was=option("causal_was")
                    )
                    for one in amended:
                        reporter.write_line(f"{record.lock_file}: {one}")
                    continue
                done = register(record, candidates)
            except RecordError as error:
                reporter.write_line(f"{record.lock_file}: {error}")
                continue
            reporter.write_line(f"{record.lock_file}: {len(done.new)} new, {len(done.unchanged)} unchanged")
            for sentence in done.sentences():
                reporter.write_line(f"  {sentence}.")
        for nodeid, why in self._refused.items():
            reporter.write_line(f"refused: {nodeid}: {why}")
