"""Interventions: the three things that can be put at a site."""

from __future__ import annotations

from causaltest.asking import interventions
from causaltest.asking.interventions import Intervention


def test_each_intervention_is_its_own_value_and_reads_as_its_name() -> None:
    known = (interventions.replace, interventions.zero, interventions.mean)
    assert [str(i) for i in known] == ["replace", "zero", "mean"]
    assert len({*known}) == 3
    assert interventions.zero == Intervention("zero")
