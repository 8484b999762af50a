"""The suite as pytest sees it: families and ids, labs, the running of a claim, and its report."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from causaltest.asking.assumptions import assumptions_of
from causaltest.asking.claims import CLAIM_ATTRIBUTE, WRAPPER_ATTRIBUTE, Claim, given_message
from causaltest.asking.costs import Cost
from causaltest.asking.lab import Lab
from causaltest.asking.portions import in_portion
from causaltest.effect import Effect
from causaltest.errors import CausaltestError, ClaimError, RehearsalRead
from causaltest.foresight import rehearse_all
from causaltest.once import reads_a_number
from causaltest.printable import printable
from causaltest.pytest_baseline import Baselines
from causaltest.pytest_given import ReportFolder
from causaltest.pytest_register import Registration
from causaltest.pytest_settings import THE_ONE, models_of, settings_of
from causaltest.pytest_workers import file_of
from causaltest.recording.record import Record, Records, id_in, relative
from causaltest.recording.seen import usual_log
from causaltest.report_properties import PROPERTY, TOLD
from causaltest.reporting.standing import GOOD
from causaltest.reporting.terminal import headline, section
from causaltest.results import ClaimResult, Family, Known, not_measured
from causaltest.session import announce, decide
from causaltest.variants import judged_at, plan_variants

if TYPE_CHECKING:
    from causaltest.power_plan import Foreseen, PowerPlan


class Suite:
    """The claims and labs of one pytest run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.seed = str(config.getoption("causal_seed"))
        self.inconclusive = str(config.getini("causaltest_inconclusive"))
        self.option, self.default_model, self.swaps = models_of(config)
        self.named: set[str] = set()
        self._families: dict[str, set[str]] = {}
        self._ids: dict[str, set[str]] = {}
        self._labs: dict[str, Lab] = {}
        self.settings = settings_of(config)
        self.log = usual_log()
        self.verbose = config.option.verbose > 0
        self.confirmatory_only = bool(config.getoption("causal_confirmatory_only"))
        self.powers_only = bool(config.getoption("causal_power") or config.getoption("causal_register"))
        self.plans_only = self.powers_only or bool(config.getoption("causal_plan"))
        self.assumptions = assumptions_of(config.getoption("causal_assume"))
        self._foreseen: dict[str, Foreseen] = {}
        self._records = Records(config.rootpath)
        self._noted: dict[Lab, int] = {}
        """Of each lab, how many of its looks were noted."""
        self.baselines = Baselines(config)
        self.registration: Registration | None = None
        if config.getoption("causal_register"):
            self.registration = Registration(config, self.log, self._records)

    def foresee(self, items: Sequence[pytest.Function], then: pytest.Item) -> None:
        """Rehearses claims that are not alone, before any is measured."""
        if len(items) > 1 and not self.plans_only:
            rehearse_all(items, self.rehearse, then)

    def rehearse(self, item: pytest.Function) -> None:
        claim: Claim = getattr(item.obj, CLAIM_ATTRIBUTE)
        arguments = self.arguments(claim, item)
        announce(bound(claim, item), arguments, self.known(claim, item))

    def write_plan(self, reporter: pytest.TerminalReporter) -> None:
        """What measuring takes, model by model, and the pairs that the claims need. Nothing is measured."""
        from causaltest.reporting.power import power_lines

        reporter.section("causal power")
        for line in power_lines(self.power):
            reporter.write_line(printable(line))
        if self.powers_only:
            return
        reporter.section("causal plan")
        total = Cost()
        for name, lab in self._labs.items():
            try:
                cost = lab.cost()
            except CausaltestError as error:
                reporter.write_line(printable(f"{name}: {type(error).__name__}: {error}"))
                continue
            total += cost
            reporter.write_line(printable(f"{name}: {cost}"))
            for sentence in lab.told():
                reporter.write_line(printable(f"store: {sentence}"))
        if len(self._labs) > 1:
            reporter.write_line(f"together: {total}")

    @functools.cached_property
    def power(self) -> PowerPlan:
        """The pairs that the claims need; worked out when they are all known."""
        from causaltest.power_plan import power_plan  # late: scipy is not loaded for claims that are only collected

        curves = self.powers_only and self.config.getoption("causal_json") is not None
        return power_plan(list(self._foreseen.values()), self.assumptions, suite_seed=self.seed, curves=curves)

    def register(self, session: pytest.Session) -> None:
        """Enters all claims of the run in their lock."""
        if self.registration is not None:
            self.registration.run(session, self.prepared)

    def write_registration(self, reporter: pytest.TerminalReporter) -> None:
        reporter.section("causal registration")
        for line in [] if self.registration is None else self.registration.lines():
            reporter.write_line(printable(line))

    def write_power(self, path: Path) -> None:
        from causaltest.reporting.power import write_power

        write_power(path, self.power)

    def plan(self, item: pytest.Function, claim: Claim, family: Family) -> None:
        """Rehearses a claim, and keeps what it promises."""
        from causaltest.power_plan import Foreseen, foresee

        whole, arguments, name = bound(claim, item), self.arguments(claim, item), claim_id(item, claim)
        if claim.multiverse is None:
            if claim.stopping is not None:
                # The most that may be measured is every portion, and no portion shares runs with another.
                announce(whole, arguments, self.known(claim, item), all_looks=True)
                arguments = in_portion(arguments, claim.stopping, 0)
            effect, why = foresee(whole, arguments)
            self._foreseen[item.nodeid] = Foreseen(name, item.nodeid, claim, family, effect, why)
            return
        at = judged_at(claim.multiverse, family)
        for variant in plan_variants(whole, arguments, self.known(claim, item)):
            effect, why = foresee(whole, variant.arguments)
            label = f"{name}: {variant.variant.name}"
            self._foreseen[label] = Foreseen(label, item.nodeid, claim, at, effect, why)

    def cannot_plan(self, item: pytest.Function, raised: pytest.ExceptionInfo[BaseException]) -> None:
        """Names a claim that could not be set up, where nothing is measured."""
        if self.plans_only and item.nodeid not in self._foreseen:
            from causaltest.power_plan import Foreseen

            claim: Claim = getattr(item.obj, CLAIM_ATTRIBUTE)
            what = "a fixture reads a number" if isinstance(raised.value, RehearsalRead) else raised.exconly()
            why = f"it cannot be set up without a model: {what}"
            family = self.family(item, claim)
            self._foreseen[item.nodeid] = Foreseen(claim_id(item, claim), item.nodeid, claim, family, None, why)

    def count(self, obj: object, made: Any) -> None:
        """Enters the items made of one function into their family and under their ids."""
        inner = getattr(getattr(obj, "hypothesis", None), "inner_test", None)
        claim = getattr(obj, CLAIM_ATTRIBUTE, None) or getattr(inner, CLAIM_ATTRIBUTE, None)
        if claim is None:
            return
        if hasattr(obj, "is_hypothesis_test"):
            raise ClaimError(given_message(claim.sentence))
        for item in made if isinstance(made, list) else [made]:
            if isinstance(item, pytest.Item):
                self._families.setdefault(family_name(item, claim), set()).add(item.nodeid)
                self._ids.setdefault(claim_id(item, claim), set()).add(item.nodeid)

    def count_modules(self, items: Sequence[pytest.Item]) -> None:
        """Counts what a node id left out: pytest expands a class only when something in it is selected.

        Every item made on the way passes through the hook that counts.
        """
        modules = {
            m
            for item in items
            if CLAIM_ATTRIBUTE in vars(getattr(item, "function", object))
            for m in [item.getparent(pytest.Module)]
            if m is not None
        }
        for module in modules:
            expand(module)

    def check_baselines(self, items: Sequence[pytest.Item]) -> None:
        """Raises UsageError for a baseline that cannot be read.

        Not on a worker, whose usage error pytest-xdist does not understand: there each claim tells it.
        """
        if self.baselines.asked.anything and not self.plans_only and not hasattr(self.config, "workerinput"):
            files = dict.fromkeys(i.path for i in items if CLAIM_ATTRIBUTE in vars(getattr(i, "function", object)))
            records = [(file, self.record(file)) for file in files]
            self.baselines.check(file.parent if record is None else record.folder for file, record in records)

    def check_ids(self) -> None:
        """Raises UsageError when two claims have one id."""
        for name, nodes in self._ids.items():
            if len(nodes) > 1:
                raise pytest.UsageError(
                    f"{len(nodes)} claims have the id {name!r}: {', '.join(sorted(nodes))}. "
                    "An id names one claim in every report; give each its own @claim(..., id=...)."
                )

    def lab(self, name: str) -> Lab:
        """The lab of a model, made once and shared; nothing is loaded until it measures."""
        if self.option is not None and name not in self.swaps and name != self.option:
            raise pytest.UsageError(
                f"--causal-model {self.option} is for the plugin's own lab fixture, and this suite names its model "
                f"itself: {name!r}. Write --causal-model {name}={self.option} to measure the one in place of the other."
            )
        self.named.add(name)
        if THE_ONE in self.swaps and len(self.named) > 1:
            raise pytest.UsageError(
                f"--causal-model {THE_ONE}={self.swaps[THE_ONE]} replaces the one model that the claims name, and they "
                f"name {' and '.join(sorted(self.named))}: write --causal-model {name}={self.swaps[THE_ONE]} for the "
                "one that is meant."
            )
        name = self.swaps.get(name, self.swaps.get(THE_ONE, name))
        if name not in self._labs:
            lab = Lab.load(name, seed=self.seed, settings=self.settings)
            # for power no model is opened, not even by a fixture
            self._labs[name] = lab.rehearsal(expected=False) if self.powers_only else lab
        return self._labs[name]

    def default_lab(self) -> Lab:
        if self.default_model is None and THE_ONE in self.swaps:
            return self.lab(THE_ONE)
        if self.default_model is None:
            raise pytest.UsageError(
                "The lab fixture has no model. Give --causal-model NAME (organism:ducks, a folder, or "
                "org/name@revision), set causaltest_model in the ini file, or write a lab fixture with make_lab(NAME)."
            )
        return self.lab(self.default_model)

    def report_folder(self, node: pytest.Item) -> ReportFolder:
        path: Path | None = self.config.getoption("causal_json")
        folder = path.parent if path is not None else self.config.rootpath / "causaltest-report"
        return ReportFolder(folder, node.user_properties)

    def run(self, item: pytest.Function) -> bool:
        """Judges one claim; anything but SUPPORTED fails the test with the claim's section."""
        claim = claim_of(item)
        known = self.known(claim, item)
        if self.plans_only:
            self.plan(item, claim, known.family)
            return True
        self.note_looks(item)  # its fixtures'
        error: BaseException
        try:
            result = self.decided(item, claim, known)
        except pytest.skip.Exception:
            raise
        except Exception as raised:
            error = raised
            failed = not_measured(claim, known, "ERROR", f"{type(error).__name__}: {error}")
            item.user_properties.append((PROPERTY, failed.to_json()))
            if not isinstance(error, CausaltestError):
                raise
        else:
            item.user_properties.append((PROPERTY, result.to_json()))
            return self.conclude(result)
        # Outside of the handler, so that the error is not told twice.
        pytest.fail(printable(f"{type(error).__name__}: {error}\n{where(item, error)}"), pytrace=False)

    def decided(self, item: pytest.Function, claim: Claim, known: Known) -> ClaimResult:
        """Judges one claim. Where a body reads a number and then raises, as an assert does, the number was seen."""
        whole, arguments = bound(claim, item), self.arguments(claim, item)
        try:
            result = decide(whole, arguments, known, log=self.log)
        except BaseException:
            self.note_looks(item, shown=reads_a_number(whole, arguments))
            raise
        self.note_looks(item, shown=False)  # it has noted them as a claim's
        return result

    def prepared(self, item: pytest.Function) -> tuple[Claim, dict[str, Any], Known]:
        """A claim that is set up: bound, with its arguments, and what is known of it."""
        claim = claim_of(item)
        return bound(claim, item), self.arguments(claim, item), self.known(claim, item)

    def known(self, claim: Claim, item: pytest.Item) -> Known:
        family, record = self.family(item, claim), self.record(item.path)
        folder = item.path.parent if record is None else record.folder
        name = claim_id(item, claim) if claim.id is not None else id_in(folder, item.nodeid, item.path)
        known = Known(
            item.nodeid,
            claim_id(item, claim),
            family,
            self.seed,
            lab=self.lab,
            claims_in_run=sum(map(len, self._families.values())),
            settings=self.settings,
            parameters=dict(getattr(getattr(item, "callspec", None), "params", {})),
            record_id=name,
            record_family=family_name(item, claim).replace(
                item.nodeid.split("::", 1)[0], relative(item.path, folder), 1
            ),
            keep=self.baselines.keeper(claim, folder, item.user_properties),
        )
        if record is None:
            return known
        size = record.family_size(name)
        return replace(known, record=record, family=family if size is None else Family(family.name, size))

    def record(self, file: Path) -> Record | None:
        """The lock and ledger that a test file belongs to; when registering, those that there will be."""
        return self._records.of(file) if self.registration is None else self.registration.record(file)

    def units(self, items: Sequence[pytest.Item]) -> dict[str, str]:
        """Of each file whose tests stay together in their order, with which others: those of its lock, or none.

        Those of its lock where one of its tests could look at pairs and is no claim: a look before a claim is measured
        decides its standing, and which file is first. What claims look at decides nothing for others.
        """
        claims, lookers = dict[str, Path](), dict[str, Path]()
        for item in items:
            file = file_of(item.nodeid)
            if not isinstance(item, pytest.Function) or (file in claims and file in lookers):
                continue
            if CLAIM_ATTRIBUTE in vars(item.function):
                claims[file] = item.path
            elif file not in lookers and mentions_causaltest(item):
                lookers[file] = item.path
        looked = {file: record.folder for file, path in lookers.items() if (record := self.record(path)) is not None}
        units = {file: str(folder) for file, folder in looked.items()}
        for file, path in claims.items():
            record = self.record(path)
            shared = record is not None and record.folder in looked.values()
            units[file] = str(record.folder) if record is not None and shared else file
        return units

    def labs(self, item: pytest.Item) -> list[Lab]:
        """The labs that a test could ask."""
        given = (a for a in getattr(item, "funcargs", {}).values() if isinstance(a, Lab) and a.named)
        return list(dict.fromkeys([*self._labs.values(), *given]))

    def note_looks(self, item: pytest.Item, *, shown: bool = True) -> None:
        """Notes what labs have measured since the last time: whoever could read it is no claim, unless not `shown`."""
        for lab in self.labs(item):
            for seen in lab.looked[self._noted.get(lab, 0) :] if shown else ():
                self.log.add(seen)
            self._noted[lab] = len(lab.looked)

    def tell(self, item: pytest.Item) -> None:
        """Hands what the stores of a test's labs had to tell to the report."""
        item.user_properties += [(TOLD, sentence) for lab in self.labs(item) for sentence in lab.told()]

    def note_searches(self, item: pytest.Item) -> None:
        """Writes the sweeps and searches of a test's labs in its folder's ledger, so that others know of them."""
        self.note_looks(item)
        seen = dict.fromkeys(seen for lab in self.labs(item) for seen in lab.seen)
        if seen and not self.plans_only and (record := self.record(item.path)) is not None:
            record.note(seen)

    def family(self, item: pytest.Item, claim: Claim) -> Family:
        """The claim's family. Raises ClaimError for a claim that was not counted when items were made."""
        name = family_name(item, claim)
        members = self._families.get(name, set())
        if item.nodeid not in members:
            raise ClaimError(
                f"{item.nodeid} was not counted into its family, so no corrected alpha can be given. A claim is a "
                "function or a method of a plain test class, with @claim as its outermost decorator besides marks."
            )
        return Family(name, len(members))

    def conclude(self, result: ClaimResult) -> bool:
        if self.confirmatory_only and result.status not in GOOD:
            told = f"{result.status} ({result.status_reason}), and --causal-confirmatory-only passes CONFIRMATORY and"
            self.failed(f"{told} REPRODUCED only", result)
        if self.baselines.fails(result):
            told = f"REGRESSED: {result.drift['sentence']}"
            self.failed(told, result)
        if result.verdict == "INCONCLUSIVE" and self.inconclusive == "skip":
            pytest.skip(printable(f"INCONCLUSIVE: {result.reason}"))
        if result.verdict != "SUPPORTED":
            self.failed(headline(result), result)
        return True

    def failed(self, told: str, result: ClaimResult) -> NoReturn:
        """Fails the test with the claim's section; what a model or its tokenizer wrote may stand in it."""
        pytest.fail(printable(f"{told}\n{section(result, every_pair=self.verbose)}"), pytrace=False)

    def arguments(self, claim: Claim, item: pytest.Function) -> dict[str, Any]:
        names = parameters_of(claim.body)
        wanted = {name: item.funcargs[name] for name in names if name in item.funcargs}
        if claim.model is None:
            return wanted
        return {name: self.lab(claim.model) if isinstance(a, Lab) else a for name, a in wanted.items()}

    def watch_return(self, item: pytest.Function) -> None:
        """Makes a plain test that returns an Effect an error: pytest would pass it with a warning."""
        if not mentions_causaltest(item):
            return
        original = item.obj

        @functools.wraps(original)
        def checked(*args: Any, **kwargs: Any) -> Any:
            returned = original(*args, **kwargs)
            if isinstance(returned, Effect):
                raise ClaimError(
                    f"{item.name} returned an Effect without @claim, so nobody would judge it. Decorate it with "
                    '@claim("sentence", at_least(...)), or write `assert effect > ...`.'
                )
            return returned

        item.obj = checked


