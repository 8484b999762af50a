"""A published pilot, judged again: 5 recoveries in 9 pairs were called causal involvement.

The pilot patched three layers of a latent reasoner at "the first [THINK]", found 4, 4 and 5 of 9
eligible pairs recovered, wrote "p < 0.05", and retracted it: 634 pairs would have been needed.
The outcomes are recorded data, measured elsewhere, so they are given as values. No control was run.
"""

from __future__ import annotations

import pytest

from causaltest import Effect, Outcome, Waived, at_least, judge
from causaltest.pytest_suite import ReportFolder


@pytest.mark.parametrize(("layer", "recovered"), [(3, 4), (6, 4), (11, 5)])
def test_pilot_is_inconclusive(layer: int, recovered: int, causal_report: ReportFolder) -> None:
    outcomes = [1] * recovered + [0] * (9 - recovered)
    effect = Effect.from_values(outcomes, kind="binary", iid=True, placebo=Waived("the pilot ran no control"))
    verdict = judge(effect, at_least(0.5), family_size=3)
    needed = "; ".join(f"{n} pairs {label}" for label, n in verdict.needed.items())
    causal_report.say(
        f"pilot, layer {layer}: {recovered}/9, bounds [{verdict.lower:.3f}, {verdict.upper:.3f}], "
        f"p = {verdict.p_value:.2f}: {verdict.outcome}. {needed}"
    )
    assert verdict.outcome is Outcome.INCONCLUSIVE
    if recovered == 5:
        assert 634 in verdict.needed.values(), "the figure that the retraction published"
