"""Foresight: the claims of a run are rehearsed before the first is measured, so that they can be planned together.

Each claim is set up and torn down as pytest does it, its body is rehearsed, and its labs come to
expect what it will ask. Whatever goes wrong here is left for the claim's own run to report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest


def rehearse_all(
    items: Sequence[pytest.Function], rehearse: Callable[[pytest.Function], None], then: pytest.Item
) -> None:
    """Rehearses claims, each with its fixtures; what `then`, the run's first item, needs stays set up."""
    for item, following in zip(items, [*items[1:], then], strict=True):
        try:
            item.ihook.pytest_runtest_setup(item=item)
            rehearse(item)
        except (Exception, pytest.skip.Exception, pytest.fail.Exception):
            pass  # told when the claim itself runs
        finally:
            clean_up(item, following)


def clean_up(item: pytest.Function, following: pytest.Item) -> None:
    """Leaves a claim as it was before: torn down, without captured output, ready to be set up again."""
    try:
        item.ihook.pytest_runtest_teardown(item=item, nextitem=following)
    except (Exception, pytest.skip.Exception, pytest.fail.Exception):
        pass
    item._report_sections.clear()
    item.user_properties.clear()
    item._initrequest()
