"""What a look may call itself, by the lock and the ledger alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest.asking.pair import PAIR_DIGITS
from causaltest.recording.amendment import amend
from causaltest.recording.git import Committed
from causaltest.recording.ledger import parse_ledger
from causaltest.recording.overstated import WORTH, Ground, overstated
from causaltest.recording.record import Record
from causaltest.recording.registration import Candidate, register
from causaltest.recording.spec import Spec
from causaltest.seen import Seen

MORE = ("CONFIRMATORY", "REPLICATION", "AMENDED", "EXPLORATORY")


def spec_of(claim: str, threshold: str, data: str) -> Spec:
    """A claim about few things."""
    return Spec(
        f"t.py::{claim}",
        {
            "models": [{"name": "a model"}],
            "pairs": [{"hash": data}],
            "prediction": {"threshold": threshold},
            "family": {"name": "t.py", "size": 1},
            "sentence": claim,
            "body": claim,
        },
    )


def seen(kind: Any, data: str, question: str = "") -> Seen:
    return Seen(kind, ("a model",), f"{kind} of {data}", question or kind, data, frozenset({data[0] * PAIR_DIGITS}))


class Story:
    """A record that things happen to, and what was looked at by each line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs: dict[str, Spec] = {}
        self.committed = True

    @property
    def record(self) -> Record:
        record = Record(self.folder)
        record.__dict__["committed"] = Committed("c" * 40, "c" * 40, "" if self.committed else "not committed")
        return record

    def happen(self, what: str, claim: str, threshold: str, data: str, seed: str) -> None:
        spec = spec_of(claim, threshold, data)
        self.specs[spec.digest] = spec
        record = self.record
        if what == "register":
            register(record, [Candidate(spec)])
        elif what == "amend" and spec.id in record.lock.entries and record.lock.entries[spec.id].digest != spec.digest:
            amend(record, [Candidate(spec)], [spec.id], why="a reason")
        elif what == "sweep":
            record.note([seen("sweep", data)])
        elif what == "commit":
            self.committed = not self.committed
        elif what == "look":
            record.look(
                spec, seed=seed, seen=[], told={"verdict": "SUPPORTED"}, claims=[seen("claim", data, "all ask it")]
            )

    def overstated(self, place: int, status: str | None = None) -> str:
        """What is told of a look, as it is or with another status."""
        lines = [dict(line) for line in parse_ledger((self.folder / "claims.ledger").read_text())]
        if status is not None:
            lines[place]["status"] = status
        return overstated(place, Ground(self.record.lock, lines), self.specs[lines[place]["spec"]])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "look", "look", "look", "amend", "sweep", "commit"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(["0.5", "0.2"]),
        st.sampled_from(["1st", "2nd"]),
        st.sampled_from(["7", "8"]),
    ),
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_no_status_that_was_given_is_too_much_and_any_higher_one_is(steps: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        for step in steps:
            story.happen(*step)
        looks = [(i, line) for i, line in enumerate(story.record.ledger.lines) if line["kind"] == "look"]
        for place, line in looks:
            status = line["status"]
            assert story.overstated(place) == ""
            if line["reason"] == "not committed":
                continue  # git's word, which a ledger has not got
            for higher in (one for one in MORE if WORTH[one] > WORTH[status]):
                assert higher in story.overstated(place, higher)


def told_of(*steps: tuple[str, ...]) -> tuple[str, str]:
    """The last look's status, and what is told where it is called CONFIRMATORY."""
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        for step in steps:
            story.happen(*step)
        place = len(story.record.ledger.lines) - 1
        return str(story.record.ledger.lines[place]["status"]), story.overstated(place, "CONFIRMATORY")


def test_a_registered_claim_is_confirmatory() -> None:
    assert told_of(("register", "one", "0.5", "1st", ""), ("look", "one", "0.5", "1st", "7")) == ("CONFIRMATORY", "")


def test_what_was_registered_later_was_not_confirmed() -> None:
    status, told = told_of(("look", "one", "0.5", "1st", "7"), ("register", "one", "0.5", "1st", ""))
    assert status == "EXPLORATORY" and "called CONFIRMATORY" in told


def test_what_was_amended_was_not_confirmed() -> None:
    status, told = told_of(
        ("register", "one", "0.5", "1st", ""),
        ("amend", "one", "0.2", "1st", ""),
        ("look", "one", "0.2", "1st", "7"),
    )
    assert status == "AMENDED" and "called CONFIRMATORY" in told


def test_what_was_amended_after_it_was_confirmed_stays_confirmed() -> None:
    status, told = told_of(
        ("register", "one", "0.5", "1st", ""),
        ("look", "one", "0.5", "1st", "7"),
        ("amend", "one", "0.2", "1st", ""),
    )
    assert (status, told) == ("CONFIRMATORY", "")


def test_a_sweep_before_is_told() -> None:
    status, told = told_of(
        ("register", "one", "0.5", "1st", ""),
        ("sweep", "", "", "1st", ""),
        ("look", "one", "0.5", "1st", "7"),
    )
    assert status == "EXPLORATORY" and "sweep of 1st" in told


def test_another_claims_look_at_the_same_pairs_is_told() -> None:
    before = [("look", "one", "0.5", "1st", "7"), ("register", "two", "0.5", "1st", "")]
    status, told = told_of(*before, ("look", "two", "0.5", "1st", "7"))
    assert status == "EXPLORATORY" and "t.py::one has asked the same of these pairs" in told


def test_two_claims_that_were_registered_before_either_was_measured_are_both_confirmatory() -> None:
    before = [("register", "one", "0.5", "1st", ""), ("register", "two", "0.5", "1st", "")]
    looks = [("look", "one", "0.5", "1st", "7"), ("look", "two", "0.5", "1st", "7")]
    assert told_of(*before, *looks) == ("CONFIRMATORY", "")


def test_a_claim_that_was_registered_after_another_had_asked_the_same_is_not_confirmatory() -> None:
    first = [("register", "one", "0.5", "1st", ""), ("look", "one", "0.5", "1st", "7")]
    second = [("register", "two", "0.5", "1st", ""), ("look", "two", "0.5", "1st", "7")]
    status, told = told_of(*first, *second)
    assert status == "EXPLORATORY" and "t.py::one has asked the same of these pairs" in told


def test_a_look_at_a_spec_that_nobody_knows_confirms_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.happen("register", "one", "0.5", "1st", "")
    story.happen("look", "one", "0.2", "1st", "7")
    story.happen("look", "two", "0.5", "2nd", "7")
    lines = [dict(line) for line in story.record.ledger.lines]

    def told(place: int, status: str) -> str:
        lines[place]["status"] = status
        return overstated(place, Ground(story.record.lock, lines), None)

    for status in ("CONFIRMATORY", "REPRODUCED"):
        assert "was never registered" in told(0, status)
    assert told(0, "AMENDED") == told(0, "EXPLORATORY") == told(1, "EXPLORATORY") == ""
    assert "was never registered" in told(1, "AMENDED")


def test_a_replication_follows_a_look_that_confirmed() -> None:
    status, told = told_of(
        ("register", "one", "0.5", "1st", ""),
        ("look", "one", "0.5", "1st", "7"),
        ("look", "one", "0.5", "2nd", "7"),
    )
    assert status == "REPLICATION" and "it was REPLICATION" in told
