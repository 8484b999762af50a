"""No two processes can wait for each other: who holds a lock takes only locks of a later kind.

The order is observed while a model is asked everything that a lab can be asked, and then put to every interleaving of
processes that would go through it at once, with all keys on the fewest files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causaltest import Lab, accuracy, every, last, logit_diff, mean, resid_post, span
from causaltest.asking.settings import Settings, StorePlace
from causaltest.asking.stopping import Stopping
from causaltest.organisms import planted
from causaltest.store.folder import Store

LEVEL = {"plans": 0, "answers": 0, "runs": 1, "shortcuts": 1}
"""Locks of one level are never held together."""

Step = tuple[str, str]
"""Takes or lets go of a lock's file."""


def asked(lab: Lab) -> None:
    """Everything that a lab answers, or would measure for."""
    pairs = planted.pairs(per_cluster=1)
    half, other = pairs.split(discovery=0.5, seed=0)
    reader = resid_post(1, last())
    lab.rehearsal().denoise(pairs, at=reader).recovery(accuracy)
    lab.rehearsal().denoise(pairs, at=resid_post(2, last())).recovery(accuracy)
    lab.denoise(pairs, at=reader).recovery(accuracy)
    lab.noise(pairs, at=reader).drop(logit_diff(range=(-20, 20)))
    lab.ablate(half, at=reader, by=mean(over=other)).change(logit_diff(range=(-20, 20)))
    lab.sweep(half[0], at=resid_post(range(2), every())).recovery(accuracy)
    lab.sweep(half, at=resid_post(range(2), last()), method="attribution").recovery(logit_diff)
    found = lab.search(half, at=resid_post(range(2), last())).recovery(accuracy)
    lab.denoise(other, at=found).recovery(accuracy)
    lab.clean(other)
    lab.clean(half, both_right=True)
    assert lab.denoise(half[0].with_itself(), at=reader).is_neutral
    lab.in_portion(Stopping("obrien-fleming", 2), 1).denoise(pairs, at=resid_post(1, span("value"))).recovery(accuracy)
    lab.card()


@pytest.fixture(scope="module")
def observed(tmp_path_factory) -> set[tuple[str, ...]]:
    """The kinds of lock that were held together, in the order in which they were taken."""
    held: list[str] = []
    seen: set[tuple[str, ...]] = set()
    inner = Store.alone

    @contextmanager
    def watched(self: Store, kind: str, key: str) -> Iterator[None]:
        with inner(self, kind, key):
            held.append(kind)
            seen.add(tuple(held))
            yield
            held.pop()

    place = StorePlace(str(tmp_path_factory.mktemp("store")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "alone", watched)
        asked(Lab.load("organism:planted", settings=Settings(store=place, progress=False)))
        # with answers in the store, and one model asked while another is open
        asked(Lab.load("organism:planted", seed="1", settings=Settings(store=place, progress=False)))
    return seen


def test_who_holds_a_lock_takes_only_locks_of_a_later_kind(observed):
    assert set(LEVEL) == {kinds[-1] for kinds in observed}
    assert ("plans", "runs") in observed and ("answers", "runs") in observed
    for kinds in observed:
        levels = [LEVEL[kind] for kind in kinds]
        assert levels == sorted(set(levels)), f"{' -> '.join(kinds)} can make two processes wait for each other"


def steps_of(kinds: Sequence[str]) -> list[Step]:
    """Takes one lock inside the other, and lets them go. All keys of a kind share one file."""
    return [*(("take", kind) for kind in kinds), *(("let go", kind) for kind in reversed(kinds))]


def stuck(processes: Sequence[Sequence[Step]]) -> bool:
    """Whether any interleaving comes to where nobody can go on, and somebody is not done."""
    plans = tuple(tuple(process) for process in processes)

    @cache
    def reached(at: tuple[int, ...]) -> bool:
        held = [kind for p, n in zip(plans, at, strict=True) for kind in held_at(p, n)]
        able = [
            i
            for i, (p, n) in enumerate(zip(plans, at, strict=True))
            if n < len(p) and (p[n][0] == "let go" or p[n][1] not in held)
        ]
        if not able:
            return any(n < len(p) for p, n in zip(plans, at, strict=True))
        return any(reached((*at[:i], at[i] + 1, *at[i + 1 :])) for i in able)

    return reached((0,) * len(plans))


def held_at(process: Sequence[Step], n: int) -> list[str]:
    held: list[str] = []
    for what, kind in process[:n]:
        held.append(kind) if what == "take" else held.remove(kind)
    return held


def test_no_interleaving_of_three_processes_is_stuck(observed):
    ways = sorted(observed)

    @settings(max_examples=60)
    @given(st.lists(st.lists(st.sampled_from(ways), min_size=1, max_size=3), min_size=2, max_size=3))
    def hold(processes):
        assert not stuck([[step for kinds in process for step in steps_of(kinds)] for process in processes])

    hold()


def test_another_order_would_be_stuck():
    assert stuck([steps_of(["plans", "runs"]), steps_of(["runs", "plans"])])
    assert not stuck([steps_of(["plans", "runs"]), steps_of(["runs"]), steps_of(["plans"])])
