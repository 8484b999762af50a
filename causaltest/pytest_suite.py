"""The suite as pytest sees it: families and ids, labs, the running of a claim, and its report."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Failed

from causaltest.asking.claims import CLAIM_ATTRIBUTE, Claim, given_message
from causaltest.asking.lab import Lab
from causaltest.effect import Effect
from causaltest.errors import ClaimError
from causaltest.reporting.terminal import section, summary
from causaltest.session import ClaimResult, Family, decide
from causaltest.sweep import SweepMap

PROPERTY, SAID = "causaltest", "causaltest said"
LETTERS = {"SUPPORTED": ".", "REFUTED": "R", "INCONCLUSIVE": "I", "INVALID": "X"}


class ClaimFailed(Failed):
    """A claim that is not SUPPORTED; its text is the claim's section."""


class Suite:
    """The claims and labs of one pytest run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.seed = str(config.getoption("causal_seed"))
        self.inconclusive = str(config.getini("causaltest_inconclusive"))
        self.default_model, self.swaps = models_of(config)
        self._families: dict[str, set[str]] = {}
        self._ids: dict[str, set[str]] = {}
        self._labs: dict[str, Lab] = {}

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
        name = self.swaps.get(name, name)
        if name not in self._labs:
            self._labs[name] = Lab.load(name, seed=self.seed)
        return self._labs[name]

    def default_lab(self) -> Lab:
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
        claim: Claim = getattr(item.obj, CLAIM_ATTRIBUTE)
        name = family_name(item, claim)
        result = decide(
            bound(claim, item),
            self.arguments(claim, item),
            nodeid=item.nodeid,
            claim_id=claim_id(item, claim),
            family=Family(name, max(1, len(self._families.get(name, ())))),
            seed=self.seed,
        )
        item.user_properties.append((PROPERTY, result.to_json()))
        if result.verdict == "INCONCLUSIVE" and self.inconclusive == "skip":
            pytest.skip(f"INCONCLUSIVE: {result.reason}")
        if result.verdict != "SUPPORTED":
            raise ClaimFailed(section(result), pytrace=False)
        return True

    def arguments(self, claim: Claim, item: pytest.Function) -> dict[str, Any]:
        wanted = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
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


@dataclass(frozen=True)
class ReportFolder:
    """Where maps and figures of a run go."""

    path: Path
    _properties: list[tuple[str, object]]

    def say(self, text: str) -> None:
        """Prints a text in the report's section, also when the test passes or runs on a worker."""
        self._properties.append((SAID, text))

    def heatmap(self, sweep: SweepMap, name: str, *, title: str = "") -> Path:
        """A PNG of a sweep: estimates, with the sites whose patch moved nothing crossed out."""
        from causaltest.reporting.plots import heatmap

        self.path.mkdir(parents=True, exist_ok=True)
        return heatmap(sweep, self.path / name, title=title or sweep.summary)


def models_of(config: pytest.Config) -> tuple[str | None, dict[str, str]]:
    """The lab fixture's model, and the models to put in place of others."""
    given: list[str] = config.getoption("causal_model")
    swaps = dict(g.split("=", 1) for g in given if "=" in g)
    names = [g for g in given if "=" not in g]
    default = names[-1] if names else str(config.getini("causaltest_model") or "") or None
    return default, swaps


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


def bound(claim: Claim, item: pytest.Function) -> Claim:
    """The claim with its body bound to the test class's instance, where there is one."""
    if item.instance is None:
        return claim
    return Claim(
        claim.sentence, claim.prediction, claim.body.__get__(item.instance), claim.id, claim.model, claim.family
    )


def mentions_causaltest(item: pytest.Function) -> bool:
    if {"lab", "make_lab"} & set(item.fixturenames):
        return True
    return any(str(getattr(v, "__module__", "")).startswith("causaltest.") for v in vars(item.module).values())


def status_of(report: pytest.TestReport) -> tuple[str, str, str]:
    """Pytest's own category, with a letter and a word of the verdict's."""
    result = next(ClaimResult.from_json(str(value)) for name, value in report.user_properties if name == PROPERTY)
    if report.skipped:
        return "skipped", "i", "INCONCLUSIVE"
    return report.outcome, LETTERS[result.verdict], result.verdict


def explain_comparison(op: str, left: object, right: object) -> list[str] | None:
    """The lines under a failed `assert effect > 0.3`."""
    if not isinstance(left, Effect) or not isinstance(right, int | float) or op not in (">", ">=", "<", "<="):
        return None
    verdict = {">": left.__gt__, ">=": left.__ge__, "<": left.__lt__, "<=": left.__le__}[op](right)
    asked = left.question.summary if left.question is not None else "effect"
    return [
        f"{asked} {op} {right:g} is {verdict.outcome}",
        f"observed {verdict.estimate:.4g}, bounds [{verdict.lower:.4g}, {verdict.upper:.4g}], "
        f"n = {verdict.n} in {verdict.units} units, p = {verdict.p_value:.3g}",
        verdict.reason,
        "exploratory: an assertion is not a registered claim",
    ]


def write_summary(reporter: pytest.TerminalReporter, lines: Iterable[str], said: Iterable[str]) -> None:
    """What tests said, the table of claims, and with -v their sections."""
    results = [ClaimResult.from_json(line) for line in lines]
    reporter.section("causal claims")
    for text in said:
        reporter.write_line(text)
        reporter.write_line("")
    if reporter.verbosity > 0:
        for result in results:
            if result.verdict == "SUPPORTED":
                reporter.write_line(section(result))
                reporter.write_line("")
    for line in summary(results) if results else ():
        reporter.write_line(line)
