"""ClaimScheduling: files that belong together go whole to one worker of pytest-xdist; others as `--dist load` has it.

Claims of one file share a model, fixtures and plans; and what is looked at before a claim is told in its report and
decides its standing. So the tests of a file with claims stay in their order on one worker, and so do those of all
files of one lock which could look at pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScheduling
from xdist.workermanage import WorkerController

from causaltest.pytest_workers import file_of, units_told

ENOUGH = 2
"""Tests that a worker must have before it begins the first of them."""


class ClaimScheduling(LoadScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Load scheduling whose chunks cut no unit of files. All is handed out in the order in which it was collected.

    Subclassed, and not wrapped: which chunk goes to which worker when is decided in one method, `_send_tests`, and
    everything else is to be as `--dist load` does it, in whichever version of pytest-xdist there is.
    """

    def __init__(self, config: pytest.Config, log: Producer | None, units: Callable[[], Mapping[str, str]]) -> None:
        """`units` gives of each file that is not cut the unit that it belongs to, once all workers have collected."""
        super().__init__(config, log)
        self._units = units
        self._whole: dict[int, str] = {}
        """Of each test that stays with others, their unit."""

    def add_node_collection(self, node: WorkerController, collection: list[str]) -> None:
        super().add_node_collection(node, collection)
        if self.collection is not None or not self.collection_is_completed:
            return
        units = self._units()
        self._whole = {n: units[file] for n, nodeid in enumerate(collection) if (file := file_of(nodeid)) in units}
        if not self._whole:
            # A suite without claims is not to notice the plugin, in what pytest -v prints of its scheduler either.
            self.__class__ = LoadScheduling

    def _send_tests(self, node: WorkerController, num: int) -> None:
        chosen: list[int] = []
        while self.pending and len(chosen) < num:
            whole = self._whole.get(self.pending[0])
            if whole is None:
                unit = list(takewhile(lambda n: n not in self._whole, self.pending[: num - len(chosen)]))
            else:
                unit = [n for n in self.pending if self._whole.get(n) == whole]
            taken = frozenset(unit)
            self.pending[:] = [n for n in self.pending if n not in taken]
            chosen += unit
            if whole is not None and len(chosen) >= ENOUGH:
                break
        if chosen:
            self.node2pending[node].extend(chosen)
            node.send_runtest_some(chosen)


def make_scheduler(config: pytest.Config, log: Producer | None) -> LoadScheduling | None:
    """The scheduler of a run; None where another way of spreading tests was chosen, which is left alone."""
    if config.getvalue("dist") != "load" or not hasattr(LoadScheduling, "_send_tests"):
        return None
    return ClaimScheduling(config, log, lambda: units_told(config))
