"""What a page of the docs shows between its marks, so that a test can hold it against a run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def block(page: str, marker: str) -> str:
    """The code under `<!-- marker -->` on a page, named from the root of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"{page}: {marker}"
    return found[1]
