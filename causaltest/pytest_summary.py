"""What pytest prints of claims: letters, the lines under a failed comparison, and the summary at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from causaltest.effect import Effect
from causaltest.printable import printable
from causaltest.report_properties import PROPERTY
from causaltest.reporting.terminal import section, summary
from causaltest.results import ClaimResult

LETTERS = {"SUPPORTED": ".", "REFUTED": "R", "INCONCLUSIVE": "I", "INVALID": "X"}
MOST_TOLD = 10
"""Sentences of stores that a report prints."""


def status_of(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Pytest's own category, with a letter and a word of the verdict's; xfail is left to pytest."""
    if hasattr(report, "wasxfail") or "[XPASS(strict)]" in str(report.longrepr):
        return None
    result = next(ClaimResult.from_json(str(value)) for name, value in report.user_properties if name == PROPERTY)
    if report.skipped:
        return ("skipped", "i", "INCONCLUSIVE") if result.verdict == "INCONCLUSIVE" else None
    if report.failed and result.verdict == "SUPPORTED":
        # The status fails a claim, or else its drift does.
        return (
            (report.outcome, "D", "REGRESSED")
            if result.drift.get("word") == "REGRESSED"
            else (report.outcome, "F", result.status)
        )
    return (report.outcome, LETTERS[result.verdict], result.verdict) if result.verdict in LETTERS else None


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


def told_lines(told: Sequence[str]) -> list[str]:
    """What stores had to tell, a line each, as long as it is not very much of the same."""
    more = len(told) - MOST_TOLD
    rest = [f"store: and {more} more like these; causaltest cache verify reads all of it"] if more > 0 else []
    return [*(f"store: {sentence}" for sentence in told[:MOST_TOLD]), *rest]


def write_summary(
    reporter: pytest.TerminalReporter, lines: Iterable[str], said: Iterable[str], notes: Iterable[str] = ()
) -> None:
    """What tests said, the table of claims, and with -v their sections; and what was written."""
    results = [ClaimResult.from_json(line) for line in lines]
    reporter.section("causal claims")
    for text in said:
        reporter.write_line(printable(text.expandtabs()))
        reporter.write_line("")
    if reporter.verbosity > 0:
        for result in results:
            if result.verdict == "SUPPORTED":
                reporter.write_line(printable(section(result, every_pair=True)))
                reporter.write_line("")
    for line in [*(summary(results) if results else ()), *notes]:
        reporter.write_line(printable(line))
