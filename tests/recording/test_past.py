"""The past of a lock's events: the same as by following them back, and of one branch without any room."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import looked, spec

from causaltest.errors import RecordError
from causaltest.recording import past as room
from causaltest.recording.lock import Lock, followed_by
from causaltest.recording.past import Past
from causaltest.recording.verification import broken_ties


def event(i: int, *before: int) -> dict[str, Any]:
    previous, *also = [f"{name}" if name >= 0 else "" for name in before]
    more = {"also": also[0]} if also else {}
    return {
        "kind": "merge",
        "at": "then",
        "hash": f"{i}",
        "previous": previous,
        "ledger": {"head": "", "lines": 0},
    } | more


@given(st.data(), st.integers(1, 12))
def test_an_event_has_before_it_what_it_follows_and_no_other(data: st.DataObject, count: int) -> None:
    """Events may follow themselves and those after them where somebody has moved them: that is no past."""
    one = st.integers(-1, count)
    events = [event(i, *data.draw(st.lists(one, min_size=1, max_size=2))) for i in range(count)]
    known: dict[str, set[int]] = {}
    for i, this in enumerate(events):
        known[this["hash"]] = {i}.union(*(known.get(name, ()) for name in followed_by(this)))
    past = Past(events)
    for i, this in enumerate(events):
        assert {j for j in range(count) if past.has(i, j)} == known[this["hash"]]


def test_many_events_of_one_branch_take_no_more_room_than_their_number() -> None:
    events = [event(i, i - 1) for i in range(10_000)]
    lock = Lock({}, tuple(events))
    tracemalloc.start()
    assert len(broken_ties(lock, [looked("9999", spec("a"))])) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * len(events)


def test_events_that_fork_more_often_than_any_record_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_RUNS", 10)
    Past([event(i, -1) for i in range(10)])
    with pytest.raises(RecordError, match="fork and join more than 10 times"):
        Past([event(i, -1) for i in range(11)])
