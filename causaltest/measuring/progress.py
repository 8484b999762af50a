"""Progress: a bar for work that takes longer than two seconds, where somebody watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from causaltest.asking.settings import Settings

DELAY = 2.0


class Progress:
    """Patched runs done, of how many; runs per second and time left."""

    def __init__(self, what: str, total: int, settings: Settings) -> None:
        shown = settings.progress
        self._bar: Any = tqdm(
            desc=f"measuring {what}",
            total=total,
            unit=" patched runs",
            delay=DELAY,
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr if isinstance(shown, bool) else shown,
            disable=True if shown is False else None,  # None: only where the file is a terminal
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.close()

    def tick(self, patched_runs: int) -> None:
        self._bar.update(patched_runs)
