"""The page about the store, done step by step in a temporary folder.

`CAUSALTEST_WRITE_STORE=1 pytest tests/test_store_page.py` writes what was printed into the page.
"""

from __future__ import annotations

import os

from walkthrough import ROOT, File, Walk, same, steps

PAGE = ROOT / "docs" / "store.md"
WRITES = bool(os.environ.get("CAUSALTEST_WRITE_STORE"))


def test_every_command_prints_what_the_page_shows(tmp_path, warm):
    page = PAGE.read_text(encoding="utf-8")
    walk, done = Walk(tmp_path, warm), []
    for step in steps(page):
        if isinstance(step, File):
            walk.write(step)
        else:
            done.append((step, walk.run(step.line)))
    wrong = [(step, printed) for step, printed in done if not same(step.shown, printed, vary=step.vary)]
    if WRITES:
        for step, printed in reversed(wrong):
            start, stop = step.span
            page = page[:start] + (f"{printed}\n" if printed else "") + page[stop:]
        PAGE.write_text(page, encoding="utf-8")
    told = [f"$ {step.line}\n--- the page:\n{step.shown}\n--- printed:\n{printed}" for step, printed in wrong]
    assert WRITES or not wrong, "\n\n".join(told)
