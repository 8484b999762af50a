"""ClaimScheduling: a file with claims goes whole to one worker of pytest-xdist; other tests as `--dist load` has it.

Claims of one file share a model, fixtures and plans; and what a test of the file looks at before a claim is told in
the claim's report, so that its tests stay in their order, too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScheduling
from xdist.workermanage import WorkerController

from causaltest.pytest_workers import claim_files, file_of

ENOUGH = 2
"""Tests that a worker must have before it begins the first of them."""


class ClaimScheduling(LoadScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Load scheduling whose chunks do not cut a file with claims. Such files are handed out first, one at a time.

    Subclassed, and not wrapped: which chunk goes to which worker when is decided in one method, `_send_tests`, and
    everything else is to be as `--dist load` does it, in whichever version of pytest-xdist there is.
    """

    def __init__(self, config: pytest.Config, log: Producer | None, files: Callable[[], frozenset[str]]) -> None:
        """`files` gives the files that have claims, once all workers have collected."""
        super().__init__(config, log)
        self._files = files
        self._whole: dict[int, str] = {}
        """Of each test that stays with its file, the file."""

    def add_node_collection(self, node: WorkerController, collection: list[str]) -> None:
        super().add_node_collection(node, collection)
        if self.collection is not None or not self.collection_is_completed:
            return
        files = self._files()
        self._whole = {n: file for n, nodeid in enumerate(collection) if (file := file_of(nodeid)) in files}
        if not self._whole:
            # A suite without claims is not to notice the plugin, in what pytest -v prints of its scheduler either.
            self.__class__ = LoadScheduling

    def _send_tests(self, node: WorkerController, num: int) -> None:
        chosen: list[int] = []
        while self.pending and len(chosen) < num:
            first = next((n for n in self.pending if n in self._whole), None)
            if first is None:
                unit = self.pending[: num - len(chosen)]
            else:
                unit = [n for n in self.pending if self._whole.get(n) == self._whole[first]]
            taken = frozenset(unit)
            self.pending[:] = [n for n in self.pending if n not in taken]
            chosen += unit
            if first is not None and len(chosen) >= ENOUGH:
                break
        if chosen:
            self.node2pending[node].extend(chosen)
            node.send_runtest_some(chosen)


def make_scheduler(config: pytest.Config, log: Producer | None) -> LoadScheduling | None:
    """The scheduler of a run; None where another way of spreading tests was chosen, which is left alone."""
    if config.getvalue("dist") != "load" or not hasattr(LoadScheduling, "_send_tests"):
        return None
    return ClaimScheduling(config, log, lambda: claim_files(config))
