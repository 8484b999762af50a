"""Tests set up and torn down one after the other, without a report of each."""

from __future__ import annotations

from typing import Any, Self

import pytest

KEEPERS = ("capturemanager", "logging-plugin", "threadexception", "unraisableexception")
"""Pytest's own plugins that keep what a single test prints, logs or loses: here none is reported."""
HOOKS = ("pytest_runtest_setup", "pytest_runtest_teardown")


class QuietSetup:
    """Sets tests up as pytest does, with marks, fixtures and conftest's hooks. What they print is dropped."""

    def __init__(self, config: pytest.Config) -> None:
        manager = config.pluginmanager
        self._capture: Any = manager.getplugin("capturemanager")
        left_out = [plugin for plugin in map(manager.getplugin, KEEPERS) if plugin is not None]
        # A conftest's hooks are for the tests of its folder, which only the item's own caller knows.
        own = any(
            "conftest" in impl.plugin_name for name in HOOKS for impl in getattr(config.hook, name).get_hookimpls()
        )
        self._callers: Any = None if own else [manager.subset_hook_caller(name, left_out) for name in HOOKS]

    def __enter__(self) -> Self:
        if self._capture is not None:
            self._capture.resume_global_capture()
        return self

    def __exit__(self, *_: object) -> None:
        if self._capture is not None:
            self._capture.suspend_global_capture(in_=False)
            self._capture.read_global_capture()

    def set_up(self, item: pytest.Function) -> None:
        """Raises what a fixture raises, and pytest's own exception for a test that is skipped."""
        (item.ihook.pytest_runtest_setup if self._callers is None else self._callers[0])(item=item)

    def tear_down(self, item: pytest.Function, following: pytest.Function | None) -> None:
        """Leaves set up what the following test needs too."""
        (item.ihook.pytest_runtest_teardown if self._callers is None else self._callers[1])(
            item=item, nextitem=following
        )
