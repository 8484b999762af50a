"""The rules of standing, each by itself; what registered claims may become is tried in files in test_record.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.recording.git import Committed
from causaltest.recording.lock import Entry
from causaltest.recording.spec import Spec
from causaltest.recording.standing import Standing, Status, other_numbers, standing_of
from causaltest.writing.canonical import digest_of

FIELDS = {"sentence": "s", "prediction": {"threshold": "0.3"}, "models": [{"name": "m"}], "pairs": [{"hash": "p"}]}
COMMITTED = Committed("c" * 40, "h" * 40)


def spec(**changed: Any) -> Spec:
    return Spec("id", {**FIELDS, **changed})


PLAIN, STRICTER = spec(), spec(prediction={"threshold": "0.5"})
NEW_PAIRS, NEW_MODEL = spec(pairs=[{"hash": "q"}]), spec(models=[{"name": "n"}])


def entry(of: Spec = PLAIN, *, prior: tuple[Spec, ...] = (), seen: tuple[str, ...] = ()) -> Entry:
    return Entry("id", of.fields, 1, seen, tuple(one.fields for one in prior))


def look(of: Spec = PLAIN, status: str = "CONFIRMATORY", *, seed: str = "0", day: str = "2026-01-02") -> dict[str, Any]:
    return {
        "spec": of.digest, "data": of.data_digest, "seed": seed, "status": status, "reason": "a reason: do this",
        "at": f"{day}T03:04:05Z", "verdict": "SUPPORTED", "estimate": "0.5", "lower": "0.4", "upper": "0.6",
    }  # fmt: skip


def stands(of: Spec = PLAIN, registered: Entry | None = None, **more: Any) -> Standing:
    given = {"seed": "0", "committed": COMMITTED, "looks": [], "seen": [], **more}
    return standing_of(of, entry() if registered is None else registered, **given)


def told(standing: Standing) -> tuple[str, str]:
    return standing.status, standing.reason


def test_registered_committed_and_seen_by_nobody() -> None:
    assert told(stands()) == ("CONFIRMATORY", "registered in cccccccc")


def test_not_registered() -> None:
    standing = standing_of(PLAIN, None, seed="0", committed=COMMITTED, looks=[look()], seen=["a sweep"])
    assert told(standing) == ("EXPLORATORY", "not registered") and standing.seen == ("a sweep",)


def test_what_forbids_more_comes_first() -> None:
    assert told(stands(looks=[look()], why_not="the body chose")) == ("EXPLORATORY", "the body chose")


def test_a_lock_that_no_commit_has() -> None:
    nowhere = Committed(why_not="there is no repository")
    assert told(stands(committed=nowhere)) == ("EXPLORATORY", "there is no repository")
    assert stands(STRICTER, committed=nowhere).status == "AMENDED", "it is another claim with or without a commit"
    assert stands(committed=nowhere, looks=[look()]).status == "REPRODUCED", "the look itself was confirmatory"


def test_the_same_again_is_reproduced_and_keeps_its_day() -> None:
    looks = [look(seed="7", day="2026-01-01"), look(), look(STRICTER, "AMENDED", day="2026-01-03")]
    standing = stands(looks=looks, seen=["a sweep that came later"])
    assert told(standing) == ("REPRODUCED", "confirmatory on 2026-01-02") and standing.first is looks[1]


def test_another_seed_is_another_look() -> None:
    standing = stands(looks=[look(seed="7")])
    assert told(standing) == (
        "EXPLORATORY",
        "these data were looked at on 2026-01-02, with the seed 7, and another seed is another look",
    )


@pytest.mark.parametrize("status", ["EXPLORATORY", "AMENDED"])
def test_a_look_that_was_not_confirmatory_does_not_become_so(status: str) -> None:
    told_of = stands(looks=[look(status=status)])
    assert told(told_of) == (
        "EXPLORATORY",
        f"these data were looked at on 2026-01-02, when it was {status} (a reason)",
    )


def test_a_look_at_the_same_data_as_another_claim() -> None:
    standing = stands(looks=[look(STRICTER, "AMENDED")])
    assert told(standing) == ("EXPLORATORY", "these data were looked at on 2026-01-02, as another claim of this id")
    assert stands(looks=[look(NEW_PAIRS, "AMENDED")]).status == "CONFIRMATORY", "those were other data"


def test_another_threshold_is_an_amendment() -> None:
    standing = stands(STRICTER, looks=[look()])
    assert told(standing) == ("AMENDED", "prediction.threshold changed since it was registered")
    assert standing.fields == {"prediction.threshold": ("0.3", "0.5")} and standing.prior == PLAIN.digest


def test_many_fields_are_counted() -> None:
    other = spec(**{name: name for name in "abcde"})
    assert stands(other).reason == "a, b, c and 2 more fields changed since it was registered"


def test_an_amended_claim_stays_amended() -> None:
    standing = stands(STRICTER, entry(STRICTER, prior=(PLAIN,)))
    assert told(standing) == ("AMENDED", "amended since it was first registered")
    assert standing.fields == {"prediction.threshold": ("0.3", "0.5")} and standing.prior == digest_of(PLAIN.fields)
    assert stands(STRICTER, entry(STRICTER, prior=(PLAIN,)), looks=[look(STRICTER, "AMENDED")]).status == "AMENDED"


def test_amended_and_amended_back_is_reproduced_where_it_was_confirmed_before() -> None:
    back = entry(PLAIN, prior=(PLAIN, STRICTER))
    assert stands(PLAIN, back, looks=[look()]).status == "REPRODUCED"
    assert stands(PLAIN, back).status == "AMENDED"
    assert stands(PLAIN, entry(STRICTER, prior=(PLAIN,)), looks=[look()]).status == "AMENDED", "no longer what stands"


@pytest.mark.parametrize("new, of", [(NEW_PAIRS, "pairs"), (NEW_MODEL, "models")])
def test_other_data_replicate_what_was_confirmed(new: Spec, of: str) -> None:
    standing = stands(new, looks=[look(seed="7")])
    assert told(standing) == ("REPLICATION", f"of other {of}") and standing.prior == PLAIN.digest
    again = stands(new, looks=[look(), look(new, "REPLICATION", day="2026-02-02")])
    assert told(again) == ("REPLICATION", f"of other {of}, first on 2026-02-02")
    other_seed = stands(new, looks=[look(), look(new, "REPLICATION", seed="7")])
    assert other_seed.status == "EXPLORATORY" and "another seed" in other_seed.reason


def test_other_data_that_something_has_seen() -> None:
    standing = stands(NEW_PAIRS, looks=[look()], seen=["a sweep"])
    assert told(standing) == ("EXPLORATORY", "a sweep")
    uncommitted = stands(NEW_PAIRS, looks=[look()], committed=Committed(why_not="not committed"))
    assert told(uncommitted) == ("EXPLORATORY", "not committed")


def test_other_data_before_any_were_confirmed() -> None:
    for looks in ([], [look(status="EXPLORATORY")], [look(STRICTER)]):
        standing = stands(NEW_PAIRS, looks=looks)
        assert standing.status == "AMENDED" and list(standing.fields) == ["pairs[0].hash"]
        assert standing.reason.endswith("which no look has confirmed on the data that were registered")


def test_other_data_and_another_threshold() -> None:
    both = spec(pairs=[{"hash": "q"}], prediction={"threshold": "0.5"})
    standing = stands(both, looks=[look()])
    assert standing.status == "AMENDED" and "no look" not in standing.reason


def test_what_has_seen_the_pairs_before_or_after_registration() -> None:
    assert told(stands(seen=["a sweep"])) == ("EXPLORATORY", "a sweep")
    standing = stands(PLAIN, entry(seen=("a search",)), seen=["a sweep", "a search"])
    assert told(standing) == ("EXPLORATORY", "a search") and standing.seen == ("a search", "a sweep")


# a reproduction that gives other numbers


def reproduced(**numbers: Any) -> str:
    given = {"verdict": "SUPPORTED", "estimate": 0.5, "lower": 0.4, "upper": 0.6, **numbers}
    return other_numbers(stands(looks=[look()]), given)


def test_a_reproduction_says_when_its_numbers_are_others() -> None:
    assert reproduced() == reproduced(estimate=0.50001) == ""
    assert reproduced(estimate=0.52) == (
        "other numbers than on 2026-01-02: SUPPORTED 0.5 [0.4, 0.6] then, SUPPORTED 0.52 [0.4, 0.6] now; the look of "
        "that day is the one that counts"
    )
    assert "INVALID ? [?, ?] now" in reproduced(verdict="INVALID", estimate=None, lower=None, upper=None)
    assert reproduced(verdict="REFUTED") and reproduced(upper=None)


def test_what_is_no_reproduction_is_held_against_nothing() -> None:
    assert other_numbers(stands(looks=[look(seed="7")]), {"verdict": "REFUTED"}) == ""


# the rule above all rules

SPECS = st.sampled_from([PLAIN, STRICTER, NEW_PAIRS, NEW_MODEL])
STATUSES = st.sampled_from([str(status) for status in Status])
LOOKS = st.lists(st.builds(look, SPECS, STATUSES, seed=st.sampled_from(["0", "7"])), max_size=4)


@given(
    of=SPECS,
    registered=st.none()
    | st.builds(entry, SPECS, prior=st.just(()) | st.tuples(SPECS), seen=st.just(()) | st.just(("s",))),
    seed=st.sampled_from(["0", "7"]),
    reason=st.sampled_from(["", "not committed"]),
    looks=LOOKS,
    seen=st.sampled_from([[], ["a sweep"]]),
    why_not=st.sampled_from(["", "the body chose"]),
)
def test_only_what_was_registered_as_it_is_confirms(
    of: Spec, registered: Entry | None, seed: str, reason: str, looks: Any, seen: Any, why_not: str
) -> None:
    committed = Committed(why_not=reason) if reason else COMMITTED
    standing = standing_of(of, registered, seed=seed, committed=committed, looks=looks, seen=seen, why_not=why_not)
    assert standing.reason
    if standing.status in ("CONFIRMATORY", "REPRODUCED"):
        assert registered is not None and registered.spec == of.fields and not why_not
    if standing.status == "CONFIRMATORY":
        assert not (registered.prior or registered.seen or seen or reason)  # type: ignore[union-attr]
        assert not any(one["data"] == of.data_digest for one in looks)
    if standing.status == "REPRODUCED":
        assert any((one["status"], one["spec"], one["seed"]) == ("CONFIRMATORY", of.digest, seed) for one in looks)
    if standing.status == "REPLICATION":
        assert registered is not None and any(
            (one["status"], one["spec"]) == ("CONFIRMATORY", digest_of(registered.spec)) for one in looks
        )
