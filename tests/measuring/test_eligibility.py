"""Eligibility: which pairs count, and that no patched run has a say in it."""

import copy
from dataclasses import replace

import pytest
import torch

from causaltest import (
    Lab,
    Pair,
    Pairs,
    accuracy,
    embed,
    exact_match,
    index,
    last,
    logit_diff,
    resid_post,
    resid_pre,
    thought,
    zero,
)
from causaltest.asking.checks import Checks
from causaltest.asking.experiment import Experiment
from causaltest.errors import MeasurementError, NothingEligible
from causaltest.measuring.eligibility import exclusion, reasons
from causaltest.measuring.prompts import token_pair
from causaltest.organisms import ducks as organism

SAME = "the two answers are the same"
CLEAN_WRONG = "the clean run does not give the answer"
CORRUPT_RIGHT = "the corrupt run already gives the clean answer"
OWN_WRONG = "the corrupt run does not give its own answer"


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


@pytest.mark.parametrize(
    "clean, corrupt, own, why",
    [(1, 0, 1, None), (1, 0, 0, OWN_WRONG), (0, 0, 0, CLEAN_WRONG), (1, 1, 0, CORRUPT_RIGHT), (1, 0, None, None)],
)
def test_of_twins_both_runs_must_be_right(pair, clean, corrupt, own, why):
    assert exclusion(accuracy, pair(), clean, corrupt, own) == why


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


# eligibility by another metric, and of twins


@pytest.mark.parametrize("rule", [accuracy, exact_match(max_new_tokens=1)], ids=str)
def test_a_continuous_metric_counts_the_pairs_that_another_metric_finds_right(ducks, mixed, rule):
    run = ducks.denoise(mixed, at=resid_post(6, thought(0)))
    by_rule, all_of_them = run.recovery(logit_diff, eligible=rule).measured, run.change(logit_diff).measured
    assert by_rule.pair_ids == mixed.ids[:4]
    assert all_of_them.pair_ids == mixed.ids
    assert {e.pair_id: e.reason for e in by_rule.excluded} == {
        "already": CORRUPT_RIGHT,
        "wrong": CLEAN_WRONG,
        "same": SAME,
    }
    assert by_rule.kind == "ratio" and len(by_rule.controls.placebo) == len(by_rule.controls.distance) == 4
    same = run.change(logit_diff, eligible=rule).measured
    assert same.values == pytest.approx(all_of_them.values[:4], abs=1e-4)


def test_a_sweep_counts_the_same_pairs(ducks, mixed):
    sweep = ducks.sweep(mixed, at=resid_post(range(5, 7), thought(0)))
    assert (sweep.recovery(logit_diff, eligible=accuracy).n, sweep.recovery(logit_diff).n) == (4, 7)
    screened = ducks.sweep(mixed, at=resid_post(range(5, 7), thought(0)), method="attribution")
    assert screened.recovery(logit_diff, eligible=accuracy).n == 4


@pytest.fixture(scope="module")
def untrue(twins):
    """Four good twins, and one whose corrupt run gives another answer than it says."""
    pair = twins[5]
    wrong = next(str(n) for n in range(21) if str(n) not in (pair.answer, pair.corrupt_answer))
    odd = Pair(clean=pair.clean, corrupt=pair.corrupt, answer=pair.answer, corrupt_answer=wrong, cluster="x", id="odd")
    return Pairs([*twins[:4], odd])


@pytest.mark.parametrize(
    "metric, rule", [(accuracy, None), (exact_match(max_new_tokens=1), None), (logit_diff, accuracy)]
)
def test_both_right_leaves_out_twins_whose_corrupt_run_is_wrong(ducks, untrue, metric, rule):
    run = ducks.denoise(untrue, at=resid_post(6, thought(0)))
    assert run.recovery(metric, eligible=rule).n == 5
    numbers = run.recovery(metric, eligible=rule, both_right=True).measured
    assert numbers.pair_ids == untrue.ids[:4]
    assert {e.pair_id: e.reason for e in numbers.excluded} == {"odd": OWN_WRONG}


def test_the_table_of_clean_runs_says_who_counts_by_which_rule(ducks, untrue):
    assert ducks.clean(untrue).eligible == 5
    table = ducks.clean(untrue, both_right=True)
    assert [r.excluded for r in table.runs] == [None] * 4 + [OWN_WRONG]
    assert str(table).startswith("organism:ducks: 4 of 5 pairs eligible for accuracy, both runs right")


def greedy(model, ids, count):
    """The tokens that a plain loop over whole forwards gives."""
    ids = torch.tensor([ids])
    with torch.no_grad():
        for _ in range(count):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    return ids[0, -count:].tolist()


@pytest.mark.parametrize("metric", [accuracy, logit_diff(first_token=True)], ids=str)
def test_answers_of_several_tokens_are_each_generated_from_their_own_run(tiny_llama, metric):
    """The corrupt run is not read behind the clean answer: after it, it would say something else."""
    model, words = copy.deepcopy(tiny_llama.model), tiny_llama.tokenizer
    with torch.no_grad():
        # What is no word is never the likeliest: for every word there is one that is as likely as it is unlikely.
        model.lm_head.weight[20:] = 0
        model.lm_head.weight[19] = -model.lm_head.weight[5]
    pairs, wanted = [], []
    for n, pair in enumerate(tiny_llama.pairs[::2]):
        ours, theirs = (greedy(model, words(text)["input_ids"], 3) for text in (pair.clean, pair.corrupt))
        named = theirs if n % 2 == 0 else [*theirs[:2], (theirs[2] + 1) % 20]
        answers = [" ".join(words.convert_ids_to_tokens(ids)) for ids in (ours[:2], named)]
        pairs.append(replace(pair, answer=answers[0], corrupt_answer=answers[1], id=f"p{n}"))
        wanted.append(named == theirs and ours[:2] != theirs[:2])
    assert 0 < sum(wanted) < len(wanted)
    run = Lab(model, words).denoise(Pairs(pairs, iid=True), at=resid_pre(1, last()))
    rule = None if metric == accuracy else accuracy
    numbers = run.change(metric, eligible=rule, both_right=True).measured
    assert numbers.pair_ids == tuple(f"p{n}" for n, counts in enumerate(wanted) if counts)


def test_who_counts_by_another_metric_is_the_same_whatever_is_patched(ducks, mixed):
    effects = [
        ducks.denoise(mixed, at=resid_post(6, thought(0))).recovery(logit_diff, eligible=accuracy, both_right=True),
        ducks.noise(mixed, at=embed(last())).drop(logit_diff, eligible=accuracy, both_right=True),
        ducks.ablate(mixed, at=resid_post(range(12), thought(range(6))), by=zero).change(
            logit_diff, eligible=accuracy, both_right=True
        ),
    ]
    assert {e.measured.pair_ids for e in effects} == {mixed.ids[:4]}


def test_a_rule_that_reads_more_tokens_costs_no_patched_run_a_token(ducks, mixed):
    """Who counts is read off the unpatched runs, and only these go as far."""
    run = ducks.denoise(mixed, at=resid_post(6, thought(0)))
    plain = Experiment(run.patching, "change", logit_diff)
    ruled = replace(plain, checks=Checks(eligible=exact_match(max_new_tokens=4)))
    batches = [ducks.backend.batch([one])[0] for one in (plain, ruled)]
    assert [batch.new_tokens for batch in batches] == [1, 1]
    assert [batch.reference_tokens for batch in batches] == [1, 4]
    assert not any(batch.chooses for batch in batches)
    assert batches[0].patched_runs == batches[1].patched_runs
