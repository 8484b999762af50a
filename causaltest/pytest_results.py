"""Results: what the claims of a run have come to, wherever they ran; and where the run's suite is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from causaltest.baseline_options import wants_baselines
from causaltest.report_properties import KEPT, PROPERTY, SAID, TOLD

if TYPE_CHECKING:
    from causaltest.pytest_suite import Suite

SUITE: pytest.StashKey[Suite] = pytest.StashKey()
NAMED = "causaltest_named"
"""In what a worker of pytest-xdist sends at its end: the models that it has named."""


def suite_of(config: pytest.Config) -> Suite:
    """The suite's claims and labs, made when the first of them is met."""
    if SUITE not in config.stash:
        from causaltest.pytest_suite import Suite

        config.stash[SUITE] = Suite(config)
    return config.stash[SUITE]


class Results:
    """The results of all claims, wherever they ran."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.lines: dict[str, str] = {}
        self.said: list[tuple[str, str]] = []
        """By whom, and what; nobody says an error of the run."""
        self.kept: list[str] = []
        self.notes: list[str] = []
        self.told: dict[str, tuple[int, int]] = {}
        """What stores had to tell: the place of the first test that met it, and its number among all that arrived."""
        self.order: dict[str, int] = {}
        """Where each test stands in the collection of the workers, which end in any order."""
        self.arrivals = itertools.count()
        self.named: set[str] = set()
        """The models that workers have named."""
        self.untold = 0
        """Workers that have not said which models they named: those that run, and those that were lost."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Learns the order in which one process would have run the tests."""
        self.order = {nodeid: n for n, nodeid in enumerate(ids)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self) -> None:
        """Awaits what a worker has to say at its end."""
        self.untold += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learns which models a worker has named; only a worker collects, and has a suite."""
        output = getattr(node, "workeroutput", None)
        if output is not None:
            self.untold -= 1
            self.named.update(output.get(NAMED, ()))

    def place(self, nodeid: str) -> int:
        return self.order.get(nodeid, len(self.order))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the last result of each claim, and what stores had to tell, which several processes may have met."""
        for name, value in report.user_properties:
            if name == TOLD:
                met = (self.place(report.nodeid), next(self.arrivals))
                self.told[str(value)] = min(met, self.told.get(str(value), met))
        for name, value in report.user_properties if report.when == "call" else ():
            if name == PROPERTY:
                self.lines[report.nodeid] = str(value)
            elif name == SAID:
                self.said.append((report.nodeid, str(value)))
            elif name == KEPT:
                self.kept.append(str(value))
        if hasattr(self.config, "workerinput"):
            return
        # Other reporters write every property out, and this one holds a number for each pair.
        report.user_properties[:] = [(name, value) for name, value in report.user_properties if name != KEPT]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Registers claims in place of running tests."""
        if not self.config.getoption("causal_register") or self.config.option.collectonly:
            return None
        suite_of(self.config).register(session)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes --causal-json, once, where all results are; a report that cannot be written is no success."""
        if SUITE in self.config.stash:
            self.named |= self.config.stash[SUITE].named
        if hasattr(self.config, "workerinput"):
            self.config.workeroutput[NAMED] = sorted(self.named)  # type: ignore[attr-defined]  # set by pytest-xdist
            return
        if (told := self.unused_swaps()) is not None:
            self.fail(session, told)
        if self.lines and wants_baselines(self.config):
            from causaltest.pytest_kept import finish

            finish(self, session)
        path = self.config.getoption("causal_json")
        if path is not None and not self.config.getoption("collectonly"):
            from causaltest.reporting.claims_json import write_json

            try:
                if SUITE in self.config.stash and self.config.getoption("causal_power"):
                    self.config.stash[SUITE].write_power(path)
                else:
                    write_json(path, self.lines.values())
            except OSError as error:
                self.fail(session, f"--causal-json {path} could not be written: {error}")

    def unused_swaps(self) -> str | None:
        """That a model was to be replaced which nobody named; nothing where a lost worker may have named it."""
        if self.untold or not self.named:
            return None
        from causaltest.pytest_settings import models_of, unused_swaps

        return unused_swaps(models_of(self.config)[2], self.named)

    def fail(self, session: pytest.Session, told: str) -> None:
        """Says it in the report and fails the run, whatever the tests did."""
        self.said.append(("", f"ERROR: {told}"))
        session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the claims' sections and table."""
        planned = self.config.getoption("causal_plan") or self.config.getoption("causal_power")
        if SUITE in self.config.stash and self.config.getoption("causal_register"):
            self.config.stash[SUITE].write_registration(terminalreporter)
        elif SUITE in self.config.stash and planned:
            self.config.stash[SUITE].write_plan(terminalreporter)
        elif self.lines or self.said or self.told:
            from causaltest.pytest_summary import told_lines, write_summary

            lines = [self.lines[nodeid] for nodeid in sorted(self.lines, key=self.place)]
            said = [text for _, text in sorted(self.said, key=lambda by: self.place(by[0]))]
            told = sorted(self.told, key=self.told.__getitem__)
            write_summary(terminalreporter, lines, said, [*self.notes, *told_lines(told)])
