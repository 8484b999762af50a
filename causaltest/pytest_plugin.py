"""The pytest plugin: one hook, one line of work. Imports neither torch nor scipy nor numpy.

What a hook needs is imported when there is a claim, so that a suite without claims does not
notice that the plugin is there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from causaltest.baseline_options import add_baseline_options, check_baseline_options
from causaltest.measuring_options import add_measuring_options, check_measuring_options
from causaltest.pytest_results import SUITE, Results, suite_of
from causaltest.report_properties import PROPERTY

if TYPE_CHECKING:
    from causaltest.asking.lab import Lab
    from causaltest.pytest_given import ReportFolder

CLAIM_MARKS = frozenset({"__causal_claim__", "is_hypothesis_test"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini values."""
    group = parser.getgroup("causaltest", "causal claims about transformers")
    add_measuring_options(group, parser)
    add_baseline_options(group, parser)


def pytest_configure(config: pytest.Config) -> None:
    """Collects results where all reports arrive, on the controller too."""
    check_measuring_options(config)
    if config.getoption("causal_register"):
        from causaltest.pytest_register import prepare

        prepare(config)
    if not hasattr(config, "workerinput"):
        check_baseline_options(config)
    config.pluginmanager.register(Results(config), "causaltest-results")


def is_claim(item: pytest.Function) -> bool:
    """Whether the item is what @claim made, and not another decorator's wrapper around it."""
    function = getattr(item.obj, "__func__", item.obj)
    return isinstance(function, FunctionType) and "__causal_claim__" in function.__dict__


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
        from causaltest.pytest_summary import status_of

        return status_of(report)
    return None


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explains `assert effect > 0.3` by its verdict."""
    if "causaltest.effect" in sys.modules:
        from causaltest.pytest_summary import explain_comparison

        return explain_comparison(op, left, right)
    return None


@pytest.fixture(scope="session")
def make_lab(request: pytest.FixtureRequest) -> Callable[[str], Lab]:
    """`make_lab(name)`: the lab of a model, the same one wherever the name is used in this run."""
    from causaltest.pytest_given import LabMaker

    return LabMaker(suite_of(request.config).lab)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Lab:
    """The lab of `--causal-model`, or of `causaltest_model` in the ini file."""
    return suite_of(request.config).default_lab()


@pytest.fixture
def causal_report(request: pytest.FixtureRequest) -> ReportFolder:
    """The folder beside the report for maps and figures, and a way to print into the report."""
    return suite_of(request.config).report_folder(request.node)
