"""The pytest plugin: one hook, one line of work. Imports neither torch nor scipy nor numpy.

What a hook needs is imported when there is a claim, so that a suite without claims does not
notice that the plugin is there.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from causaltest.baseline_options import add_baseline_options, check_baseline_options, wants_baselines
from causaltest.report_properties import KEPT, PROPERTY, SAID, TOLD

if TYPE_CHECKING:
    from causaltest.asking.lab import Lab
    from causaltest.pytest_suite import ReportFolder, Suite

SUITE: pytest.StashKey[Suite] = pytest.StashKey()
NAMED = "causaltest_named"
"""In what a worker of pytest-xdist sends at its end: the models that it has named."""
CLAIM_MARKS = frozenset({"__causal_claim__", "is_hypothesis_test"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini values."""
    group = parser.getgroup("causaltest", "causal claims about transformers")
    group.addoption(
        "--causal-model",
        action="append",
        default=[],
        metavar="NAME",
        help="the model of the lab fixture; OLD=NEW to measure NEW wherever a claim names OLD; *=NEW for the one model "
        "that the claims name",
    )
    group.addoption("--causal-seed", default="0", metavar="SEED", help="enters every random draw (default: 0)")
    group.addoption(
        "--causal-memory",
        default="1GB",
        metavar="SIZE",
        help="memory for measuring, above the model's own: 800MB, 4GB (default: 1GB)",
    )
    group.addoption("--causal-no-cache", action="store_true", help="measure everything, and keep nothing")
    group.addoption(
        "--causal-cache-dir",
        metavar="PLACE",
        help="where what was measured is kept (default: the user's cache): a folder, or an address that several "
        "machines share, such as s3://bucket/x or file:///mnt/share",
    )
    group.addoption(
        "--causal-cache-size",
        default="10GB",
        metavar="SIZE",
        help="beyond this, what was used longest ago goes; 0 keeps nothing (default: 10GB)",
    )
    group.addoption(
        "--causal-dtype",
        choices=("float32", "bfloat16", "float16", "float64"),
        default="float32",
        help="what models named by a string are loaded in (default: float32)",
    )
    group.addoption(
        "--causal-device-map", metavar="MAP", help='how models named by a string are spread over devices: "auto"'
    )
    group.addoption("--causal-offload", metavar="FOLDER", help="where weights go that fit no device")
    group.addoption(
        "--causal-quantize", choices=("int8", "nf4"), help="load models named by a string in 8 or 4 bits a weight"
    )
    group.addoption(
        "--causal-trust-remote-code",
        action="store_true",
        help="let code that comes with a checkpoint run; it is recorded",
    )
    group.addoption(
        "--causal-executor",
        choices=("serial", "ray"),
        default="serial",
        help="who measures: this process, or workers of the Ray cluster at RAY_ADDRESS, or of one on this machine "
        "(default: serial)",
    )
    group.addoption(
        "--causal-workers", type=int, metavar="N", help="with ray: how many workers (default: as many as fit)"
    )
    group.addoption(
        "--causal-gpus-per-worker", type=float, metavar="X", help="with ray: the share of a GPU that each worker has"
    )
    group.addoption(
        "--causal-plan", action="store_true", help="print what measuring the claims takes, and measure nothing"
    )
    group.addoption(
        "--causal-power", action="store_true", help="print the pairs that each claim needs; no model is opened"
    )
    group.addoption(
        "--causal-assume",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the pairs needed are worked out under: effect, sd, icc, placebo, simulations",
    )
    group.addoption(
        "--causal-register", action="store_true", help="enter the claims in claims.lock; no model is opened"
    )
    group.addoption(
        "--causal-amend",
        action="append",
        default=[],
        metavar="ID",
        help="with --causal-register: put this claim's new spec in place of the one registered",
    )
    group.addoption("--causal-why", default="", metavar="TEXT", help="why it is amended")
    group.addoption("--causal-was", metavar="ID", help="the id that it is registered under, where it has another now")
    group.addoption(
        "--causal-confirmatory-only",
        action="store_true",
        help="pass only claims that were registered before their data were seen: CONFIRMATORY or REPRODUCED",
    )
    add_baseline_options(group, parser)
    group.addoption("--causal-json", type=Path, metavar="PATH", help="write one object per claim to this file")
    parser.addini("causaltest_model", "the model of the lab fixture")
    parser.addini("causaltest_inconclusive", "what an INCONCLUSIVE claim does: fail or skip", default="fail")


