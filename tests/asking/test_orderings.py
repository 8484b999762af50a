"""Predictions about several effects: what reads as one, and what no mapping could answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from causaltest.asking.orderings import Monotone, mismatch, monotone, top
from causaltest.asking.predictions import at_least
from causaltest.errors import ClaimError


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (monotone([3, 6, 9]), "rising 3 < 6 < 9"),
        (monotone(range(12)), "rising 0 < 1 < ... < 10 < 11"),
        (top(1, 9), "9 in the top 1"),
        (top(3, ["a", "b"]), "a and b in the top 3"),
        (top(2, (9, 6)), "(9, 6) in the top 2"),
    ],
)
def test_an_order_reads_as_one(prediction: Any, words: str) -> None:
    assert str(prediction) == words
    assert prediction.threshold is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: monotone([3, 6]), r"monotone\(\[3, 6\]\) is a trend, and needs three effects or more.*late - early"),
        (lambda: monotone([]), "monotone names no effect"),
        (lambda: monotone([3, 6, 3]), "monotone names 3 twice"),
        (lambda: monotone("abc"), r"takes a list of names, as in monotone\(\[3, 6, 9\]\), and got 'abc'"),
        (lambda: monotone(3), "takes a list of names"),  # type: ignore[arg-type]
        (lambda: Monotone((3, [6], 9)), r"names \[6\], which cannot be the key"),  # type: ignore[arg-type]
        (lambda: top(1, []), "top names no effect"),
        (lambda: top(1, [9, 6]), r"top\(k=1, \[9, 6\]\): k is a whole number, at least as large as the 2 named"),
        (lambda: top(0, 9), r"top\(k=0, \[9\]\): k is a whole number"),
        (lambda: top(1.0, 9), r"k is a whole number"),  # type: ignore[arg-type]
        (lambda: top(True, 9), r"k is a whole number"),
        (lambda: top(2, [9, 9]), "top names 9 twice"),
    ],
)
def test_what_is_no_order_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ClaimError, match=words):
        make()


@pytest.mark.parametrize("make", [lambda **more: monotone([1, 2, 3], **more), lambda **more: top(1, 9, **more)])
def test_the_numbers_are_checked_as_everywhere(make: Callable[..., Any]) -> None:
    with pytest.raises(ClaimError, match="alpha=5 must lie between"):
        make(alpha=5)
    with pytest.raises(ClaimError, match="power=1 must lie between"):
        make(power=1)
    for size in (0.0, -0.1, math.nan, math.inf, "0.1"):
        with pytest.raises(ClaimError, match=r"expecting=.* a step or a lead lies above 0"):
            make(expecting=size)
    with pytest.raises(ClaimError, match=r"smallest=-0\.1 would not make"):
        make(smallest=-0.1)
    assert make(smallest=0.1).assumed == 0.1
    assert make(smallest=0.1, expecting=0.2).assumed == 0.2
    assert make().assumed is None


def test_one_effect_and_several_are_told_apart() -> None:
    assert mismatch(at_least(0.3), several=False) is None
    assert mismatch(top(1, 9), several=True) is None
    assert "Return one Effect, or claim monotone" in (mismatch(at_least(0.3), several=True) or "")
    assert "Return a mapping from names to effects" in (mismatch(top(1, 9), several=False) or "")
