"""Claims about several effects, and about a change, as pytest runs them."""

from __future__ import annotations

ORDERS = """
LAYERS = range(3)

@claim("The last position takes over only in the last layers.", monotone(LAYERS))
def test_rises():
    return {0: given([0] * 50 + [1] * 10), 1: given([0] * 30 + [1] * 30), 2: given([0] * 5 + [1] * 55)}

@claim("Nowhere is as good as in the last layer.", top(1, 2))
def test_best():
    return {0: given([0] * 50 + [1] * 10), 1: given([0] * 30 + [1] * 30), 2: given([0] * 5 + [1] * 55)}

@claim("Nothing has been lost.", unchanged(margin=0.1))
def test_kept():
    now, before = (Effect.from_values([v] * 60, kind="continuous", iid=True) for v in (0.5, 0.5 + 1e-12))
    return now - before
"""
MEASURED = """
@claim("The value is carried at its own token, and not in the rest.", top(1, "value"))
def test_site(lab, pairs):
    at = {"value": last(span("value")), "rest": last(span("rest")), "end": last()}
    return {name: lab.denoise(pairs, at=resid_post(0, where)).recovery(accuracy) for name, where in at.items()}
"""
MISFIT = """
@claim("One effect has no order.", monotone([1, 2, 3]))
def test_a():
    return given(VALUES)
"""


def test_orders_and_changes_are_decided(claims):
    result = claims(ORDERS, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*rising 0 < 1 < 2*", "*2 in the top 1*", "*unchanged, margin 0.1*", "*HOLDS*"])


def test_a_place_is_measured(claims):
    result = claims(MEASURED, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["  value: recovery(accuracy)*", "*value in the top 1", "*patch distance*"])
    result.stdout.fnmatch_lines(["*rest, end: in some pairs the patched vectors equal those*"])


def test_what_does_not_fit_is_an_error(claims):
    result = claims(MISFIT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is about several effects, and one was given. Return a mapping*"])
