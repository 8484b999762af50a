"""Effects: several on the same pairs, by name."""

from __future__ import annotations

import dataclasses

import pytest

from causaltest.effect import Controls, Effect, FullComponent, PositiveControl, SelfPatch, Waived
from causaltest.effects import Effects
from causaltest.errors import ClaimError, JudgementError, RehearsalRead


def effect(values=(1, 0, 1), **more) -> Effect:
    return Effect.from_values(values, **{"kind": "binary", "iid": True, **more})


def with_controls(given: Effect, **controls) -> Effect:
    return dataclasses.replace(given, numbers=dataclasses.replace(given.measured, controls=Controls(**controls)))


@dataclasses.dataclass(frozen=True)
class Asked:
    summary: str

    @property
    def site(self) -> str:
        return self.summary.upper()

    def canonical(self):
        return {"asked": self.summary}


def test_they_are_known_by_their_names():
    effects = Effects({3: effect(), 6: effect((0, 0, 0))})
    assert effects[6].estimate == 0
    assert len(effects) == 2
    assert repr(effects).startswith("Effects(3: Effect(given values: 0.6667")
    with pytest.raises(JudgementError, match=r"no effect under 9; the mapping holds \[3, 6\]"):
        effects[9]
    with pytest.raises(ClaimError, match="neither true nor false"):
        bool(effects)


def test_what_was_given_may_change_afterwards():
    given = {3: effect()}
    effects = Effects(given)
    given.clear()
    assert len(effects) == 1


def test_an_empty_mapping_and_entries_that_are_no_effects():
    with pytest.raises(JudgementError, match="The mapping of effects is empty"):
        Effects({})
    with pytest.raises(JudgementError, match=r"holds float under 6, and each entry must be an Effect"):
        Effects({3: effect(), 6: 0.5})


def test_they_are_about_the_same_pairs():
    with pytest.raises(JudgementError, match=r"Of the effects 3 and 9: .*not about the same pairs.*\(a, pair 0\)"):
        Effects({3: effect(), 6: effect(), 9: effect(pair_ids=["a", "pair 1", "pair 2"])})
    with pytest.raises(JudgementError, match="Of the effects 3 and 6: A binary effect and a continuous"):
        Effects({3: effect(), 6: effect(kind="continuous")})
    with pytest.raises(JudgementError, match="disagree on which pairs belong together"):
        Effects({3: effect(), 6: effect(iid=False, clusters=[1, 1, 2])})


def test_in_rehearsal_they_know_only_their_questions():
    effects = Effects({3: Effect(Asked("a"), None), 6: Effect(Asked("b"), None)})
    assert effects.in_rehearsal
    assert effects.question.summary == "3: a; 6: b"
    assert effects.question.site == "3: A; 6: B"
    assert effects.question.canonical() == {"effects": [[3, {"asked": "a"}], [6, {"asked": "b"}]]}
    with pytest.raises(RehearsalRead):
        _ = effects.joint
    assert Effects({3: effect()}).question is None


def test_many_questions_are_told_shortly():
    effects = Effects({i: Effect(Asked(f"q{i}"), None) for i in range(192)})
    assert effects.question.summary == "0: q0; 190 more; 191: q191"
    assert len(effects.question.canonical()["effects"]) == 192


def test_the_joint_effect_shows_the_worst_control():
    good = {"self_patch": SelfPatch(0, 1), "positive": PositiveControl(0.9, 0.1, "all"), "distance": (3.0, 3.0, 3.0)}
    bad = {"self_patch": SelfPatch(2, 1), "positive": PositiveControl(0.0, 0.1, "all"), "distance": (4.0, 1.0, 3.0)}
    whole = FullComponent(0.1, 0.5, "L3")
    for order in ((good, bad, good), (bad, good, good), (good, good, bad)):
        members = {i: with_controls(effect(), full=whole if c is bad else None, **c) for i, c in enumerate(order)}
        controls = Effects(members).joint.measured.controls
        assert controls.self_patch == SelfPatch(2, 1)
        assert controls.positive == PositiveControl(0.0, 0.1, "all")
        assert controls.distance == (3.0, 1.0, 3.0)
        assert controls.full == whole
        assert controls.placebo == Waived("the control of a comparison is its other members")


def test_the_joint_effect_has_seen_what_any_member_has():
    seen = [
        dataclasses.replace(effect().measured, seen=labels) for labels in (("a sweep",), (), ("a search", "a sweep"))
    ]
    joint = Effects({i: Effect(None, numbers) for i, numbers in enumerate(seen)}).joint
    assert joint.measured.seen == ("a sweep", "a search")
