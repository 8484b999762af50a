"""Bonferroni per claim; Holm in the summary, never less than Bonferroni allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.errors import JudgementError
from causaltest.judging.multiplicity import adjusted, bonferroni, holm


def test_bonferroni_divides_alpha():
    assert bonferroni(0.05, 4) == 0.0125
    assert adjusted(0.02, 4) == pytest.approx(0.08)
    assert adjusted(0.5, 3) == 1.0


def test_an_empty_family_is_refused():
    with pytest.raises(JudgementError, match="family_size=0"):
        bonferroni(0.05, 0)


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([]) == ()


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p_values):
    result = holm(p_values)
    for p, corrected in zip(p_values, result, strict=True):
        assert p <= corrected <= adjusted(p, len(p_values))
    ranked = [corrected for _, corrected in sorted(zip(p_values, result, strict=True))]
    assert ranked == sorted(ranked)