def pytest_configure(config: pytest.Config) -> None:
    """Collects results where all reports arrive, on the controller too."""
    path = config.getoption("causal_json")
    if path is not None and path.is_dir():
        raise pytest.UsageError(f"--causal-json {path} is a folder; name a file in it.")
    choice = config.getini("causaltest_inconclusive")
    if choice not in ("fail", "skip"):
        raise pytest.UsageError(f"causaltest_inconclusive = {choice} is not known; it is one of fail and skip.")
    for option in ("memory", "cache-size"):
        size = str(config.getoption(f"causal_{option.replace('-', '_')}"))
        # As writing.sizes reads it, which is not imported where there is no claim.
        if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?\s*[KMGT]?I?B?", size.strip(), re.IGNORECASE | re.ASCII):
            none = ", or 0 to keep nothing" if option == "cache-size" else ""
            raise pytest.UsageError(
                f"--causal-{option} {size:.60} is no size; write 800MB, 4GB or a number of bytes{none}."
            )
    check_place(config)
    check_power_options(config)
    check_workers(config)
    if config.getoption("causal_register"):
        from causaltest.pytest_register import prepare

        prepare(config)
    if not hasattr(config, "workerinput"):
        check_baseline_options(config)
    config.pluginmanager.register(Results(config), "causaltest-results")


def check_place(config: pytest.Config) -> None:
    """Raises UsageError for an address of a kind that nothing here can open."""
    place = config.getoption("causal_cache_dir")
    if place is None or "://" not in place:
        return
    from causaltest.errors import RecordError
    from causaltest.store.address import check

    try:
        check(place)
    except RecordError as error:
        raise pytest.UsageError(f"--causal-cache-dir: {error}") from error


def check_power_options(config: pytest.Config) -> None:
    """Raises UsageError for an assumption that no sample could meet, and for workers, which would each know a part."""
    if config.getoption("causal_assume"):
        from causaltest.asking.assumptions import assumptions_of
        from causaltest.errors import ClaimError

        try:
            assumptions_of(config.getoption("causal_assume"))
        except ClaimError as error:
            raise pytest.UsageError(f"--causal-assume: {error}") from error
    for option in ("power", "plan"):
        if config.getoption(f"causal_{option}") and config.getoption("numprocesses", None):
            raise pytest.UsageError(f"--causal-{option} is worked out in one process: leave out -n, or give -n 0.")


def check_workers(config: pytest.Config) -> None:
    """Raises UsageError for workers that nobody would ask, and for two ways at once to spread work."""
    ray = config.getoption("causal_executor") == "ray"
    for option in ("--causal-workers", "--causal-gpus-per-worker"):
        if config.getoption(option) is not None and not ray:
            raise pytest.UsageError(f"{option} is for --causal-executor ray, which was not given.")
    if ray and (hasattr(config, "workerinput") or config.getoption("numprocesses", None)):
        raise pytest.UsageError(
            "--causal-executor ray spreads the work itself, and -n would begin a cluster per process: leave out -n."
        )


def is_claim(item: pytest.Function) -> bool:
    """Whether the item is what @claim made, and not another decorator's wrapper around it."""
    function = getattr(item.obj, "__func__", item.obj)
    return isinstance(function, FunctionType) and "__causal_claim__" in function.__dict__


