"""What a question looks at, and which earlier looks a claim must be told of."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causaltest.asking.checks import Checks
from causaltest.asking.experiment import Experiment, Patching
from causaltest.asking.metrics import accuracy, logit_diff
from causaltest.asking.pair import Pair
from causaltest.asking.pairs import Pairs
from causaltest.asking.positions import last
from causaltest.asking.sightings import looked_at, seen_by, swept_over, told
from causaltest.asking.sites import Site, resid_post
from causaltest.asking.wrong_places import wrong_layers
from causaltest.effect import Difference
from causaltest.seen import Found, Seen

SITE = resid_post(6, last())


def pairs(*numbers: int) -> Pairs:
    return Pairs(
        [Pair(clean=f"{n} ducks", corrupt=f"{n} geese", answer=str(n), cluster=f"c{n}", id=f"id {n}") for n in numbers]
    )


def asked(on: Pairs, site: Site = SITE, model: str = "m", **more: object) -> Experiment:
    return Experiment(Patching(model, "denoise", on, (site,)), "recovery", accuracy, **more)  # type: ignore[arg-type]


def claim(on: Pairs, **more: object) -> Seen:
    made = looked_at(asked(on, **more))  # type: ignore[arg-type]
    assert made is not None
    return made


def sweep(on: Pairs, kind: str = "sweep", **more: object) -> Seen:
    return swept_over(asked(on, **more), kind, "recovery(accuracy), denoise resid_post (72 sites)")  # type: ignore[arg-type]


SOME, MORE, OTHER = pairs(*range(5)), pairs(*range(3, 10)), pairs(*range(20, 30))


# the pair, by what a model sees of it


def test_another_name_does_not_make_another_pair() -> None:
    one = Pair(clean="2 ducks", corrupt="3 ducks", answer="2", cluster="a", id="x", spans={"n": (0, 1)})
    for same in (
        dataclasses.replace(one, id="y"),
        dataclasses.replace(one, cluster="b"),
        dataclasses.replace(one, spans={}),
        dataclasses.replace(one, answer="two"),
        Pair(clean="3 ducks", corrupt="2 ducks", answer="3"),
    ):
        assert same.digest == one.digest
    for other in (dataclasses.replace(one, clean="4 ducks", spans={}), dataclasses.replace(one, corrupt="4 ducks")):
        assert other.digest != one.digest
    chats = [Pairs([one]).as_chat(system=text)[0].digest for text in ("Be brief.", "Be kind.")]
    assert len({one.digest, *chats}) == 3


def test_pairs_are_the_same_ones_in_any_order() -> None:
    assert pairs(1, 2, 3).each == pairs(3, 1, 2).each
    assert len(pairs(1, 2, 3).each) == 3


# sweeps and searches


@pytest.mark.parametrize("kind", ["sweep", "search"])
def test_a_claim_about_swept_pairs_is_told_of_all_that_were_seen(kind: str) -> None:
    (sentence,) = told(claim(MORE), [sweep(SOME, kind)])
    assert sentence == f"2 of its 7 pairs were seen by the {kind} recovery(accuracy), denoise resid_post (72 sites)"
    assert told(claim(MORE, site=resid_post(1, last())), [sweep(SOME, kind)]), "whichever site is claimed"


def test_other_pairs_and_other_models_were_not_seen() -> None:
    assert told(claim(OTHER), [sweep(SOME)]) == ()
    assert told(claim(SOME, model="another"), [sweep(SOME)]) == ()


@given(st.integers(0, 99), st.floats(0.2, 0.8))
def test_the_halves_of_a_split_have_seen_nothing_of_each_other(seed: int, share: float) -> None:
    first, second = pairs(*range(12)).split(discovery=share, seed=seed)
    assert not first.each & second.each
    assert told(claim(second), [sweep(first), sweep(first, "search")]) == ()
    assert told(claim(first), [sweep(first)])


def test_a_difference_looks_at_the_pairs_and_models_of_both_arms() -> None:
    made = looked_at(Difference(asked(SOME), asked(OTHER, model="n")))
    assert made is not None and made.models == ("m", "n")
    assert told(made, [sweep(OTHER, model="n")]) and told(made, [sweep(SOME)])


def test_values_that_were_given_look_at_nothing() -> None:
    assert looked_at(None) is None
    assert looked_at(Difference(None, None)) is None
    assert told(None, [sweep(SOME)]) == ()


def test_a_found_site_brings_its_search_along() -> None:
    found = dataclasses.replace(SITE, found=Found(sweep(SOME, "search"), 72, 0.9))
    question = asked(MORE, site=found)
    assert seen_by(question) == seen_by(Difference(question, question)) == [sweep(SOME, "search")]
    assert seen_by(asked(MORE)) == []
    assert question.digest == asked(MORE).digest, "it is the same experiment"


# the same question again


def test_the_very_same_claim_again_is_a_reproduction() -> None:
    assert told(claim(SOME), [claim(SOME)]) == ()
    assert told(claim(SOME, seed="8"), [claim(SOME, seed="7")]) == ()
    assert told(claim(pairs(4, 3, 2, 1, 0)), [claim(SOME)]) == (), "nor is another order"


@pytest.mark.parametrize(("before", "now", "both"), [((0, 50), (0, 100), 50), ((0, 100), (0, 90), 90)])
def test_peeking_and_dropping_pairs_by_hand_are_told(before: tuple[int, int], now: tuple[int, int], both: int) -> None:
    earlier, later = pairs(*range(*before)), pairs(*range(*now))
    (sentence,) = told(claim(later), [claim(earlier)])
    assert sentence == (
        f"the same was asked before of {len(earlier)} pairs, {both} of these {len(later)} among them: "
        "recovery(accuracy), denoise resid_post L6 @ last()"
    )


def test_another_seed_or_another_set_of_controls_is_no_other_question() -> None:
    waived = {"checks": Checks(waived=(("self_patch", "slow"),))}
    elsewhere = {"checks": Checks(wrong_places=wrong_layers((SITE,), (), 2))}
    for change in ({"seed": "8"}, {"placebo_draws": 0}, {"controls": False}, waived, elsewhere):
        assert told(claim(MORE, **change), [claim(SOME, seed="7")])


def test_another_question_about_the_same_pairs_is_another_claim() -> None:
    for other in (
        claim(SOME, site=resid_post(3, last())),
        looked_at(Experiment(Patching("m", "denoise", SOME, (SITE,)), "recovery", logit_diff)),
        looked_at(Experiment(Patching("m", "noise", SOME, (SITE,)), "drop", accuracy)),
    ):
        assert other is not None
        assert told(claim(MORE), [other]) == ()


def test_what_comes_after_a_claim_could_not_suggest_it() -> None:
    """A suite that sweeps after its claims says the same of them in every run."""
    assert told(claim(SOME), [claim(SOME), sweep(SOME), claim(MORE)]) == ()
    assert len(told(claim(SOME), [sweep(SOME), claim(SOME), claim(MORE)])) == 1


@given(st.lists(st.sampled_from([sweep(SOME), sweep(OTHER), sweep(MORE, "search"), claim(MORE), claim(SOME)])))
def test_a_label_never_goes_away_by_measuring_again(before: list[Seen]) -> None:
    first = told(claim(SOME), before)
    assert told(claim(SOME), [*before, claim(SOME), sweep(SOME), claim(MORE)]) == first
