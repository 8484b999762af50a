"""Eligibility: which pairs count, and that no patched run has a say in it."""

import pytest

from causaltest import Lab, Pair, Pairs, accuracy, embed, index, last, logit_diff, resid_post, thought, zero
from causaltest.errors import MeasurementError, NothingEligible
from causaltest.measuring.eligibility import exclusion, reasons
from causaltest.measuring.prompts import token_pair
from causaltest.organisms import ducks as organism

SAME = "the two answers are the same"
CLEAN_WRONG = "the clean run does not give the answer"
CORRUPT_RIGHT = "the corrupt run already gives the clean answer"


@pytest.fixture(scope="module")
def pair(word_tokenizer):
    tokenizer = word_tokenizer()

    def make(answer="one", corrupt_answer="two"):
        given = Pair(clean="the cat", corrupt="the dog", answer=answer, corrupt_answer=corrupt_answer)
        return token_pair(tokenizer, given)

    return make


@pytest.mark.parametrize(
    "clean, corrupt, why",
    [(1, 0, None), (0, 0, CLEAN_WRONG), (1, 1, CORRUPT_RIGHT), (0, 1, CLEAN_WRONG)],
)
def test_the_clean_run_must_be_right_and_the_corrupt_run_wrong(pair, clean, corrupt, why):
    assert exclusion(accuracy, pair(), clean, corrupt) == why


def test_answers_that_differ_by_white_space_only_are_the_same(pair):
    assert exclusion(accuracy, pair("one", " one"), 1, 0) == SAME
    assert exclusion(accuracy, pair("one", None), 1, 0) is None


def test_all_pairs_count_for_a_continuous_metric(pair):
    assert reasons(logit_diff, [pair(), pair("one", "one")], [0.0, 3.0], [1.0, 3.0]) == [None, None]


@pytest.fixture(scope="module")
def mixed(twins):
    """Four good pairs; one each whose corrupt run is right already, whose answer is wrong, whose answers agree."""
    a, b, c = twins[4], twins[5], twins[6]
    wrong = next(str(n) for n in range(21) if str(n) not in (b.answer, b.corrupt_answer))
    odd = [
        Pair(clean=a.clean, corrupt=a.clean, answer=a.answer, corrupt_answer="20", cluster="x", id="already"),
        Pair(clean=b.clean, corrupt=b.corrupt, answer=wrong, corrupt_answer=b.answer, cluster="x", id="wrong"),
        Pair(clean=c.clean, corrupt=c.corrupt, answer=c.answer, corrupt_answer=c.answer, cluster="x", id="same"),
    ]
    return Pairs([*twins[:4], *odd])


def test_excluded_pairs_carry_their_reasons(ducks, mixed):
    numbers = ducks.denoise(mixed, at=resid_post(6, thought(0))).recovery(accuracy).measured
    assert numbers.pair_ids == mixed.ids[:4]
    assert {e.pair_id: e.reason for e in numbers.excluded} == {
        "already": CORRUPT_RIGHT,
        "wrong": CLEAN_WRONG,
        "same": SAME,
    }
    assert numbers.pairs_total == 7
    assert len(numbers.values) == len(numbers.clusters) == len(numbers.controls.placebo) == 4
    assert len(numbers.controls.distance) == 4
    assert set(numbers.references["clean"]) == {1.0}
    assert set(numbers.references["corrupt"]) == {0.0}


def test_the_clean_runs_table_says_the_same(ducks, mixed):
    table = ducks.clean(mixed)
    assert table.eligible == 4
    assert [r.excluded for r in table.runs] == [None] * 4 + [CORRUPT_RIGHT, CLEAN_WRONG, SAME]
    assert all(r.clean_gave == r.answer for r in table.runs[:4])
    assert table.runs[4].corrupt_gave == table.runs[4].clean_gave
    assert "already: wanted" in str(table) and CORRUPT_RIGHT in str(table)


def test_a_pair_whose_corrupt_run_gives_the_answer_never_counts(ducks, mixed):
    """The pilot's fault: such a pair is recovered by any patch, and by none."""
    only = Pairs([mixed[4]])
    for run in (
        lambda: ducks.denoise(only, at=resid_post(6, thought(0))).recovery(accuracy),
        lambda: ducks.noise(only, at=resid_post(6, thought(0))).drop(accuracy),
        lambda: ducks.sweep(only, at=resid_post(range(2), thought(0))).recovery(accuracy),
    ):
        with pytest.raises(MeasurementError, match=CORRUPT_RIGHT):
            run()


def test_none_eligible_lists_every_reason_and_how_often(ducks, mixed):
    with pytest.raises(MeasurementError) as told:
        ducks.denoise(mixed[4:], at=resid_post(6, thought(0))).recovery(accuracy)
    message = str(told.value)
    assert message.startswith("None of the 3 pairs is eligible:")
    for why in (SAME, CLEAN_WRONG, CORRUPT_RIGHT):
        assert f"1 because {why}" in message
    assert isinstance(told.value, NothingEligible)
    assert {pair for pair, _ in told.value.excluded} == set(mixed[4:].ids)
    assert {why for _, why in told.value.excluded} == {SAME, CLEAN_WRONG, CORRUPT_RIGHT}


def test_who_counts_is_the_same_whatever_is_patched(ducks, mixed):
    effects = [
        ducks.denoise(mixed, at=resid_post(6, thought(0))).recovery(accuracy),
        ducks.denoise(mixed, at=resid_post(0, index(0))).recovery(accuracy),
        ducks.noise(mixed, at=embed(last())).drop(accuracy),
        ducks.ablate(mixed, at=resid_post(range(12), thought(range(6))), by=zero).drop(accuracy),
    ]
    assert {e.measured.pair_ids for e in effects} == {mixed.ids[:4]}
    assert len({e.estimate for e in effects}) > 1


def test_a_wrong_patched_run_excludes_nobody(ducks, twins):
    effect = ducks.ablate(twins, at=resid_post(11, thought(range(6))), by=zero).change(accuracy)
    assert effect.n == len(twins)
    assert effect.measured.excluded == ()


def test_every_reason_is_reachable_with_an_ordinary_decoder(tiny_gpt2):
    lab = Lab(tiny_gpt2.model, tiny_gpt2.tokenizer)
    with pytest.raises(MeasurementError, match="None of the 6 pairs is eligible: 6 because the clean run does not"):
        lab.denoise(tiny_gpt2.pairs, at=resid_post(1, index(0))).recovery(accuracy)
    effect = lab.denoise(tiny_gpt2.pairs, at=resid_post(1, index(0))).recovery(logit_diff)
    assert effect.n == 6


def test_both_runs_are_scored_against_the_clean_answer(ducks):
    """References of a pair that is eligible: the clean run gives `answer`, the corrupt run does not, though it
    gives `corrupt_answer`."""
    pairs = organism.twins(2, clusters=4, per_cluster=2)
    numbers = ducks.noise(pairs, at=resid_post(6, thought(1))).drop(accuracy).measured
    gave = {r.pair_id: r for r in ducks.clean(pairs).runs}
    for name, clean, corrupt in zip(
        numbers.pair_ids, numbers.references["clean"], numbers.references["corrupt"], strict=True
    ):
        assert clean == float(gave[name].clean_gave == gave[name].answer) == 1.0
        assert corrupt == float(gave[name].corrupt_gave == gave[name].answer) == 0.0
