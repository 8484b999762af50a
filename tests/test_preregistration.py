"""The page about pre-registration, done step by step with a git repository in a temporary folder.

`CAUSALTEST_WRITE_PREREGISTRATION=1 pytest tests/test_preregistration.py` writes what was printed into the page.
"""

from __future__ import annotations

import os

import pytest
from walkthrough import ROOT, Command, File, Walk, same, steps

PAGE = ROOT / "docs" / "preregistration.md"
WRITES = bool(os.environ.get("CAUSALTEST_WRITE_PREREGISTRATION"))


@pytest.fixture(scope="module")
def walked(tmp_path_factory, warm) -> list[tuple[Command, str]]:
    """Every command of the page, with what it printed."""
    page, done = PAGE.read_text(encoding="utf-8"), []
    walk = Walk(tmp_path_factory.mktemp("walk"), warm)
    for step in steps(page):
        if isinstance(step, File):
            walk.write(step)
        else:
            done.append((step, walk.run(step.line)))
    return done


def test_every_command_prints_what_the_page_shows(walked):
    if WRITES:
        write(walked)
    wrong = [(step, printed) for step, printed in walked if not same(step.shown, printed, vary=step.vary)]
    told = [f"$ {step.line}\n--- the page:\n{step.shown}\n--- printed:\n{printed}" for step, printed in wrong]
    assert WRITES or not wrong, "\n\n".join(told)


def write(walked: list[tuple[Command, str]]) -> None:
    """Puts what was printed in the place of what was shown, where it says something else."""
    page = PAGE.read_text(encoding="utf-8")
    for step, printed in reversed(walked):
        if not same(step.shown, printed, vary=step.vary):
            start, stop = step.span
            page = page[:start] + (f"{printed}\n" if printed else "") + page[stop:]
    PAGE.write_text(page, encoding="utf-8")


def test_every_standing_is_shown():
    page = PAGE.read_text(encoding="utf-8")
    shown = "".join(step.shown for step in steps(page) if isinstance(step, Command))
    for word in ("CONFIRMATORY", "REPRODUCED", "REPLICATION", "AMENDED", "EXPLORATORY", "TAMPERED"):
        assert word in shown, word
    for word in ("HOLDS         rounding", "REGRESSED     finding"):
        assert word in shown, word


def test_a_long_run_says_the_same_as_a_short_one():
    assert same("1 passed in 3.20s", "1 passed in 75.20s (0:01:15)")
    assert same("25.9 before", "25.8 before", vary=True)
    assert not same("1 REGRESSED", "1 HOLDS", vary=True)


def test_what_differs_is_seen_unless_it_is_another_each_time():
    line = "CONFIRMATORY: registered in 5f3fff85, at 2026-01-01T10:00:00Z, in 3.20s"
    assert same(line, "CONFIRMATORY: registered in 0a1b2c3d, at 2026-12-01T11:30:00Z, in 0.45s")
    assert not same(line, line.replace("CONFIRMATORY", "AMENDED"))
    assert not same("estimate 0.500", "estimate 0.501")


def test_no_block_of_the_page_is_left_out_in_silence():
    shown_only = "<!-- not run: for another machine -->\n```yaml\na: b\n```\n"
    assert list(steps(shown_only)) == []
    with pytest.raises(ValueError, match="neither a file nor a console"):
        list(steps(shown_only.split("\n", 1)[1]))
    (first, second) = steps("```console\n$ one\n1\n2\n$ two\n```\n")
    assert (first.line, first.shown, second.line, second.shown) == ("one", "1\n2\n", "two", "")
