"""A hook that says that it fired and writes nothing: every control that should see it does."""

import pytest

from causaltest import Lab, accuracy, at_least, at_most, head, judge, last, negligible, resid_post, span
from causaltest.errors import MeasurementError
from causaltest.measuring.engine import Entries
from causaltest.organisms import planted

PAIRS = planted.pairs(per_cluster=1)
CARRIER = head(1, 0, last())


def fires_and_writes_nothing(self, tensor, step, mid_of=None):
    begin = step.stop - tensor.shape[1]
    now = (self.positions >= begin) & (self.positions < step.stop)
    now &= (self.rows >= step.first) & (self.rows < step.first + len(tensor))
    self.fired += int(now.sum())
    return tensor


@pytest.fixture
def dead(monkeypatch):
    """A lab whose patches do not arrive. At load they did: else no site would be proven."""
    lab = Lab.load(planted.NAME)
    lab.clean(PAIRS)
    monkeypatch.setattr(Entries, "write", fires_and_writes_nothing)
    return lab


def verdict(lab, site, prediction):
    return judge(lab.denoise(PAIRS, at=site).recovery(accuracy), prediction)


@pytest.mark.parametrize("prediction", [negligible(within=0.2), at_most(0.2), at_least(0.5)], ids=str)
def test_no_null_is_seen_through_a_dead_hook(dead, prediction):
    """Nor is a claim refuted by it."""
    seen = verdict(dead, CARRIER, prediction)
    assert seen.outcome == "INVALID"
    assert "The positive control failed: head L0-3 H0, 1 @ everywhere gave 0, and 0.5 is needed" in seen.reason


def test_a_dead_hook_in_the_stream_is_seen_where_it_should_write(dead):
    with pytest.raises(MeasurementError, match="the patch does not reach where it says"):
        dead.denoise(PAIRS, at=resid_post(1, span("value"))).recovery(accuracy)


def test_a_live_hook_lets_the_same_claims_through():
    lab = Lab.load(planted.NAME)
    assert verdict(lab, CARRIER, at_least(0.5)).outcome == "SUPPORTED"
    assert verdict(lab, CARRIER, negligible(within=0.2)).outcome == "REFUTED"