def suite_of(config: pytest.Config) -> Suite:
    """The suite's claims and labs, made when the first of them is met."""
    if SUITE not in config.stash:
        from causaltest.pytest_suite import Suite

        config.stash[SUITE] = Suite(config)
    return config.stash[SUITE]


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    """Counts a family where items are made, before any selection."""
    made = yield
    # Only real functions, and asked of nothing else: a mock answers any name, a proxy may raise, of its class, too.
    if type(obj) is FunctionType and not CLAIM_MARKS.isdisjoint(obj.__dict__):
        suite_of(collector.config).count(obj, made)
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Counts what a node id left out, and refuses two claims with one id."""
    registers = config.getoption("causal_register")
    if registers:
        suite_of(config)  # such a run runs no test, where there is no claim either
    if SUITE in config.stash:
        if not registers:  # there a family is what is registered together
            config.stash[SUITE].count_modules(items)
        config.stash[SUITE].check_ids()
        config.stash[SUITE].check_baselines(items)
        if any(config.getoption(name) for name in ("causal_plan", "causal_power", "causal_register")):
            plain = [item for item in items if not (isinstance(item, pytest.Function) and is_claim(item))]
            config.hook.pytest_deselected(items=plain)
            items[:] = [item for item in items if item not in plain]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """On a worker of pytest-xdist, tells which files stay together."""
    if SUITE in session.config.stash:
        from causaltest.pytest_workers import tell

        tell(session.config, lambda: session.config.stash[SUITE].units(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Asks a worker of pytest-xdist which files stay together."""
    from causaltest.pytest_workers import ask

    ask(node.config, node)


@pytest.hookimpl(optionalhook=True, trylast=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Keeps on one worker what belongs together; whoever makes a scheduler of their own comes first."""
    from causaltest.pytest_scheduling import make_scheduler

    return make_scheduler(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Rehearses all claims of the run, so that they are planned and measured together."""
    config = session.config
    if SUITE in config.stash and session.items and not (config.option.collectonly or config.option.setupplan):
        config.stash[SUITE].foresee(
            [item for item in session.items if isinstance(item, pytest.Function) and is_claim(item)], session.items[0]
        )
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Judges a claim in place of calling it."""
    if is_claim(pyfuncitem):
        return suite_of(pyfuncitem.config).run(pyfuncitem)
    if "causaltest.effect" in sys.modules:
        suite_of(pyfuncitem.config).watch_return(pyfuncitem)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Where nothing is measured, names the claims that cannot be set up; else writes down what a test has swept."""
    if SUITE in item.config.stash:
        if call.excinfo is not None and isinstance(item, pytest.Function) and is_claim(item):
            item.config.stash[SUITE].cannot_plan(item, call.excinfo)
        item.config.stash[SUITE].tell(item)
        if call.when == "call":
            item.config.stash[SUITE].note_searches(item)
        from causaltest.pytest_workers import sendable

        sendable(item.config, item.user_properties)
    return (yield)


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """A letter and a word for each verdict; the category stays pytest's own."""
    if not isinstance(report, pytest.TestReport) or report.when != "call":
        return None
    if any(name == PROPERTY for name, _ in report.user_properties):
        from causaltest.pytest_suite import status_of

        return status_of(report)
    return None


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explains `assert effect > 0.3` by its verdict."""
    if "causaltest.effect" in sys.modules:
        from causaltest.pytest_suite import explain_comparison

        return explain_comparison(op, left, right)
    return None


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
        from causaltest.pytest_suite import models_of, unused_swaps

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
            from causaltest.pytest_suite import told_lines, write_summary

            lines = [self.lines[nodeid] for nodeid in sorted(self.lines, key=self.place)]
            said = [text for _, text in sorted(self.said, key=lambda by: self.place(by[0]))]
            told = sorted(self.told, key=self.told.__getitem__)
            write_summary(terminalreporter, lines, said, [*self.notes, *told_lines(told)])


@pytest.fixture(scope="session")
def make_lab(request: pytest.FixtureRequest) -> Callable[[str], Lab]:
    """`make_lab(name)`: the lab of a model, the same one wherever the name is used in this run."""
    from causaltest.pytest_suite import LabMaker

    return LabMaker(suite_of(request.config).lab)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Lab:
    """The lab of `--causal-model`, or of `causaltest_model` in the ini file."""
    return suite_of(request.config).default_lab()


@pytest.fixture
def causal_report(request: pytest.FixtureRequest) -> ReportFolder:
    """The folder beside the report for maps and figures, and a way to print into the report."""
    return suite_of(request.config).report_folder(request.node)