def expand(collector: pytest.Collector) -> None:
    """Makes the items of a module's classes, without selecting them."""
    for child in collector.collect():
        if isinstance(child, pytest.Class):
            expand(child)


def family_name(item: pytest.Item, claim: Claim) -> str:
    """The file, or a named family within it: counted alike however the run was selected."""
    file = item.nodeid.split("::", 1)[0]
    return file if claim.family is None else f"{file}: {claim.family}"


def claim_id(item: pytest.Item, claim: Claim) -> str:
    """The claim's own id, or its test's name; parametrised claims carry their parameters."""
    if claim.id is None:
        return item.nodeid
    parameters = getattr(item, "callspec", None)
    return claim.id if parameters is None else f"{claim.id}[{parameters.id}]"


def claim_of(item: pytest.Function) -> Claim:
    """The claim of a test. Raises ClaimError where another decorator hides it."""
    claim: Claim = getattr(item.obj, CLAIM_ATTRIBUTE)
    function = getattr(item.obj, "__func__", item.obj)
    if getattr(function, WRAPPER_ATTRIBUTE, None) is not function:
        raise ClaimError(
            f"{item.nodeid}: another decorator stands outside of @claim, and would be skipped. Put @claim on top; "
            "below it, a decorator wraps the body."
        )
    return claim


@functools.lru_cache(maxsize=64)
def parameters_of(body: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(body).parameters)


def bound(claim: Claim, item: pytest.Function) -> Claim:
    """The claim with its body bound to the test class's instance, where there is one."""
    if item.instance is None:
        return claim
    return replace(claim, body=claim.body.__get__(item.instance))


def where(item: pytest.Function, error: BaseException) -> str:
    """The line of the test that led to an error, or the test's own."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(item.path)]
    return f"{item.location[0]}:{lines[-1] if lines else (item.location[1] or 0) + 1}: in {item.name}"


def mentions_causaltest(item: pytest.Function) -> bool:
    """Whether a test could have made an Effect: by a lab, or by what its module has of causaltest."""
    if {"lab", "make_lab"} & set(item.fixturenames):
        return True
    return any(home_of(value).split(".")[0] == "causaltest" for value in vars(item.module).values())


def home_of(value: object) -> str:
    """The module that a value comes from. Its class is not asked of itself: a proxy may answer anything, or raise."""
    kind = type(value)
    if issubclass(kind, ModuleType):
        return str(object.__getattribute__(value, "__dict__").get("__name__"))
    return str(getattr(value if issubclass(kind, type | FunctionType) else kind, "__module__", None))
